"""Where a node lives and which addresses it takes, read once from the environment.

Two nodes fit on one machine when their state folders and their network namespaces differ: kube-proxy's chain names
are fixed, so one network namespace carries one node.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

VERSIONS = ("1.37.2", "1.35.4")
DEFAULT_STATE = Path("/var/lib/locktender/cluster")


class ClusterError(Exception):
    """What stopped a command, in words for the person who typed it; the command ends with exit code 1."""


def cache_root() -> Path:
    """The folder of built binaries and images: `$XDG_CACHE_HOME/locktender`, `~/.cache/locktender` without it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "locktender"


def checked_version(version: str) -> str:
    """`version` without a leading v; ClusterError when no go.mod of ours builds it."""
    plain = version.removeprefix("v")
    if plain not in VERSIONS:
        raise ClusterError(f"Kubernetes {version} is not among those built here: set K8S to {' or '.join(VERSIONS)}.")
    return plain


@dataclass(frozen=True)
class Ports:
    """The TCP ports a node listens on, each moved by `offset`."""

    offset: int = 0

    @property
    def etcd(self) -> int:
        """Clients of etcd, on 127.0.0.1."""
        return 2379 + self.offset

    @property
    def etcd_peer(self) -> int:
        """Other etcd members; there are none, but etcd wants the port."""
        return 2380 + self.offset

    @property
    def apiserver(self) -> int:
        """The Kubernetes API, on the bridge address."""
        return 6443 + self.offset

    @property
    def kubelet(self) -> int:
        """Logs, exec and metrics of pods."""
        return 10250 + self.offset

    @property
    def proxy_metrics(self) -> int:
        """Metrics of kube-proxy."""
        return 10249 + self.offset

    @property
    def proxy_health(self) -> int:
        """Health of kube-proxy."""
        return 10256 + self.offset

    @property
    def controller_manager(self) -> int:
        """Health of kube-controller-manager."""
        return 10257 + self.offset

    @property
    def scheduler(self) -> int:
        """Health of kube-scheduler."""
        return 10259 + self.offset

    @property
    def kubelet_health(self) -> int:
        """Health of the kubelet, on 127.0.0.1."""
        return 10248 + self.offset

    @property
    def dns(self) -> int:
        """CoreDNS behind the service address, port 53 of the host stays free."""
        return 1053 + self.offset

    @property
    def dns_ready(self) -> int:
        """Readiness of CoreDNS."""
        return 8181 + self.offset

    def of(self, component: str) -> tuple[int, ...]:
        """The ports that `component` takes; empty for one that listens on none."""
        return {
            "etcd": (self.etcd, self.etcd_peer),
            "kube-apiserver": (self.apiserver,),
            "kube-controller-manager": (self.controller_manager,),
            "kube-scheduler": (self.scheduler,),
            "kubelet": (self.kubelet, self.kubelet_health),
            "kube-proxy": (self.proxy_metrics, self.proxy_health),
            "coredns": (self.dns, self.dns_ready),
        }.get(component, ())


@dataclass(frozen=True)
class Settings:
    """One node: its folder, its Kubernetes version, its addresses."""

    state: Path = DEFAULT_STATE
    version: str = VERSIONS[0]
    bridge: str = "cni0"
    pods: IPv4Network = field(default_factory=lambda: IPv4Network("10.88.0.0/16"))
    services: IPv4Network = field(default_factory=lambda: IPv4Network("10.96.0.0/16"))
    ports: Ports = field(default_factory=Ports)
    netns: str = ""
    volumes: int = 60

    @staticmethod
    def from_environment() -> Settings:
        """The settings that the LOCKTENDER_* variables and K8S describe."""
        env = os.environ
        return Settings(
            state=Path(env.get("LOCKTENDER_STATE") or DEFAULT_STATE).absolute(),
            version=checked_version(env.get("K8S") or VERSIONS[0]),
            bridge=env.get("LOCKTENDER_BRIDGE") or "cni0",
            pods=IPv4Network(env.get("LOCKTENDER_POD_SUBNET") or "10.88.0.0/16"),
            services=IPv4Network(env.get("LOCKTENDER_SERVICE_SUBNET") or "10.96.0.0/16"),
            ports=Ports(int(env.get("LOCKTENDER_PORT_OFFSET") or 0)),
            netns=env.get("LOCKTENDER_NETNS") or "",
        )

    @property
    def name(self) -> str:
        """The node's name for its /run folder, its cgroup and its pod network; distinct for each state folder."""
        if self.state == DEFAULT_STATE:
            return "locktender"
        return "locktender-" + hashlib.sha256(str(self.state).encode()).hexdigest()[:8]

    @property
    def address(self) -> str:
        """The bridge's address: the node's own, and the one the API server listens on."""
        return str(self.pods.network_address + 1)

    @property
    def kubernetes_service(self) -> str:
        """The address of the service `kubernetes`: Kubernetes takes the first of the range."""
        return str(self.services.network_address + 1)

    @property
    def dns_service(self) -> str:
        """The address of the service `kube-dns`."""
        return str(self.services.network_address + 10)

    @property
    def run(self) -> Path:
        """The folder of containerd's socket and running containers; on a tmpfs, so a reboot empties it."""
        return Path("/run") / self.name

    @property
    def containerd_socket(self) -> Path:
        """Containerd's socket."""
        return self.run / "containerd.sock"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"
