"""The configuration files of containerd, the kubelet, kube-proxy, CNI and CoreDNS, written for one node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tools.cluster.settings import Settings

NODE_NAME = "node1"
PAUSE_IMAGE = "localhost/locktender/pause:1"


def write(settings: Settings) -> dict[str, Path]:
    """Write all files under the state folder; their paths by short name. An unchanged file keeps its content."""
    contents = {
        "containerd": ("containerd.toml", _containerd(settings)),
        "cni": ("cni/10-bridge.conflist", _cni(settings)),
        "kubelet": ("kubelet.json", _kubelet(settings)),
        "proxy": ("proxy.json", _proxy(settings)),
        "corefile": ("Corefile", _corefile(settings)),
    }
    written: dict[str, Path] = {}
    for key, (name, content) in contents.items():
        path = settings.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # kube-proxy ends and containerd reloads when their file is written, changed or not.
        if not path.is_file() or path.read_text() != content:
            path.write_text(content)
        written[key] = path
    return written


def _containerd(settings: Settings) -> str:
    # The disabled plugins listen, write or trace outside our folders; nothing here uses them.
    return f"""version = 3
root = "{settings.state}/containerd"
state = "{settings.run}"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.differ.v1.erofs", "io.containerd.snapshotter.v1.native"]
[grpc]
  address = "{settings.containerd_socket}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  max_concurrent_downloads = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  enable_selinux = false
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    Root = "{settings.run}/runc"
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{settings.state}/cni"
"""


def _cni(settings: Settings) -> str:
    bridge = {
        "type": "bridge",
        "bridge": settings.bridge,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{settings.run}/addresses",
            "ranges": [[{"subnet": str(settings.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": settings.name, "plugins": plugins}, indent=1)


def _kubelet(settings: Settings) -> str:
    state = settings.state
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": settings.address,
        "port": settings.ports.kubelet,
        "readOnlyPort": 0,
        "healthzPort": settings.ports.kubelet_health,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{state}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{state}/pki/kubelet.crt",
        "tlsPrivateKeyFile": f"{state}/pki/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        # The machine's own cgroup mounts stay as they are: no tree of QoS classes.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "resolvConf": "",
        "clusterDNS": [settings.dns_service],
        "clusterDomain": "cluster.local",
        "podLogsDir": f"{state}/podlogs",
        "volumePluginDir": f"{state}/volume-plugins",
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 300,
        "kubeAPIBurst": 600,
        "eventRecordQPS": 0,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    }
    return json.dumps(configuration, indent=1)


def _proxy(settings: Settings) -> str:
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{settings.state}/proxy.kubeconfig"},
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "100ms"},
        "clusterCIDR": str(settings.pods),
        "nodePortAddresses": ["primary"],  # the bridge's address only: nothing is reachable from other machines
        # 0: leave the machine's connection tracking limits alone.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NODE_NAME,
        "bindAddress": settings.address,
        "metricsBindAddress": f"127.0.0.1:{settings.ports.proxy_metrics}",
        "healthzBindAddress": f"127.0.0.1:{settings.ports.proxy_health}",
    }
    return json.dumps(configuration, indent=1)


def _corefile(settings: Settings) -> str:
    return f""".:{settings.ports.dns} {{
    bind {settings.address}
    errors
    ready 127.0.0.1:{settings.ports.dns_ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {settings.state}/coredns.kubeconfig
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 1
    }}
    forward . /etc/resolv.conf
}}
"""
