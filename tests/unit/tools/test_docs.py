"""What the pages on architecture and security say is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from locktender.api.spec import Framework, parse
from locktender.core.actions import EnsureJob
from locktender.render.jobs import job
from locktender.settings import Settings
from tests.builders import a_spec
from tools.docs import architecture

ROOT = Path(__file__).parents[3]
PAGES = ("docs/threat-model.md", "docs/architecture.md", "docs/network.md", "SECURITY.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:tests|tools|operator|charts|crds|docs)/[\w/.-]+)`", text)
    named += [
        f"operator/locktender/{name}" for name in re.findall(r"`((?:core|kube|render|runtime|api)/[\w/.-]+)`", text)
    ]
    linked = [Path(page).parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)]
    assert [str(name) for name in (*named, *linked) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("step", ["Backup", "Migrate"])
def test_the_network_policy_of_the_page_selects_the_pods_of_jobs(step: str) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/network.md").read_text(), re.DOTALL)
    policy = yaml.safe_load(block)
    action = EnsureJob("job", step, "run-1", 1, "shop:1", "", parse(a_spec()))
    made = job(action, "shop", "shop-db", "uid", Settings(runner_image="r:1"), image_volumes=True)
    labels = made["spec"]["template"]["metadata"]["labels"]
    selector = policy["spec"]["podSelector"]
    assert selector["matchLabels"].items() <= labels.items()
    for expression in selector["matchExpressions"]:
        assert labels[expression["key"]] in expression["values"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]


def test_the_page_of_the_architecture_is_rendered_from_the_code() -> None:
    text = architecture.PAGE.read_text()
    assert architecture.page(text) == text
    with pytest.raises(ValueError, match="needs one"):
        architecture.page(text.replace("<!-- steps -->", ""))


def test_the_diff_of_a_framework_shows_every_file_that_names_it() -> None:
    """In the code; beside it are only words, examples and images."""
    names = re.compile(rf'"{architecture.FRAMEWORK}"|Framework\.{architecture.FRAMEWORK.upper()}')
    found = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "operator").rglob("*.py")
        if names.search(file.read_text())
    }  # fmt: skip
    assert found <= set(architecture.OF_A_FRAMEWORK)
    assert architecture.FRAMEWORK in tuple(Framework)
