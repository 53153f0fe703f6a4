"""Every right that the chart grants is used by a real run, and none is missing: the audit log of the API server against the rendered rules.

Operator, webhook and uninstaller run as their own programs with the tokens of their own accounts and the environment of their own
Deployments. What happens only in a race (a Job that is there already, a policy that stops being wanted) is called for with the same token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from locktender.core.actions import EnsureJob, StoreReport
from locktender.core.decide import decide
from locktender.core.errors import ApiError
from locktender.kube import gate_objects, logs, paths, reports
from locktender.kube.act import Actor
from locktender.kube.client import Client
from locktender.kube.observe import observe
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reconciler import Reconciler
from locktender.settings import FINALIZER, REPORTS_KEPT, Settings
from locktender.telemetry.metrics import Metrics
from tests.agent_log import Log
from tests.apiserver import audit, webhook
from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.gate_server import kubeconfig_of
from tests.apiserver.running_operator import OperatorProcess
from tests.apiserver.stage import Stage, connect, stage
from tests.rights import Grant, by_account, objects
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = pytest.mark.apiserver

OPERATOR, SERVER, UNINSTALLER = "locktender", "locktender-gate-webhook", "locktender-release-all"
RELEASE: Grant = (
    "locktender.dev",
    "databasemigrations",
    "release",
)  # asked for by the gate's policies, not by a request
NO_BACKUP = {"policy": "Skip", "reason": "a test", "storage": None}
COMMAND = {"framework": "Command", "command": ["true"]}


@dataclass(frozen=True)
class Cluster:
    """An API server with the chart, and what the chart rendered."""

    server: ApiServer
    kubectl: Kubectl
    items: list[dict[str, Any]]
    folder: Path

    def environment(self, deployment: str) -> dict[str, str]:
        """The literal environment of one of the chart's own containers."""
        (found,) = [
            item for item in self.items if item["kind"] == "Deployment" and item["metadata"]["name"] == deployment
        ]
        env = found["spec"]["template"]["spec"]["containers"][0]["env"]
        return {item["name"]: item["value"] for item in env if "value" in item}

    def operator(self) -> OperatorProcess:
        account = kubeconfig_of(self.kubectl, OPERATOR)
        return OperatorProcess(account, self.folder / "operator.log", **self.environment(OPERATOR))

    def used(self) -> dict[str, set[Grant]]:
        """The rights that each account has made use of."""
        found: dict[str, set[Grant]] = {}
        for request in audit.requests(self.server.audit_log):
            found.setdefault(request.account, set()).update(request.grants)
        return found

    def refused(self) -> list[audit.Request]:
        return [request for request in audit.requests(self.server.audit_log) if request.status == 403]


@contextlib.contextmanager
def a_cluster(folder: Path, *values: str) -> Iterator[Cluster]:
    """The chart as Helm would install it, with the account of its uninstall hook, on a server of its own."""
    items = [item for item in objects(*values) if not _is_run_by_helm(item)]
    group = f"system:serviceaccounts:{render.NAMESPACE}"
    with ApiServer(controller_manager=True, audited_group=group) as server:
        kubectl = Kubectl(render.program("kubectl"), server.kubeconfig)
        for name in (render.NAMESPACE, "shop", "elsewhere"):
            kubectl("create", "namespace", name)
        kubectl("apply", "--server-side", body=yaml.safe_dump_all(items))
        for file in render.CRDS.glob("*.yaml"):
            kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={file}")
        until(lambda: _holds(kubectl), "the gate holds")
        yield Cluster(server, kubectl, items, folder)


def _is_run_by_helm(item: dict[str, Any]) -> bool:
    hook = "helm.sh/hook" in item["metadata"].get("annotations", {})
    return hook and item["kind"] in ("Job", "ConfigMap")


def _web(namespace: str, name: str = "web", image: str = "shop:1") -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"locktender.dev/gate": "shop-db"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def _holds(kubectl: Kubectl) -> bool:
    done = kubectl.run("create", "--dry-run=server", "--output=jsonpath={.spec.paused}", body=_web("shop"))
    return done.stdout == "true"


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Client]:
    """A client of this process with somebody's token."""
    client = await connect(kubeconfig)
    try:
        yield client
    finally:
        await client.close()


async def soon(ask: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
    """Ask again until there is an answer."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):  # noqa: ASYNC110  # somebody else's state: nothing of ours would set an event
            await asyncio.sleep(0.1)
        return answer


async def eventually(holds: Callable[[], Any], scene: Stage, what: str, seconds: float = 60.0) -> None:
    """Ask again, and be the kubelet meanwhile."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        with contextlib.suppress(ApiError):  # a pod that is deleted in this moment
            await scene.kubelet()
        await asyncio.sleep(0.2)


def ready(kubectl: Kubectl, namespace: str = "shop") -> bool:
    path = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "dbm", "shop-db", f"--namespace={namespace}", path) == "True"


def asked(cluster: Cluster, resource: str, verb: str) -> bool:
    """The operator has asked for it."""
    return any(
        request.account == OPERATOR and (request.resource, request.verb) == (resource, verb)
        for request in audit.requests(cluster.server.audit_log)
    )


async def a_release(cluster: Cluster, scene: Stage) -> None:
    """A release with its backup, from held to open; then the Deployment leaves its gate, and the resource goes."""
    shop = Kubectl(cluster.kubectl.program, cluster.kubectl.kubeconfig, "shop")
    await scene.add(migration=COMMAND)
    shop("create", body=_web("shop"))
    assert shop("get", "deployment", "web", "--output=jsonpath={.spec.paused}") == "true"
    await eventually(lambda: ready(shop), scene, "the release is through")
    assert shop("get", "deployment", "web", "--output=jsonpath={.spec.paused}") == ""
    shop("label", "deployment", "web", "locktender.dev/gate-")
    await eventually(lambda: asked(cluster, "deployments", "get"), scene, "it is looked where the Deployment has gone")
    shop("delete", "dbm", "shop-db", "--timeout=30s")


async def what_seldom_happens(client: Client, scene: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Job that is there already, one that can never start, reports beyond their number, a log."""
    actor = Actor(client, Settings(runner_image="runner:test", lease_namespace=render.NAMESPACE), 37)
    await scene.add(migration=COMMAND, backup=NO_BACKUP)
    await scene.client.create(paths.deployments("shop"), _web("shop", "api"))
    made = await soon(lambda: _passes_until_a_job(actor))
    assert await actor.perform(*made), "the Job that is there is ours"
    pods = await soon(lambda: scene.client.list(paths.pods("shop"), f"job-name={made[1].name}"))
    name = pods[0]["metadata"]["name"]
    with contextlib.suppress(ApiError):  # no node, so no log; but a right to ask
        assert [line async for line in logs.read(client, "shop", name)] == []
    waiting = {"name": "migrate", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    state = {"waiting": {"reason": "InvalidImageName", "message": "no such thing"}}
    status = {"status": {"phase": "Pending", "containerStatuses": [{**waiting, "state": state}]}}
    await scene.client.patch(f"{paths.pods('shop')}/{name}/status", status, "merge")
    await Reconciler(actor, WorkQueue(time.monotonic), Metrics()).reconcile(("shop", "shop-db"))

    async def told(*_: object, **__: object) -> AsyncIterator[str]:
        for line in Log().baseline().ended(1.0).lines:
            yield line

    monkeypatch.setattr(logs, "read", told)
    observation = await observe(client, "shop", "shop-db", render.NAMESPACE)
    assert observation is not None
    for number in range(REPORTS_KEPT + 1):
        await reports.store(
            client, observation, StoreReport(f"shop-db-migrate-{number}", name, "run-1", 1, "shop:1", "")
        )


async def _passes_until_a_job(actor: Actor) -> tuple[Any, EnsureJob] | None:
    """One look, and what follows from it; the action that makes a Job once it was carried out."""
    observation = await observe(actor.client, "shop", "shop-db", render.NAMESPACE)
    assert observation is not None
    decision = decide(observation, datetime.now(UTC))
    for action in decision.actions:
        await actor.perform(observation, action)
        if isinstance(action, EnsureJob):
            return observation, action
    await actor.write_status(observation, decision.status)
    return None


async def the_gate_is_deleted_and_comes_back(cluster: Cluster, client: Client, scene: Stage) -> None:
    wish = await gate_objects.wish(client, render.NAMESPACE, cluster.environment(OPERATOR)["LOCKTENDER_GATE_CONFIGMAP"])
    assert wish is not None
    assert len(wish.objects) == 5
    for wanted in wish.objects:
        await scene.client.delete(wanted.where)
    for wanted in wish.objects:
        live = await soon(partial(client.get, wanted.where))
        await gate_objects.withdraw(client, wanted, live)
        await soon(partial(scene.client.get, wanted.where))  # it is wanted after all


def uninstall(cluster: Cluster) -> None:
    """`release-all` with one Deployment held and one resource that has our finalizer."""
    finalizer = {"metadata": {"finalizers": [FINALIZER]}}
    cluster.kubectl("patch", "dbm", "shop-db", "--namespace=shop", "--type=merge", f"--patch={json.dumps(finalizer)}")
    account = kubeconfig_of(cluster.kubectl, UNINSTALLER)
    done = subprocess.run(
        [sys.executable, "-m", "locktender", "release-all"],
        env={**os.environ, "KUBECONFIG": str(account), "PYTHONPATH": "operator"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "released deployment shop/api" in done.stdout
    assert "released databasemigration shop/shop-db" in done.stdout


@pytest.mark.timeout(300)
async def test_every_right_is_used_and_none_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_cluster(tmp_path, "--set=gate.carrier=both") as cluster:
        account = kubeconfig_of(cluster.kubectl, OPERATOR)
        async with stage(cluster.server.kubeconfig, "shop") as scene, connected(account) as client:
            identity = kubeconfig_of(cluster.kubectl, SERVER)
            with (
                cluster.operator().start(),
                webhook.process(
                    webhook.free_port(), webhook.free_port(), KUBECONFIG=str(identity),
                    LOCKTENDER_NAMESPACE=render.NAMESPACE, **cluster.environment(SERVER),
                ),
            ):  # fmt: skip
                await a_release(cluster, scene)
                await the_gate_is_deleted_and_comes_back(cluster, client, scene)
                await eventually(
                    lambda: asked(cluster, "mutatingwebhookconfigurations", "patch"), scene, "the bundle is copied"
                )
            await what_seldom_happens(client, scene, monkeypatch)
            uninstall(cluster)
        used, granted = cluster.used(), by_account(cluster.items)
        for account in (OPERATOR, UNINSTALLER):
            used[account].add(RELEASE)
        nothing: dict[str, list[Grant]] = {account: [] for account in granted}
        assert {account: sorted(rights - used[account]) for account, rights in granted.items()} == nothing, (
            "granted, and never used"
        )
        assert {account: sorted(used[account] - rights) for account, rights in granted.items()} == nothing, (
            "used, and not granted"
        )
        assert cluster.refused() == []
        writes = [
            request
            for request in audit.requests(cluster.server.audit_log)
            if request.verb not in ("get", "list", "watch")
        ]
        outside = {
            request.resource
            for request in writes
            if request.account == OPERATOR and request.namespace not in ("shop", "")
        }
        assert outside == {"leases", "events"}, (
            "of the operator itself: claims, its own lease, and what it tells of the gate"
        )


@pytest.mark.timeout(300)
async def test_with_roles_only_it_works_in_its_namespaces_and_asks_for_nothing_outside(tmp_path: Path) -> None:
    with a_cluster(
        tmp_path, "--set=watch.namespaces={shop}", "--set=gate.guard=Off", "--set=gate.carrier=policy"
    ) as cluster:
        operator = [role for role in cluster.items if role["kind"] == "ClusterRoleBinding"]
        assert [item["metadata"]["name"] for item in operator] == [UNINSTALLER]
        async with (
            stage(cluster.server.kubeconfig, "shop") as scene,
            stage(cluster.server.kubeconfig, "elsewhere") as other,
        ):
            await other.add(migration=COMMAND)
            cluster.kubectl("create", body=_web("elsewhere"))
            with cluster.operator().start():
                await a_release(cluster, scene)
        assert cluster.refused() == []
        asked_in = {
            request.namespace for request in audit.requests(cluster.server.audit_log) if request.account == OPERATOR
        }
        assert asked_in == {"shop", render.NAMESPACE}
        found = cluster.kubectl.json("get", "dbm", "shop-db", "--namespace=elsewhere")
        assert found["status"] == {"observedGeneration": -1}
        account = f"{audit.ACCOUNT}{OPERATOR}"
        for verb, kind in (("list", "pods"), ("get", "dbm"), ("create", "jobs.batch"), ("list", "secrets")):
            for namespace in ("elsewhere", render.NAMESPACE):
                cluster.kubectl.refused("auth", "can-i", verb, kind, f"--namespace={namespace}", user=account)
