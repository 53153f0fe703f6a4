"""The rendered chart on a real API server: every object is accepted as it stands, and uninstalling leaves nothing held."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.apiserver.conftest import Kubectl, until
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = pytest.mark.apiserver

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"locktender.dev/gate": "shop"}},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "shop:1"}]}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def installed() -> Iterator[Kubectl]:
    """A server of its own: the uninstall takes the policies away from everybody. The chart's namespace enforces restricted pods."""
    with ApiServer() as server:
        kubectl = Kubectl(render.program("kubectl"), server.kubeconfig)
        kubectl("apply", "--server-side", f"--filename={render.CRDS}")
        for file in render.CRDS.glob("*.yaml"):
            kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={file}")
        kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", f"--filename={render.INSTALL}")
        yield kubectl


@pytest.mark.parametrize("kubernetes", [render.LOWEST_KUBERNETES, render.HIGHEST_KUBERNETES])
def test_every_object_of_the_chart_is_accepted_with_its_hooks(installed: Kubectl, kubernetes: str) -> None:
    rendered = render.helm_template("--set=networkPolicy.enabled=true", kubernetes=kubernetes)
    answer = installed(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", body=rendered
    )
    assert len(answer.splitlines()) == len([item for item in yaml.safe_load_all(rendered) if item])


def test_the_install_file_applied_again_changes_nothing(installed: Kubectl) -> None:
    assert installed("diff", "--server-side", "--force-conflicts", f"--filename={render.INSTALL}") == ""


def test_the_policies_have_no_type_errors(installed: Kubectl) -> None:
    """The API server checks their expressions against the Deployment's own schema; its warnings stand in the status."""
    warnings = installed(
        "get", "validatingadmissionpolicies", "--output=jsonpath={.items[*].status.typeChecking.expressionWarnings}"
    )
    assert warnings == ""


def test_release_all_leaves_nothing_held(installed: Kubectl, tmp_path: Path) -> None:
    hooks = render.helm_template("--show-only=templates/uninstall/release-all.yaml")
    roles = [item for item in yaml.safe_load_all(hooks) if item and item["kind"] != "Job"]
    installed("apply", body=yaml.safe_dump_all(roles))
    installed("create", "namespace", "shop")
    shop = Kubectl(installed.program, installed.kubeconfig, "shop")
    until(partial(_would_hold, shop), "the mutating policy holds")
    shop("create", body=DEPLOYMENT)
    account = f"system:serviceaccount:{render.NAMESPACE}:locktender-release-all"
    until(partial(_may_release, shop, account), "the hook's account may release")

    done = _as_account(installed, tmp_path, "release-all")

    assert done.returncode == 0, done.stdout + done.stderr
    web = shop.json("get", "deployment", "web")
    assert "paused" not in web["spec"]
    assert "locktender.dev/held" not in web["metadata"].get("annotations", {})
    for kind in ("mutatingadmissionpolicies", "validatingadmissionpolicies"):
        assert installed("get", kind, "--selector=app.kubernetes.io/name=locktender", "--output=name") == ""


def _would_hold(kubectl: Kubectl) -> bool:
    return bool(kubectl.json("create", "--dry-run=server", body=DEPLOYMENT)["spec"].get("paused", False))


def _may_release(kubectl: Kubectl, account: str) -> bool:
    return kubectl.run("auth", "can-i", "release", "databasemigrations/shop", user=account).returncode == 0


def _as_account(kubectl: Kubectl, folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the operator with the token of the hook's account, as its pod would."""
    token = kubectl("create", "token", "locktender-release-all", f"--namespace={render.NAMESPACE}").strip()
    config = yaml.safe_load(Path(kubectl.kubeconfig).read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return subprocess.run(
        [sys.executable, "-m", "locktender", command],
        env={**os.environ, "KUBECONFIG": str(file)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
