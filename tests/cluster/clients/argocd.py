"""Argo CD's controller and repo-server, watching one namespace, with the health scripts of deploy/argocd. Git is a folder of the test."""

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.clients.processes import free_port, running
from tests.cluster.kit.world import World
from tools.cluster import clients
from tools.cluster.progress import Progress
from tools.kube.api import environment
from tools.render.argocd import CONFIG_MAP

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/{}/applications"
SERVER = "https://kubernetes.default.svc"
NAME = "shop"
REFRESH = "argocd.argoproj.io/refresh"
PATIENCE = 150.0  # seconds


class ArgoCD:
    """One Application, its repository, and what the controller says about it."""

    def __init__(self, world: World, repository: Path) -> None:
        self.world, self.repository = world, repository
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, *objects: dict[str, Any]) -> str:
        """The repository holds these objects and nothing else; the revision."""
        (self.repository / "release.yaml").write_text(yaml.safe_dump_all(objects))
        self._git("add", "--all")
        self._git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "--message=release")
        return self._git("rev-parse", "HEAD").strip()

    def application(self, *options: str, annotations: dict[str, str] | None = None) -> None:
        """An Application with automated sync and self-heal."""
        source = {"repoURL": f"file://{self.repository}", "path": ".", "targetRevision": "main"}
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": NAME, "annotations": annotations or {}},
            "spec": {
                "project": "default",
                "source": source,
                "destination": {"server": SERVER, "namespace": self.world.name},
                "syncPolicy": {"automated": {"selfHeal": True}, "syncOptions": list(options)},
            },
        }
        self.world.api.create(APPLICATIONS.format(self.world.name), body)

    def seen(self) -> dict[str, Any]:
        """The Application as the API server has it now."""
        found: dict[str, Any] = self.world.api.get(self._path)
        return found

    def refresh(self) -> None:
        """Have the Application compared with its repository once more, and wait for the end."""
        self._ask_to_refresh()
        self._until(
            lambda app: REFRESH not in app["metadata"].get("annotations", {}), "was not refreshed", self._ask_to_refresh
        )

    def sync(self) -> str:
        """Have it applied once more, whatever the comparison says. The phase it ended in."""
        asked = {"name": "asked", "value": str(time.time_ns())}
        options = self.seen()["spec"]["syncPolicy"].get("syncOptions", [])
        sync = {"revision": "main", "syncStrategy": {"hook": {}}, "syncOptions": options}

        def ask() -> None:
            # The end of the operation before takes `operation` away, and with it a wish that came in that moment.
            if "operation" not in self.seen():
                self.world.api.merge(self._path, {"operation": {"sync": sync, "info": [asked]}})

        def ended(app: dict[str, Any]) -> bool:
            state = app.get("status", {}).get("operationState", {})
            mine = asked in state.get("operation", {}).get("info", [])
            return mine and state.get("phase") in {"Succeeded", "Failed", "Error"}

        ask()
        return str(self._until(ended, "was not synced", ask)["status"]["operationState"]["phase"])

    def terminate(self) -> None:
        """End the sync that is under way, by the write that `argocd app terminate-op` makes."""
        self.world.api.merge(self._path, {"status": {"operationState": {"phase": "Terminating"}}})

    def wait(self, revision: str, *, sync: str = "Synced", health: str) -> dict[str, Any]:
        """Until the Application is at a revision with this sync and health status. The Application."""

        def reached(app: dict[str, Any]) -> bool:
            status = app.get("status", {})
            compared = status.get("sync", {})
            return (compared.get("revision"), compared.get("status"), status.get("health", {}).get("status")) == (
                revision, sync, health,
            )  # fmt: skip

        return self._until(reached, f"is not {sync} and {health} at {revision[:8]}", self._ask_to_refresh)

    def wait_phase(self, revision: str, phase: str) -> dict[str, Any]:
        """Until the last sync, of a revision, ended in this phase. Its state."""

        def reached(app: dict[str, Any]) -> bool:
            state = app.get("status", {}).get("operationState", {})
            return (state.get("phase"), state.get("syncResult", {}).get("revision")) == (phase, revision)

        state: dict[str, Any] = self._until(
            reached, f"no sync of {revision[:8]} ended in {phase}", self._ask_to_refresh
        )["status"]["operationState"]
        return state

    def wait_failed(self, kind: str) -> dict[str, Any]:
        """Until the sync that is under way has noted the failure of the resource of a kind. Its state."""

        def noted(app: dict[str, Any]) -> bool:
            results = app["status"]["operationState"].get("syncResult", {}).get("resources", [])
            return any(item["kind"] == kind and item.get("hookPhase") == "Failed" for item in results)

        state: dict[str, Any] = self._until(noted, f"does not note the failure of the {kind}")["status"][
            "operationState"
        ]
        return state

    def health(self, kind: str) -> dict[str, Any]:
        """What it shows for the resource of a kind."""
        found = (item for item in self.seen()["status"].get("resources", []) if item["kind"] == kind)
        return dict(next(found, {}).get("health", {}))

    @property
    def _path(self) -> str:
        return f"{APPLICATIONS.format(self.world.name)}/{NAME}"

    def _ask_to_refresh(self) -> None:
        """A fresh word each time: the controller sees no event in an annotation that is set again to what it was."""
        annotations = {REFRESH: "normal", "asked": str(time.time_ns())}
        self.world.api.merge(self._path, {"metadata": {"annotations": annotations}})

    def _until(self, look: Any, what: str, again: Any = None) -> dict[str, Any]:
        """The Application that `look` accepts; `again` is called every second until then."""
        end = time.monotonic() + PATIENCE
        asked = time.monotonic()
        while True:
            app = self.seen()
            if look(app):
                return app
            state = {key: app.get("status", {}).get(key) for key in ("sync", "health", "operationState", "conditions")}
            assert time.monotonic() < end, f"the Application {what}: {state}\n{self.world.state()}"
            if again and time.monotonic() - asked > 1:
                again()
                asked = time.monotonic()
            time.sleep(0.1)

    def _git(self, *arguments: str) -> str:
        command = ("git", "-C", str(self.repository), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def argocd(world: World, folder: Path) -> Iterator[ArgoCD]:
    """Redis, repo-server and controller, for this namespace alone."""
    _settings(world)
    program = str(clients.program(clients.ARGO_CD, Progress(quiet=True)))
    redis, repository = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    known = environment(world.stage.kubeconfig, world.stage.tools) | {
        "ARGOCD_FAKE_IN_CLUSTER": "true", "ARGOCD_GPG_ENABLED": "false", "TMPDIR": str(folder),
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass"), "ARGOCD_PLUGINSOCKFILEPATH": str(folder),
        "ARGOCD_TLS_DATA_PATH": str(folder), "ARGOCD_SSH_DATA_PATH": str(folder), "HOSTNAME": "argocd-application-controller-0",
    }  # fmt: skip
    serve = (
        program, f"--redis={redis}", "--disable-tls", "--address=127.0.0.1", f"--port={repository.partition(':')[2]}",
        "--metrics-address=127.0.0.1", f"--metrics-port={free_port()}",
    )  # fmt: skip
    control = (
        program, f"--namespace={world.name}", f"--redis={redis}", f"--repo-server={repository}",
        "--repo-server-plaintext", f"--metrics-port={free_port()}",
        "--self-heal-timeout-seconds=1", "--persist-resource-health",
    )  # fmt: skip
    checkout = folder / "repository"
    checkout.mkdir()
    with (
        running(
            (str(clients.program(clients.MINIREDIS, Progress(quiet=True))), redis), os.environ, folder / "redis.log"
        ),
        running(serve, known | {"ARGOCD_BINARY_NAME": "argocd-repo-server"}, folder / "repo-server.log"),
        running(control, known | {"ARGOCD_BINARY_NAME": "argocd-application-controller"}, folder / "controller.log"),
    ):
        yield ArgoCD(world, checkout)


def _settings(world: World) -> None:
    """What Argo CD's own install file would bring: settings with our scripts, the default project, the cluster it works on."""
    scripts = yaml.safe_load(CONFIG_MAP.read_text())
    part = {"app.kubernetes.io/part-of": "argocd"}
    anywhere = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    cluster = {"name": "in-cluster", "server": SERVER, "namespaces": world.name, "config": "{}"}
    world.apply(
        scripts,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-rbac-cm", "labels": part}},
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "labels": part},
            "stringData": {"server.secretkey": secrets.token_hex(16)},
        },
        {
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "cluster", "labels": part | {"argocd.argoproj.io/secret-type": "cluster"}},
            "stringData": cluster,
        },
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}, "spec": anywhere},
    )  # fmt: skip
