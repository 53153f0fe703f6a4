"""The runbooks: every alert has one, and what they tell people to type names what exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from locktender import settings
from locktender.api.conditions import Reason
from locktender.core.resolve import NOT_RAN, RAN
from tools.docs.monitoring import ALERTS, RUNBOOKS, alerts, runbook
from tools.render import render

pytestmark = pytest.mark.packaging
PAGES = sorted(RUNBOOKS.glob("*.md"))
OURS = {
    name
    for file in render.CRDS.glob("*.yaml")
    for names in [yaml.safe_load(file.read_text())["spec"]["names"]]
    for name in (names["plural"], names["singular"], *names["shortNames"])
}
# Kubernetes' own, and those of the Prometheus operator and cert-manager, by their plural or the short name that pages use.
KNOWN = OURS | {
    "certificates", "configmap", "configmaps", "deployment", "deployments", "events", "job", "jobs", "lease", "leases",
    "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations", "networkpolicies", "nodes",
    "pods", "pvc", "secrets", "servicemonitors", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
}  # fmt: skip
VERBS = {"annotate", "delete", "describe", "get", "logs", "patch", "wait"}
WITH_A_VALUE = {"-n", "-l", "-c", "-o", "-p", "--as", "--raw", "--field-selector"}
VOCABULARY = {value for name, value in vars(settings).items() if name.startswith(("LABEL_", "ANNOTATION_"))}
STEPS, CONTAINERS = {"backup", "migrate"}, {"migrate", "agent"}


def commands(page: Path) -> list[list[str]]:
    """The words of every kubectl command in the page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("kubectl ")]


def bare(words: list[str]) -> list[str]:
    """The words of a command without its options."""
    found, skip = [], False
    for word in words[1:]:
        if skip or word.startswith("-"):
            skip = not skip and word in WITH_A_VALUE
        else:
            found.append(word)
    return found


def resources(words: list[str]) -> set[str]:
    """The kinds of resource that a command is about."""
    verb, *rest = bare(words)
    if verb == "auth":
        assert rest[0] == "can-i"
        return {rest[2].partition("/")[0]}
    if verb in ("rollout", "set"):
        return {rest[1].partition("/")[0]}
    assert verb in VERBS, words
    return {kind.partition("/")[0] for kind in rest[0].split(",")} if rest and verb != "logs" else set()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {runbook(rule) for rule in alerts()} == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_begins_with_the_names_of_its_alerts(page: Path) -> None:
    line = page.read_text().splitlines()[2]
    assert re.findall(r"`(\w+)`", line) == [rule["alert"] for rule in alerts() if runbook(rule) == page.name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_what_happened_why_it_matters_how_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    heads = re.findall(r"^\*\*([^*]+\.)\*\*", text, re.MULTILINE)
    assert heads == ["What happened.", "Why it matters.", "Look.", "Do."]
    assert commands(page) != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_name_resources_labels_and_steps_that_exist(page: Path) -> None:
    for words in commands(page):
        assert resources(words) <= KNOWN, words
        line = " ".join(words)
        assert set(re.findall(r"locktender\.dev/[a-z-]+", line)) <= VOCABULARY, line
        assert set(re.findall(r"locktender\.dev/step=([a-z]+)", line)) <= STEPS, line
        assert set(re.findall(r" -c ([a-z]+)", line)) <= CONTAINERS, line
        assert set(re.findall(r"locktender\.dev/resolve=RUN=(\S+)", line)) <= {RAN, NOT_RAN}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_and_values_of_a_runbook_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).is_file(), link
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    for path in re.findall(r"`((?:metrics|gate|networkPolicy|watch)\.[A-Za-z.]+)", text):
        found = values
        for part in path.rstrip(".").split("."):
            assert part in found, path
            found = found[part]


def test_the_alerts_speak_of_reasons_that_exist() -> None:
    named = {reason for match in re.findall(r'reason[!=]~"([^"]+)"', ALERTS.read_text()) for reason in match.split("|")}
    assert named <= {str(reason) for reason in Reason}
