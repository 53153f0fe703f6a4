"""A real API server with its controllers, our definitions, the chart's gate and the chart's rights: what the fault tests run on.

The operator works with the token of its own service account, so it has the rights that the chart gives it and no others. `alice` may edit
objects, as a developer or a pipeline may; `admin` may everything.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.apiserver.conftest import Kubectl, until
from tools.cluster.apiserver import ApiServer
from tools.kube.api import Api
from tools.render import render

OPERATOR = "locktender"
ALICE = "alice"
TOKEN_LIFE = "12h"  # longer than any test run


@dataclass(frozen=True)
class GateServer:
    """The server and the ways to it."""

    server: ApiServer
    kubectl: Kubectl
    admin: Api
    alice: Api
    operator_kubeconfig: Path


@contextmanager
def gate_server(
    *, watched: tuple[str, ...] = (), controllers: bool = True, audit: bool = False
) -> Iterator[GateServer]:
    """Start it. `watched`: the chart value watch.namespaces, empty for all; these namespaces are created."""
    with ApiServer(controller_manager=controllers, audit=audit) as server, ExitStack() as stack:
        kubectl = Kubectl(render.program("kubectl"), server.kubeconfig)
        for namespace in (render.NAMESPACE, *watched):
            kubectl("create", "namespace", namespace)
        kubectl("apply", "--server-side", f"--filename={render.CRDS}")
        for file in render.CRDS.glob("*.yaml"):
            kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={file}")
        kubectl("apply", "--server-side", body=_chart(watched))
        _let_alice_edit(kubectl)
        operator = kubeconfig_of(kubectl, OPERATOR)
        _gate_holds(kubectl, operator, watched)
        alice = stack.enter_context(_api(kubeconfig_of(kubectl, ALICE)))
        yield GateServer(server, kubectl, stack.enter_context(_api(server.kubeconfig)), alice, operator)


def _chart(watched: tuple[str, ...]) -> str:
    names = ("gate/mutating", "gate/validating", "rbac/operator", "rbac/people", "operator/serviceaccount")
    options = [f"--show-only=templates/{name}.yaml" for name in names]
    options += [f"--set=watch.namespaces[{number}]={name}" for number, name in enumerate(watched)]
    return render.helm_template(*options, kubernetes=render.HIGHEST_KUBERNETES)


def _let_alice_edit(kubectl: Kubectl) -> None:
    kubectl("--namespace", render.NAMESPACE, "create", "serviceaccount", ALICE)
    account = f"--serviceaccount={render.NAMESPACE}:{ALICE}"
    for role in ("edit", "system:aggregate-to-view", "system:aggregate-to-edit", "locktender-view", "locktender-edit"):
        kubectl("create", "clusterrolebinding", f"alice-{role.replace(':', '-')}", f"--clusterrole={role}", account)


def kubeconfig_of(kubectl: Kubectl, account: str) -> Path:
    """A kubeconfig with the token of a service account of ours."""
    token = kubectl("--namespace", render.NAMESPACE, "create", "token", account, f"--duration={TOKEN_LIFE}").strip()
    file = kubectl.kubeconfig.with_name(f"{account}.kubeconfig")
    file.write_bytes(kubectl.kubeconfig.read_bytes())
    changes = (
        ("config", "set-credentials", account, f"--token={token}"),
        ("config", "set-context", "--current", f"--user={account}"),
    )
    for change in changes:
        subprocess.run([kubectl.program, f"--kubeconfig={file}", *change], check=True, capture_output=True)
    return file


def _api(kubeconfig: Path) -> Api:
    return Api(kubeconfig, str(render.program("kubectl")))


def _gate_holds(kubectl: Kubectl, operator: Path, watched: tuple[str, ...]) -> None:
    """Wait until the policies are in force and the operator's account may release."""
    home = watched[0] if watched else "default"
    container = {"name": "app", "image": "probe:1"}
    probe = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probe", "namespace": home, "labels": {"locktender.dev/gate": "probe"}},
        "spec": {
            "selector": {"matchLabels": {"app": "probe"}},
            "template": {"metadata": {"labels": {"app": "probe"}}, "spec": {"containers": [container]}},
        },
    }
    nameless = {**probe, "metadata": {**probe["metadata"], "labels": {"locktender.dev/gate": ""}}}  # type: ignore[dict-item]
    until(
        lambda: bool(kubectl.json("create", "--dry-run=server", body=probe)["spec"].get("paused")),
        "the mutating policy holds",
    )
    until(lambda: kubectl.run("create", "--dry-run=server", body=nameless).returncode != 0, "the backstop refuses")
    may = Kubectl(kubectl.program, operator, home)
    until(
        lambda: may.run("auth", "can-i", "release", "databasemigrations/x").returncode == 0, "the operator may release"
    )


@contextmanager
def kubeconfig_of_this_process(kubeconfig: Path) -> Iterator[None]:
    """Kopf logs in with what KUBECONFIG names."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    try:
        yield
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before
