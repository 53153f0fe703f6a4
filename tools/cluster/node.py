"""Brings the node up, step by step, each step a no-op when its result is there; so `up` repairs what is broken.

lock -> check -> build -> node.json -> bridge -> certificates -> etcd, API server, ... -> image -> add-ons -> Ready
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.cluster import addons, configuration, golang, images, network, pki, processes, requirements, teardown
from tools.cluster.api import Api, wait_for
from tools.cluster.cache import locked
from tools.cluster.configuration import NODE_NAME
from tools.cluster.control_plane import ControlPlane
from tools.cluster.processes import Program
from tools.cluster.settings import ClusterError, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tools.cluster.progress import Progress

READY_SECONDS = 90
# In the order of starting. What fails here is named by its own log.
COMPONENTS = (
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "coredns",
    "kube-proxy",
    "kubelet",
)
TOOLS = ("kubectl", "helm", "ctr")


@dataclass(frozen=True)
class Node:
    """A node's settings and its programs."""

    settings: Settings
    programs: dict[str, Path]

    def api(self) -> Api:
        """A client with all rights."""
        return Api(self.settings.address, self.settings.ports.apiserver, self.settings.pki)


def up(settings: Settings, progress: Progress) -> Path:
    """Have the node running and Ready; returns the administrator's kubeconfig. ClusterError says why not."""
    if settings.netns:
        network.enter_namespace(settings.netns, create=True)
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_file(settings), lambda: progress.say("waiting: another `up` or `down` works on this node")):
        requirements.check(settings, progress)
        node = Node(settings, _built(settings, progress))
        _remember(settings)
        teardown.remember_kernel_settings(settings)
        network.ensure_bridge(settings)
        _identities(settings)
        _start(node, progress)
        _link_tools(node)
        images_wanted = images.pause(progress)
        images.import_into_node(settings, images_wanted, node.programs["ctr"], progress)
        with contextlib.closing(node.api()) as api:
            wait_for("The API server", READY_SECONDS, lambda: _alive(node) and api.ready(), lambda: _logs(settings))
            addons.apply_all(api, settings)
            wait_for("The node", READY_SECONDS, lambda: _alive(node) and _ready(api), lambda: _logs(settings))
        progress.say(f"node ready: Kubernetes {settings.version}")
    return settings.kubeconfig


def _start(node: Node, progress: Progress) -> None:
    state, wanted = node.settings.state, _described(node)
    started = [name for name in COMPONENTS[:-1] if processes.ensure(state, wanted[name])]
    # The kubelet ends when it finds no containerd.
    wait_for("containerd", 30, lambda: _containerd_answers(node), lambda: processes.log_tail(state, "containerd"))
    started += [name for name in COMPONENTS[-1:] if processes.ensure(state, wanted[name])]
    if started:
        progress.say(f"started {', '.join(started)}")


def lock_file(settings: Settings) -> Path:
    """Beside the state folder, which `down` deletes."""
    return settings.state.with_name(f".{settings.state.name}.lock")


def known(state: Path) -> Settings | None:
    """The settings that the node in `state` was started with; None when there is no node."""
    file = state / "node.json"
    if not file.is_file():
        return None
    return teardown.settings_from(json.loads(file.read_text()))


def _built(settings: Settings, progress: Progress) -> dict[str, Path]:
    """The node's programs. While Go compiles the first time, the base image is made beside it."""
    stages = golang.node_stages(settings.version)
    if golang.missing_seconds(stages) == 0:
        return golang.built(stages, progress)
    failed: list[Exception] = []

    def make_base() -> None:
        try:
            images.pause(progress)
            images.base(progress)
        except Exception as error:  # noqa: BLE001 (raised again below, in the main thread)
            failed.append(error)

    beside = threading.Thread(target=make_base)
    beside.start()
    try:
        return golang.built(stages, progress)
    finally:
        beside.join()
        if failed:
            raise failed[0]


def _remember(settings: Settings) -> None:
    """Write the settings before the first change to the machine, so that `down` undoes it from any point."""
    settings.state.mkdir(parents=True, exist_ok=True)
    before = known(settings.state)
    if before and before != settings:
        raise ClusterError(
            f"The node in {settings.state} was made with other settings (Kubernetes {before.version}, bridge "
            f"{before.bridge}). Remove it first: python3 -m tools.cluster down"
        )
    if before is None:
        draft = settings.state / ".node.draft"
        draft.write_text(json.dumps(teardown.settings_to(settings), indent=1))
        draft.replace(settings.state / "node.json")


def _identities(settings: Settings) -> None:
    names = (
        "127.0.0.1",
        settings.address,
        settings.kubernetes_service,
        "localhost",
        NODE_NAME,
        "kubernetes.default.svc",
    )
    pki.create(settings.pki, names, pki.client_identities(NODE_NAME))
    server = f"https://{settings.address}:{settings.ports.apiserver}"
    for identity in pki.client_identities(NODE_NAME):
        file = settings.kubeconfig if identity.file == "admin" else settings.state / f"{identity.file}.kubeconfig"
        pki.write_kubeconfig(file, server, settings.pki, identity.file)


def _described(node: Node) -> dict[str, Program]:
    settings, programs = node.settings, {name: str(path) for name, path in node.programs.items()}
    files = configuration.write(settings)
    plane = ControlPlane(
        state=settings.state,
        programs=node.programs,
        address=settings.address,
        services=str(settings.services),
        ports=settings.ports,
        etcd_port=settings.ports.etcd,
        etcd_peer_port=settings.ports.etcd_peer,
        apiserver_port=settings.ports.apiserver,
        advertised=settings.address,
    )
    containerd = (programs["containerd"], "--config", str(files["containerd"]))
    kubelet = (
        programs["kubelet"],
        f"--kubeconfig={settings.state}/kubelet.kubeconfig",
        f"--config={files['kubelet']}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={settings.address}",
        f"--root-dir={settings.state}/kubelet",
        f"--cert-dir={settings.state}/kubelet/pki",
        # A second kubelet of this node would wait here for the first one to end.
        f"--lock-file={settings.state}/kubelet.lock",
    )
    proxy = (programs["kube-proxy"], f"--config={files['proxy']}")
    coredns = (programs["coredns"], "-conf", str(files["corefile"]))
    all_programs = {
        # containerd looks for its shim on PATH, the shim for runc.
        "containerd": Program(
            "containerd", containerd, (files["containerd"],), str(node.programs["containerd"].parent)
        ),
        "etcd": plane.etcd(),
        "kube-apiserver": plane.apiserver(),
        "kube-controller-manager": plane.controller_manager(),
        "kube-scheduler": plane.scheduler(),
        "coredns": Program("coredns", coredns, (files["corefile"],)),
        "kubelet": Program("kubelet", kubelet, (files["kubelet"],)),
        "kube-proxy": Program("kube-proxy", proxy, (files["proxy"],)),
    }
    return {name: all_programs[name] for name in COMPONENTS}


def _link_tools(node: Node) -> None:
    folder = node.settings.state / "bin"
    folder.mkdir(exist_ok=True)
    for tool in TOOLS:
        link = folder / tool
        if not link.is_symlink() or link.readlink() != node.programs[tool]:
            link.unlink(missing_ok=True)
            link.symlink_to(node.programs[tool])


def _containerd_answers(node: Node) -> bool:
    client = (str(node.programs["ctr"]), "--address", str(node.settings.containerd_socket), "version")
    if processes.running(node.settings.state, "containerd") is None:
        raise ClusterError(_ended(node.settings.state, "containerd"))
    return "Revision" in network.run(*client, check=False).partition("Server:")[2]


def _alive(node: Node) -> bool:
    """True; ClusterError with the end of its log when a component ended."""
    state = node.settings.state
    for name in COMPONENTS:
        if processes.running(state, name) is None:
            raise ClusterError(_ended(state, name))
    return True


def _ended(state: Path, name: str) -> str:
    return f"{name} ended. The end of {state}/logs/{name}.log:\n{processes.log_tail(state, name)}"


def _ready(api: Api) -> bool:
    node = api.get(f"/api/v1/nodes/{NODE_NAME}")
    conditions = node.get("status", {}).get("conditions", []) if node else []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    # Pods are refused until the controller manager made the namespace's account.
    return ready and api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None


def _logs(settings: Settings) -> str:
    return "\n".join(f"{name}:\n{processes.log_tail(settings.state, name, 4)}" for name in COMPONENTS)
