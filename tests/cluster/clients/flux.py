"""Flux's kustomize-controller, watching one namespace. The test stands in for source-controller: it serves the artifacts itself."""

import contextlib
import hashlib
import http.server
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.clients.processes import running
from tests.cluster.kit.world import World
from tools.cluster import clients
from tools.cluster.progress import Progress
from tools.kube.api import environment

SOURCES = "/apis/source.toolkit.fluxcd.io/v1"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1"
RECONCILE = "reconcile.fluxcd.io/requestedAt"
PATIENCE = 150.0  # seconds


class Flux:
    """Artifacts, Kustomizations, and what the controller says about them."""

    def __init__(self, world: World, folder: Path, port: int) -> None:
        self.world, self.folder, self.port = world, folder, port
        self._asked = 0

    def publish(self, source: str, *objects: dict[str, Any]) -> str:
        """A new artifact with these objects as one file; its digest is the revision."""
        data = _archive({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        file = f"{source}-{digest[-12:]}.tar.gz"
        (self.folder / file).write_bytes(data)
        where = f"{SOURCES}/namespaces/{self.world.name}/externalartifacts"
        if self.world.api.get(f"{where}/{source}") is None:
            body = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "ExternalArtifact"}
            self.world.api.create(where, {**body, "metadata": {"name": source}, "spec": {}})
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        artifact = {
            "digest": digest, "revision": f"main@{digest}", "path": file, "lastUpdateTime": now, "size": len(data),
            "url": f"http://127.0.0.1:{self.port}/{file}",
        }  # fmt: skip
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "stored",
            "lastTransitionTime": now,
        }
        self.world.api.merge(f"{where}/{source}/status", {"status": {"artifact": artifact, "conditions": [ready]}})
        return f"main@{digest}"

    def kustomization(self, name: str, **spec: Any) -> None:
        """A Kustomization of the source of its own name, that waits for what it applied."""
        base = {
            "interval": "1h", "retryInterval": "1h", "timeout": "2m", "wait": True, "prune": False, "path": "./",
            "targetNamespace": self.world.name, "sourceRef": {"kind": "ExternalArtifact", "name": name},
        }  # fmt: skip
        body = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": name}}
        where = f"{KUSTOMIZATIONS}/namespaces/{self.world.name}/kustomizations"
        self.world.api.create(where, {**body, "spec": {**base, **spec}})

    def seen(self, name: str) -> dict[str, Any]:
        """The Kustomization as the API server has it now."""
        found: dict[str, Any] = self.world.api.get(
            f"{KUSTOMIZATIONS}/namespaces/{self.world.name}/kustomizations/{name}"
        )
        return found

    def ready(self, name: str) -> dict[str, Any]:
        """Its condition Ready."""
        conditions = self.seen(name).get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == "Ready"), {})

    def wait_ready(self, name: str, revision: str, status: str = "True") -> dict[str, Any]:
        """Until it is Ready, or with "False" failed, at a revision. The condition."""

        def reached() -> dict[str, Any] | None:
            state = self.seen(name).get("status", {})
            done = state.get("lastAppliedRevision") if status == "True" else state.get("lastAttemptedRevision")
            ready = self.ready(name)
            return ready if done == revision and ready.get("status") == status else None

        found: dict[str, Any] = self.world.wait(
            reached, f"Kustomization {name} is Ready={status} at {revision[:20]}", PATIENCE
        )
        return found

    def reconcile(self, name: str) -> None:
        """Ask for one reconciliation, as `flux reconcile` does, and wait for its end."""
        self._asked += 1
        token = f"{time.time_ns()}-{self._asked}"
        where = f"{KUSTOMIZATIONS}/namespaces/{self.world.name}/kustomizations/{name}"
        self.world.api.merge(where, {"metadata": {"annotations": {RECONCILE: token}}})
        end = time.monotonic() + PATIENCE
        while self.seen(name).get("status", {}).get("lastHandledReconcileAt") != token:
            assert time.monotonic() < end, f"Kustomization {name} was not reconciled: {json.dumps(self.ready(name))}"
            time.sleep(0.05)

    def leave(self) -> None:
        """Take the finalizers away, so that the namespace can go without the controller."""
        where = f"{KUSTOMIZATIONS}/namespaces/{self.world.name}/kustomizations"
        for item in self.world.api.call("GET", where)["items"]:
            self.world.api.merge(f"{where}/{item['metadata']['name']}", {"metadata": {"finalizers": None}})


@contextlib.contextmanager
def flux(world: World, folder: Path) -> Iterator[Flux]:
    """The controller, for this namespace alone."""
    program = clients.program(clients.FLUX, Progress(quiet=True))
    known = environment(world.stage.kubeconfig, world.stage.tools) | {"RUNTIME_NAMESPACE": world.name}
    command = (
        str(program), "--watch-all-namespaces=false", "--enable-leader-election=false", "--events-addr=",
        "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--requeue-dependency=1s",
        "--feature-gates=ExternalArtifact=true", "--log-level=info",
    )  # fmt: skip
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    with _served(artifacts) as port, running(command, known, folder / "kustomize-controller.log"):
        made = Flux(world, artifacts, port)
        try:
            yield made
        finally:
            made.leave()


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[int]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            """Quietly."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _archive(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("release.yaml")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
