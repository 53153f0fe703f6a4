"""A stage for the controller on a real API server: its reconciler in this process, and a stand-in for the kubelet.

The API server, its controllers and admission are real. Only the ends of pods are written by the test, because no node runs them here;
tests/cluster does the same on a real node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from locktender.kube import paths
from locktender.kube.act import Actor
from locktender.kube.client import Client, JsonObject, path
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reconciler import Reconciler
from locktender.settings import Settings
from locktender.telemetry.metrics import Metrics
from tests.builders import BACKUP_FACTS, a_spec, report

SETTINGS = Settings(runner_image="runner:test", pod_name="stage")


async def connect(kubeconfig: Path, kind: type[Client] = Client) -> Client:
    """A client for a kubeconfig file."""
    configuration = Configuration()
    configuration.retries = False
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    return kind(ApiClient(configuration))


@asynccontextmanager
async def stage(kubeconfig: Path, namespace: str) -> AsyncIterator[Stage]:
    """A stage whose connections are closed at the end."""
    client = await connect(kubeconfig)
    try:
        yield Stage(client, namespace)
    finally:
        await client.close()


class Crash(BaseException):
    """The process dies here."""


class CrashingClient(Client):
    """Dies before or after its n-th call, whatever that call is."""

    calls = 0
    crash_at = 0
    after = False

    async def _call(self, *arguments: Any, **keywords: Any) -> JsonObject:
        self.calls += 1
        dies = self.calls == self.crash_at
        if dies and not self.after:
            raise Crash
        answer = await super()._call(*arguments, **keywords)
        if dies:
            raise Crash
        return answer


@asynccontextmanager
async def dying(kubeconfig: Path, crash_at: int, *, after: bool) -> AsyncIterator[CrashingClient]:
    """A client that dies at a call (0: never)."""
    client = await connect(kubeconfig, CrashingClient)
    assert isinstance(client, CrashingClient)
    client.crash_at, client.after = crash_at, after
    try:
        yield client
    finally:
        await client.close()


class InterferedClient(Client):
    """Somebody applies another image to `web` in the very moment in which the verdict is stored."""

    namespace = ""
    done = False

    async def patch(self, where: str, body: Any, kind: str) -> JsonObject:
        answer = await super().patch(where, body, kind)
        if not self.done and where.endswith("/status") and body["status"].get("verdicts"):
            self.done = True
            template = {"template": {"spec": {"containers": [{"name": "app", "image": "shop:v3"}]}}}
            await super().patch(paths.deployments(self.namespace, "web"), {"spec": template}, "merge")
        return answer


@asynccontextmanager
async def interfered(kubeconfig: Path, namespace: str) -> AsyncIterator[InterferedClient]:
    """A client behind whose back the image changes once."""
    client = await connect(kubeconfig, InterferedClient)
    assert isinstance(client, InterferedClient)
    client.namespace = namespace
    try:
        yield client
    finally:
        await client.close()


class CountingClient(Client):
    """Keeps what it was asked for: "GET jobs", "PATCH databasemigrations/status"."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.calls: list[str] = []

    async def _call(self, method: str, where: str, *arguments: Any, **keywords: Any) -> JsonObject:
        parts = where.strip("/").split("/")
        after = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
        self.calls.append(f"{method} {after[0]}" + (f"/{after[2]}" if len(after) > 2 else ""))
        return await super()._call(method, where, *arguments, **keywords)


@asynccontextmanager
async def counting(kubeconfig: Path) -> AsyncIterator[CountingClient]:
    """A client that counts."""
    client = await connect(kubeconfig, CountingClient)
    assert isinstance(client, CountingClient)
    try:
        yield client
    finally:
        await client.close()


class Stage:
    """One namespace with one DatabaseMigration, `shop-db`."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def set_up(self, **spec: Any) -> None:
        """Create the namespace and the DatabaseMigration."""
        await self.client.create(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        await self.add(**spec)

    async def add(self, **spec: Any) -> None:
        """Create the DatabaseMigration in a namespace that is there."""
        body = {
            "apiVersion": "locktender.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": "shop-db", "namespace": self.namespace},
            "spec": a_spec(**spec),
        }
        await self.client.create(paths.migrations(self.namespace), body)
        # Pods need a service account; on a server without a controller manager nobody makes one.
        account = path("v1", self.namespace, "serviceaccounts")
        for _ in range(100):
            if await self.client.get(path("v1", self.namespace, "serviceaccounts", "default")):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"no default service account in {account}: is kube-controller-manager running?")

    async def hold(self, name: str, image: str) -> None:
        """A Deployment as the gate leaves it: paused and marked."""
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"locktender.dev/gate": "shop-db"},
                "annotations": {"locktender.dev/held": "true"},
            },
            "spec": {
                "paused": True,
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "app", "image": image}]},
                },
            },
        }
        await self.client.create(paths.deployments(self.namespace), body)

    def reconciler(self, client: Client | None = None) -> Reconciler:
        """A fresh process."""
        return Reconciler(Actor(client or self.client, SETTINGS, 37), WorkQueue(time.monotonic), Metrics())

    async def jobs(self, step: str) -> list[JsonObject]:
        """All Jobs of a step."""
        return await self.client.list(paths.jobs(self.namespace), f"locktender.dev/step={step}")

    async def kubelet(self, migrate_code: int = 0) -> None:
        """End the main container of every pod that has not ended: backups well, migrations with `migrate_code`."""
        for pod in await self.client.list(paths.pods(self.namespace), "app.kubernetes.io/managed-by=locktender"):
            if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                continue
            step = pod["metadata"]["labels"]["locktender.dev/step"]
            code = migrate_code if step == "migrate" else 0
            words = report("Succeeded", "Succeeded", kind="backup", backup=BACKUP_FACTS) if step == "backup" else "boom"
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            ended = {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "message": words,
                "startedAt": at,
                "finishedAt": at,
                "containerID": "x://y",
            }
            state = {
                "name": step,
                "image": "x",
                "imageID": "x",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended},
            }
            body = {"status": {"phase": "Succeeded" if code == 0 else "Failed", "containerStatuses": [state]}}
            where = f"{paths.pods(self.namespace)}/{pod['metadata']['name']}/status"
            await self.client.patch(where, body, "merge")

    async def end_pod(self, step: str, seconds: float = 20.0) -> None:
        """Wait for the pod of a step's Job, which the Job controller makes, and end it well."""
        deadline = time.monotonic() + seconds
        while not await self.client.list(paths.pods(self.namespace), f"locktender.dev/step={step}"):
            assert time.monotonic() < deadline, f"no pod of {step} within {seconds} s"
            await asyncio.sleep(0.05)
        await self.kubelet()

    async def settle(self, reconciler: Reconciler, *, migrate_code: int = 0, seconds: float = 20.0) -> JsonObject:
        """Turn the wheel until the resource is Ready or Stalled; its final form."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await reconciler.reconcile((self.namespace, "shop-db"))
            await self.kubelet(migrate_code)
            found = await self.client.get(paths.migrations(self.namespace, "shop-db"))
            assert found is not None
            conditions = {item["type"]: item for item in (found.get("status") or {}).get("conditions", ())}
            run = (found.get("status") or {}).get("run") or {}
            if run.get("outcome") and (conditions["Ready"]["status"] == "True" or "Stalled" in conditions):
                return found
        raise AssertionError(f"not settled within {seconds} s")
