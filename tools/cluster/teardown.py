"""Takes a node down from whatever state it is in: what `up` recorded is stopped, unmounted and deleted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.cluster import network, processes
from tools.cluster.settings import ClusterError, Ports, Settings

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

# What the kubelet, kube-proxy and the CNI plugins change in the kernel.
KERNEL_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
# The kubelet first, or it would start again what the others stop.
ORDER = ("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager", "coredns", "kube-apiserver", "etcd")
CGROUPS = Path("/sys/fs/cgroup")
# containerd puts the containers of its namespace k8s.io into a cgroup of that name.
CONTAINERS = "k8s.io"
SHIM = "containerd-shim-runc-v2"
# Where containerd puts the sockets of its shims, whatever its own folder.
SHIM_SOCKETS = Path("/run/containerd/s")


def settings_to(settings: Settings) -> dict[str, Any]:
    """The settings as JSON."""
    return {key: value.offset if isinstance(value, Ports) else value if isinstance(value, int) else str(value)
            for key, value in ((k, getattr(settings, k)) for k in settings.__dataclass_fields__)}  # fmt: skip


def settings_from(content: dict[str, Any]) -> Settings:
    """The settings that `settings_to` wrote."""
    return Settings(
        state=Path(content["state"]),
        version=content["version"],
        bridge=content["bridge"],
        pods=IPv4Network(content["pods"]),
        services=IPv4Network(content["services"]),
        ports=Ports(content["ports"]),
        netns=content["netns"],
        volumes=content["volumes"],
    )


def remember_kernel_settings(settings: Settings) -> None:
    """Keep the values that the node will change, once."""
    file = settings.state / "kernel.json"
    if file.exists():
        return
    values = {name: path.read_text().strip() for name in KERNEL_SETTINGS if (path := Path("/proc/sys") / name).exists()}
    draft = settings.state / ".kernel.draft"
    draft.write_text(json.dumps(values))
    draft.replace(file)


def remove(settings: Settings, progress: Progress) -> None:
    """Stop and delete the node that was made with `settings`."""
    state = settings.state
    for name in ORDER:
        process = processes.running(state, name)
        if process:
            processes.stop(process, 0.0 if name == "etcd" else 3.0)
    progress.say("stopped the control plane and the kubelet")
    cgroups = _cgroups(settings)
    _stop_containers(settings, cgroups)
    containerd = processes.running(state, "containerd")
    if containerd:
        processes.stop(containerd, 3.0)
    _unmount_below(settings.run, state)
    network.remove_bridge(settings)
    network.remove_chains()
    _remove_cgroups(cgroups)
    _restore_kernel_settings(settings)
    _delete_folders(settings)
    if settings.netns:
        network.remove_namespace(settings.netns)
    progress.say("removed mounts, bridge, packet filter chains, cgroups and folders")


def _stop_containers(settings: Settings, cgroups: list[Path]) -> None:
    """End the processes in the node's cgroups, then the shims that watched them, which wrote down their ids."""
    end = time.monotonic() + 10
    while (pids := _contained(cgroups)) and time.monotonic() < end:
        for pid in pids:
            _kill(pid)
        time.sleep(0.05)
    for pid in _shims(settings):
        processes.stop_pid(pid, 0.0)


def _shims(settings: Settings) -> list[int]:
    """The processes that containerd left watching containers. They write no process id, but their command line names
    the socket of the containerd they belong to, and no two nodes share one.
    """
    sockets = f" -address {settings.containerd_socket} "
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if sockets in (line := processes.command_line(pid)) and SHIM in line.split(" ", 1)[0]]


def _contained(cgroups: list[Path]) -> set[int]:
    pids: set[int] = set()
    for folder in (folder for tree in cgroups for folder in _folders(tree)):
        try:
            pids.update(int(word) for word in (folder / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError):
            continue  # the cgroup went away between listing and reading
    return pids - {0, os.getpid()}


def _folders(tree: Path) -> list[Path]:
    """The cgroup and all below it, the deepest first. The walk passes over what goes away meanwhile."""
    return [Path(folder) for folder, _, _ in os.walk(tree, topdown=False)]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def _cgroups(settings: Settings) -> list[Path]:
    """The cgroup of each container that containerd has a folder for: one in version 2, one per controller in version 1."""
    names = [path.name for path in settings.run.glob("io.containerd.runtime.v2.task/k8s.io/*")]
    trees = [CGROUPS / CONTAINERS, *CGROUPS.glob(f"*/{CONTAINERS}")]
    return [tree / name for tree in trees for name in names if (tree / name).is_dir()]


def _remove_cgroups(cgroups: list[Path]) -> None:
    end = time.monotonic() + 10
    for tree in cgroups:
        for folder in _folders(tree):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError as busy:
                    if time.monotonic() > end:
                        raise ClusterError(f"The cgroup {folder} cannot be removed: {busy.strerror}.") from busy
                    time.sleep(0.05)
    for parent in (CGROUPS / CONTAINERS, *CGROUPS.glob(f"*/{CONTAINERS}")):
        with contextlib.suppress(OSError):  # another node's containers are in it, or it is not there
            parent.rmdir()


def _unmount_below(*folders: Path) -> None:
    for _ in range(3):
        mounts = [
            line.split()[1].encode().decode("unicode_escape")
            for line in Path("/proc/self/mounts").read_text().splitlines()
        ]
        ours = [mount for mount in mounts if any(mount == str(f) or mount.startswith(f"{f}/") for f in folders)]
        for mount in reversed(ours):
            network.run("umount", "--lazy", mount, check=False)
        if not ours:
            return


def _restore_kernel_settings(settings: Settings) -> None:
    file = settings.state / "kernel.json"
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            path = Path("/proc/sys") / name
            if path.exists() and path.read_text().strip() != value:
                path.write_text(value)


def _delete_folders(settings: Settings) -> None:
    for bootstrap in settings.run.glob("io.containerd.runtime.v2.task/*/*/bootstrap.json"):
        address = json.loads(bootstrap.read_text()).get("address", "").removeprefix("unix://")
        if Path(address).parent == SHIM_SOCKETS:
            Path(address).unlink(missing_ok=True)
    for results in Path("/var/lib/cni/results").glob(f"{settings.name}-*"):
        results.unlink()
    for link in Path("/var/log/containers").glob("*.log"):
        if str(link.readlink()).startswith(f"{settings.state}/"):
            link.unlink()
    for folder in (settings.run, settings.state):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)
    # Shared with other container software: deleted only when nothing is left inside.
    for shared in ("/var/lib/cni/results", "/var/lib/cni", "/var/log/containers", "/var/lib/kubelet/device-plugins",
                   "/var/lib/kubelet", str(SHIM_SOCKETS), "/run/containerd/io.containerd.runtime.v2.task",
                   "/run/containerd"):  # fmt: skip
        if Path(shared).is_dir() and not any(Path(shared).iterdir()):
            Path(shared).rmdir()
