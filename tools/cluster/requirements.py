"""What a node needs from the machine, asked before anything is started and told in one message."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import golang, network, processes
from tools.cluster.settings import ClusterError, Settings, cache_root

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

# Debian packages by a program that they bring.
PACKAGES = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "gcc": "gcc",
    "openssl": "openssl",
    "mount": "mount",
    "tar": "tar",
}
GIGABYTE = 10**9
# Go's own build cache and modules take about 7 GB, our binaries 1 GB, images and a running cluster the rest.
COLD_DISK = 14 * GIGABYTE
WARM_DISK = 4 * GIGABYTE
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")


def check(settings: Settings, progress: Progress) -> None:
    """Install missing Debian packages; ClusterError with everything else that is missing and what to do about it."""
    if os.geteuid() != 0:
        raise ClusterError(
            "A node needs root: it mounts, adds a bridge and packet filter rules. Run it with sudo, "
            "or set LOCKTENDER_KUBECONFIG to a cluster you have."
        )
    _install_packages(progress)
    found = [*_go(settings), *_kernel(), *_disk(settings), *_ports(settings), *_other_kubernetes(settings)]
    if found:
        raise ClusterError("The node cannot start on this machine:\n" + "\n".join(f"  - {line}" for line in found))


def _install_packages(progress: Progress) -> None:
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if not missing:
        return
    fix = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing)}"
    if shutil.which("apt-get") is None:
        raise ClusterError(f"These packages are missing (Debian's names): {' '.join(missing)}. Install them first.")
    progress.say(f"installing Debian packages: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(("sh", "-c", fix), env=environment, capture_output=True, text=True, check=False)
    still = [program for program in PACKAGES if shutil.which(program) is None]
    if done.returncode != 0 or still:
        raise ClusterError(f"Packages could not be installed. Run: {fix}\n{done.stderr.strip()[-1000:]}")


def _go(settings: Settings) -> list[str]:
    if golang.missing_seconds(golang.node_stages(settings.version)) == 0 and shutil.which("go"):
        return []
    if shutil.which("go") is None:
        return ["Go is not on PATH. Install Go 1.26.6 or newer: https://go.dev/doc/install"]
    version = golang.go_version()
    number = tuple(int(part) for part in version.removeprefix("go").split("-")[0].split(".")[:3])
    return (
        []
        if number >= (1, 26, 6)
        else [f"{version} is too old. Install Go 1.26.6 or newer: https://go.dev/doc/install"]
    )


def _kernel() -> list[str]:
    lines = []
    filesystems = Path("/proc/filesystems").read_text()
    if "\toverlay\n" not in filesystems and subprocess.run(("modprobe", "overlay"), check=False).returncode != 0:
        lines.append("The kernel has no overlay file system. Load it: modprobe overlay")
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        subprocess.run(("modprobe", "br_netfilter"), check=False, capture_output=True)
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        lines.append("Bridged packets do not pass iptables, so services do not work. Load it: modprobe br_netfilter")
    if "cgroup" not in Path("/proc/self/mounts").read_text():
        lines.append("No control groups are mounted. Mount them: mount -t cgroup2 none /sys/fs/cgroup")
    return lines


def _disk(settings: Settings) -> list[str]:
    lines = []
    cold = golang.missing_seconds(golang.node_stages(settings.version)) > 0
    for folder, needed in ((cache_root(), COLD_DISK if cold else WARM_DISK), (settings.state, WARM_DISK)):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            lines.append(
                f"{existing} has {free / GIGABYTE:.1f} GB free, {needed / GIGABYTE:.0f} GB are needed. Make room, or set "
                "XDG_CACHE_HOME (builds) or LOCKTENDER_STATE (the cluster) to another disk."
            )
    return lines


def _ports(settings: Settings) -> list[str]:
    lines = []
    for component in COMPONENTS:
        if processes.running(settings.state, component):
            continue
        lines += [
            f"Port {port} ({component}) is in use. See who: ss -ltnp 'sport = :{port}'. "
            "Stop it, or set LOCKTENDER_PORT_OFFSET=1000."
            for port in settings.ports.of(component)
            if any(_taken(address, port) for address in ("127.0.0.1", settings.address))
        ]
    return lines


def _taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == 98  # EADDRINUSE; another error means that the bridge is not there yet
    return False


def _other_kubernetes(settings: Settings) -> list[str]:
    if (settings.state / "node.json").exists() or not network.foreign_chains():
        return []
    message = (
        "The packet filter has the chains of another Kubernetes (KUBE-*), and one network carries one node. "
        "Stop that one, or give this one a network of its own: LOCKTENDER_NETNS=locktender"
    )
    return [message]
