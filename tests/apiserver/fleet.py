"""The webhook's replicas in this process, behind the Service of the chart, and writes that the gate has to hold all the time.

The API server calls the Service at the addresses of its EndpointSlices, which are kept here as a kubelet and the endpoint controller
would: by what /readyz says, a moment late.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.kube.client import Client, path
from locktender.runtime import webhook_ca
from locktender.settings import CertificateTimes, WebhookSettings
from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import WEBHOOK_METRICS
from locktender.webhook.main import serve
from tests.apiserver.conftest import Kubectl
from tests.apiserver.stage import connect
from tests.apiserver.webhook import free_port
from tools.render import render

NAME = "locktender-gate-webhook"
AUTHORITY = "locktender-gate-ca"
SECONDS = 30.0
LAG = 0.5  # seconds between two looks at the replicas' readiness


def account(kubectl: Kubectl, name: str, folder: Path) -> Path:
    """A kubeconfig that speaks as one of the chart's ServiceAccounts."""
    token = kubectl("create", "token", name, f"--namespace={render.NAMESPACE}").strip()
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = folder / f"{name}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def own_address() -> str:
    """An address of this machine that an EndpointSlice may hold: any but a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.254", 9))  # sends nothing; the kernel chooses the address that it would send from
        return str(sock.getsockname()[0])


@dataclass
class Replica:
    """One server in this process."""

    port: int
    probes: int
    stop: asyncio.Event
    task: asyncio.Task[int]


@dataclass
class Fleet:
    """Start replicas, let them go, and wait for what they say of themselves."""

    admin: Client
    kubeconfig: Path
    times: CertificateTimes
    drain: float = 2.0
    replicas: dict[str, Replica] = field(default_factory=dict)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self, name: str) -> Replica:
        """One more replica, not ready yet."""
        api = await connect(self.kubeconfig)
        self._stack.push_async_callback(api.close)
        settings = WebhookSettings(
            certificate_names=(f"{NAME}.{render.NAMESPACE}.svc",),
            secret=AUTHORITY,
            config_map=AUTHORITY,
            namespace=render.NAMESPACE,
            hold_port=free_port(),
            port=free_port(),
        )
        stop = asyncio.Event()
        serving = serve(settings, Metrics(WEBHOOK_METRICS), stop, api, self.times, self.drain)
        replica = Replica(settings.hold_port, settings.port, stop, asyncio.create_task(serving))
        self.replicas[name] = replica
        return replica

    async def leave(self, name: str) -> None:
        """What a kubelet does to a pod: SIGTERM, and wait."""
        replica = self.replicas[name]
        replica.stop.set()
        assert await replica.task == 0
        del self.replicas[name]
        await self._endpoints()

    async def words(self, name: str) -> str:
        """What /readyz says, empty when nobody listens."""
        if name not in self.replicas:
            return ""
        try:
            url = f"http://127.0.0.1:{self.replicas[name].probes}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return await answer.text()
        except aiohttp.ClientError:
            return ""

    async def ready(self, *names: str) -> None:
        """Return when these replicas are ready and their endpoints are known."""
        await until(lambda: self._all_ready(names), f"{names} are ready")
        await self._endpoints()

    async def _all_ready(self, names: tuple[str, ...]) -> bool:
        return all([await self.words(name) == "ok" for name in names])

    async def keep_endpoints(self) -> None:
        """The kubelet's and the endpoint controller's part."""
        while True:
            await self._endpoints()
            await asyncio.sleep(LAG)

    async def _endpoints(self) -> None:
        where = path("discovery.k8s.io/v1", render.NAMESPACE, "endpointslices")
        wanted = {
            f"{NAME}-{name}": replica.port
            for name, replica in list(self.replicas.items())
            if await self.words(name) == "ok"
        }
        for item in await self.admin.list(where, f"kubernetes.io/service-name={NAME}"):
            if item["metadata"]["name"] not in wanted:
                await self.admin.delete(f"{where}/{item['metadata']['name']}")
            else:
                del wanted[item["metadata"]["name"]]
        for name, port in wanted.items():
            with contextlib.suppress(ApiError):  # made meanwhile by the other task
                await self.admin.create(where, _slice(name, port))

    async def close(self) -> None:
        """Stop every replica at once."""
        for replica in self.replicas.values():
            replica.task.cancel()
        await asyncio.gather(*(replica.task for replica in self.replicas.values()), return_exceptions=True)
        await self._stack.aclose()


def _slice(name: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": render.NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
        "ports": [{"name": "hold", "port": port, "protocol": "TCP"}],
    }


@asynccontextmanager
async def a_fleet(kubectl: Kubectl, folder: Path, times: CertificateTimes | None = None) -> AsyncIterator[Fleet]:
    """A fleet without replicas, and the operator's part: the bundle is copied, by the operator's own account."""
    admin = await connect(kubectl.kubeconfig)
    operator = await connect(account(kubectl, "locktender", folder))
    fleet = Fleet(admin, account(kubectl, NAME, folder), times or CertificateTimes())
    tasks = [
        asyncio.create_task(webhook_ca.copy(operator, render.NAMESPACE, AUTHORITY)),
        asyncio.create_task(fleet.keep_endpoints()),
    ]
    try:
        yield fleet
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.close()
        await operator.close()
        await admin.close()
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


@dataclass
class Load:
    """Gated writes without end. `wrong` is what was refused, or let through unheld; empty when the gate never blinked."""

    client: Client
    writes: int = 0
    stopped: bool = False
    wrong: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Create, release, change the image, delete: until stopped, and never in the middle."""
        while not self.stopped:
            await self._cycle(f"load-{next(self._numbers)}")

    async def _cycle(self, name: str) -> None:
        where = paths.deployments("default", name)
        made = await self._write(
            "create", name, self.client.create(paths.deployments("default"), gated(name, "shop:1")), held=True
        )
        if made is None:
            return
        word = {"locktender.dev/held": None, "locktender.dev/released": f"test@{made['metadata']['generation']}"}
        await self._write(
            "release",
            name,
            self._merge(where, {"metadata": {"annotations": word}, "spec": {"paused": None}}),
            held=False,
        )
        image = {"spec": {"template": {"spec": {"containers": [{"name": "c0", "image": "shop:2"}]}}}}
        await self._write("change", name, self._merge(where, image), held=True)
        await self.client.delete(where)

    def _merge(self, where: str, body: dict[str, Any]) -> Any:
        return self.client.patch(where, body, "merge")

    async def _write(self, what: str, name: str, call: Any, *, held: bool) -> dict[str, Any] | None:
        self.writes += 1
        try:
            item: dict[str, Any] = await call
        except ApiError as error:
            self.wrong.append(f"{what} {name}: {error}")
            return None
        found = bool(item["spec"].get("paused")), item["metadata"].get("annotations", {}).get("locktender.dev/held")
        if found != ((True, "true") if held else (False, None)):
            self.wrong.append(f"{what} {name}: {json.dumps(found)}")
        await asyncio.sleep(0.01)
        return item


@asynccontextmanager
async def under_load(client: Client, workers: int = 2) -> AsyncIterator[Load]:
    """Gated writes while the block runs."""
    load = Load(client)
    tasks = [asyncio.create_task(load.run()) for _ in range(workers)]
    try:
        yield load
    finally:
        load.stopped = True
        await asyncio.gather(*tasks)


def gated(name: str, image: str) -> dict[str, Any]:
    """A Deployment at the gate."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": {"locktender.dev/gate": "shop"}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c0", "image": image}]},
            },
        },
    }


async def gate_holds(client: Client) -> None:
    """Return when a gated write is held."""

    async def holds() -> bool:
        try:
            made = await client._call("POST", paths.deployments("default"), {"dryRun": "All"}, gated("probe", "a"))
        except ApiError:
            return False
        return bool(made["spec"].get("paused"))

    await until(holds, "the gate holds")


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = SECONDS) -> None:
    """Ask again until it holds."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.1)
