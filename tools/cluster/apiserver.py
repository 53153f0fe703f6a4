"""An API server without a node: etcd, kube-apiserver and, if asked, kube-controller-manager.

    with ApiServer(version="1.37.2") as server:
        subprocess.run(["kubectl", "--kubeconfig", server.kubeconfig, "get", "ns"])

It takes free ports on 127.0.0.1, so any number of them run beside each other and beside a node.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tools.cluster import golang, pki, processes
from tools.cluster.api import Api, wait_for
from tools.cluster.cache import locked
from tools.cluster.control_plane import AUDIT_LOG, ControlPlane
from tools.cluster.progress import Progress
from tools.cluster.settings import VERSIONS, ClusterError, Ports, checked_version

if TYPE_CHECKING:
    from types import TracebackType

ADDRESS = "127.0.0.1"
# The address in the service `kubernetes`, which must not be a loopback one. No pod runs to use it (RFC 5737).
NOWHERE = "192.0.2.1"
SERVICES = "10.97.0.0/16"
READY_SECONDS = 60
# In the order of starting; stopped in reverse.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")


class ApiServer:
    """A context manager that starts an API server and removes it with all its data."""

    def __init__(
        self,
        version: str = VERSIONS[0],
        *,
        controller_manager: bool = False,
        audit: bool = False,
        audited_group: str = "",
        state: Path | None = None,
        quiet: bool = True,
    ) -> None:
        """`state`: a folder for its data, a temporary one by default; both are deleted at the end.

        With `audit`, every write to a Deployment stands in `audit_log` before it is answered; with `audited_group`, instead, every
        request of that group of users.
        """
        self.version = checked_version(version)
        self._controller_manager = controller_manager
        self._audit = audit
        self._audited_group = audited_group
        self._state = state
        self._progress = Progress(quiet=quiet)

    def __enter__(self) -> Self:
        """Build what is missing, start, wait until ready. ClusterError when it does not start."""
        self._state = self._state or Path(tempfile.mkdtemp(prefix="locktender-apiserver-"))
        try:
            self._start()
        except BaseException:
            stop(self._state)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the processes and delete the data."""
        stop(self.state)

    def restart(self) -> None:
        """End the API server, as an upgrade of a control plane does, and start it again on the same data."""
        process = processes.running(self.state, "kube-apiserver")
        if process:
            processes.stop(process)
        self._start()

    def _start(self) -> None:
        start(
            self.state,
            self.version,
            self._progress,
            controller_manager=self._controller_manager,
            audit=self._audit,
            audited_group=self._audited_group,
            mine=True,
        )

    @property
    def state(self) -> Path:
        """The folder of data, logs and certificates; ClusterError before the start."""
        if self._state is None:
            raise ClusterError("This API server was not started.")
        return self._state

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line."""
        return self.state / AUDIT_LOG

    @property
    def url(self) -> str:
        """Such as https://127.0.0.1:34567."""
        return f"https://{ADDRESS}:{_ports(self.state)['kube-apiserver']}"


def start(
    state: Path,
    version: str,
    progress: Progress,
    *,
    controller_manager: bool = False,
    audit: bool = False,
    audited_group: str = "",
    mine: bool = False,
) -> Path:
    """Have an API server of `version` running in the folder `state`; returns its kubeconfig.

    With `mine`, its processes die with this one, however it ends.
    """
    wanted = COMPONENTS if controller_manager else COMPONENTS[:2]
    stages = golang.api_stages(version)
    programs = golang.built(stages if controller_manager else stages[:3], progress)
    with locked(state.with_name(f".{state.name}.lock")):
        ports = _ports(state)
        identities = pki.client_identities("none")
        pki.create(state / "pki", (ADDRESS, "10.97.0.1", "localhost", "kubernetes.default.svc"), identities)
        plane = ControlPlane(
            state=state,
            programs=programs,
            address=ADDRESS,
            services=SERVICES,
            ports=Ports(ports["offset"]),
            etcd_port=ports["etcd"],
            etcd_peer_port=ports["etcd-peer"],
            apiserver_port=ports["kube-apiserver"],
            advertised=NOWHERE,
            audit=audit,
            audited_group=audited_group,
            # No node, so no Service network: a webhook's Service is called at the addresses of its EndpointSlices.
            more=("--enable-aggregator-routing=true",),
        )
        for file, identity in (("kubeconfig", "admin"), ("controller-manager.kubeconfig", "controller-manager")):
            pki.write_kubeconfig(state / file, plane.server, state / "pki", identity)
        plane.write_audit_policy()
        described = {
            "etcd": plane.etcd,
            "kube-apiserver": plane.apiserver,
            "kube-controller-manager": plane.controller_manager,
        }
        for name in wanted:
            processes.ensure(state, described[name](), die_with_parent=mine)
        _wait(state, plane, wanted)
    return state / "kubeconfig"


def stop(state: Path) -> None:
    """Stop what `start` started in `state` and delete the folder; no error when there is nothing."""
    for name in reversed(COMPONENTS):
        process = processes.running(state, name)
        if process:
            processes.stop(process)
    shutil.rmtree(state, ignore_errors=True)
    state.with_name(f".{state.name}.lock").unlink(missing_ok=True)


def _wait(state: Path, plane: ControlPlane, wanted: tuple[str, ...]) -> None:
    api = Api(ADDRESS, plane.apiserver_port, state / "pki")

    def ready() -> bool:
        for name in wanted:
            if processes.running(state, name) is None:
                raise ClusterError(f"{name} ended at once. The end of its log:\n{processes.log_tail(state, name)}")
        return api.ready() and api.get("/api/v1/namespaces/default") is not None

    try:
        wait_for("The API server", READY_SECONDS, ready, lambda: processes.log_tail(state, "kube-apiserver"))
    finally:
        api.close()


def _ports(state: Path) -> dict[str, int]:
    """The ports of the API server in `state`, chosen at the first call and kept in a file."""
    file = state / "ports.json"
    if file.is_file():
        kept: dict[str, int] = json.loads(file.read_text())
        return kept
    names = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager")
    with contextlib.ExitStack() as sockets:
        chosen: dict[str, int] = {}
        for name in names:
            taken = sockets.enter_context(socket.socket())
            taken.bind((ADDRESS, 0))
            chosen[name] = taken.getsockname()[1]
    chosen["offset"] = chosen["kube-controller-manager"] - Ports().controller_manager
    state.mkdir(parents=True, exist_ok=True)
    draft = state / ".ports.draft"
    draft.write_text(json.dumps(chosen))
    draft.replace(file)
    return chosen
