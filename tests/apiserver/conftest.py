"""A real API server for the whole session, and kubectl to speak to it as different people."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.kube.client import Client
from tests.apiserver.stage import stage
from tools.cluster.apiserver import ApiServer
from tools.render import render

if TYPE_CHECKING:
    from tests.apiserver.gate_server import GateServer
    from tests.apiserver.running_operator import Operator
    from tests.apiserver.shop import Shop

POLICY_SECONDS = 60.0  # a policy is in force a moment after its creation; this long means never


def pytest_configure(config: pytest.Config) -> None:
    # tools.cluster keeps its processes by recorded pid and stops them by it; the Popen objects go earlier than the processes.
    config.addinivalue_line("filterwarnings", "ignore:subprocess .* is still running:ResourceWarning")


@dataclass(frozen=True)
class Kubectl:
    """`kubectl(...)` returns stdout and fails the test on an error; `kubectl.refused(...)` returns the error and fails without one."""

    program: Path
    kubeconfig: Path
    namespace: str | None = None

    def __call__(self, *arguments: str, body: Any = None, user: str | None = None) -> str:
        done = self.run(*arguments, body=body, user=user)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str, body: Any = None, user: str | None = None) -> str:
        done = self.run(*arguments, body=body, user=user)
        assert done.returncode != 0, f"not refused: {done.stdout}"
        return done.stderr

    def json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self(*arguments, "--output=json", **options))

    def run(
        self,
        *arguments: str,
        body: Any = None,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                self.program,
                f"--kubeconfig={self.kubeconfig}",
                *([f"--namespace={self.namespace}"] if self.namespace else []),
                *([f"--as={user}"] if user else []),
                *arguments,
                *(["--filename=-"] if body is not None else []),
            ],
            input=body if isinstance(body, str) else json.dumps(body),
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def cluster_kubectl(api_server: ApiServer) -> Kubectl:
    """As administrator, in whatever namespace an object names; for what is cluster-wide."""
    return Kubectl(render.program("kubectl"), api_server.kubeconfig)


@pytest.fixture(scope="module")
def kubectl(cluster_kubectl: Kubectl) -> Kubectl:
    """As administrator, in a namespace of its own for each test module."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    cluster_kubectl("create", "namespace", namespace)
    return Kubectl(cluster_kubectl.program, cluster_kubectl.kubeconfig, namespace)


@pytest.fixture(scope="session")
def definitions(cluster_kubectl: Kubectl) -> None:
    """Our resource definitions, established."""
    cluster_kubectl("apply", "--server-side", f"--filename={render.CRDS}")
    for file in render.CRDS.glob("*.yaml"):
        cluster_kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={file}")


def until(holds: Callable[[], bool], what: str, seconds: float = POLICY_SECONDS) -> None:
    """Ask again until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def controller_server() -> Iterator[Path]:
    """An API server with its controllers and our CRDs."""
    with ApiServer(controller_manager=True) as server:
        asyncio.run(_install_crds(server.kubeconfig))
        yield server.kubeconfig


async def _install_crds(kubeconfig: Path) -> None:
    async with stage(kubeconfig, "default") as scene:
        for file in sorted(render.CRDS.glob("*.yaml")):
            await scene.client.create(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(file.read_text())
            )
        for where in (paths.migrations(None), paths.backups(None)):
            await _served(scene.client, where)


async def _served(client: Client, where: str) -> None:
    """A fresh kind answers 404, then 429 while its storage starts, then lists."""
    for _ in range(200):
        try:
            if await client.get(where) is not None:
                return
        except ApiError as error:
            if error.status != 429:
                raise
        await asyncio.sleep(0.05)
    raise AssertionError(f"{where} is not served")


@pytest.fixture(scope="session")
def gate_at_work() -> Iterator[GateServer]:
    """An API server with its controllers, the chart's gate and the chart's rights, for all tests of faults."""
    from tests.apiserver.gate_server import gate_server  # it is built on this file

    with gate_server() as server:
        yield server


@pytest.fixture
def server(gate_at_work: GateServer) -> Iterator[GateServer]:
    """The same; what logs in with the operator's rights finds them in KUBECONFIG."""
    from tests.apiserver.gate_server import kubeconfig_of_this_process

    with kubeconfig_of_this_process(gate_at_work.operator_kubeconfig):
        yield gate_at_work


@pytest.fixture
def shop(server: GateServer) -> Iterator[Shop]:
    """A namespace with its record and a stand-in for its kubelet; whatever was done in it, nothing unverified ever ran."""
    from tests.apiserver.shop import open_shop

    with open_shop(server) as opened:
        yield opened
        opened.assert_nothing_unverified()


@pytest.fixture
def operator(server: GateServer, shop: Shop) -> Iterator[Operator]:
    """The operator, not started yet."""
    from tests.apiserver.running_operator import Operator

    made = Operator(server.operator_kubeconfig, (shop.namespace,))
    try:
        yield made
    finally:
        made.stop()
