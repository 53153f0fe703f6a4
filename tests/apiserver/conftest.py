"""A real API server for the whole session, and kubectl to speak to it as different people."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.cluster.apiserver import ApiServer
from tools.render import render

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

    def run(self, *arguments: str, body: Any = None, user: str | None = None) -> subprocess.CompletedProcess[str]:
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
