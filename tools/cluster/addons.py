"""What every cluster of ours holds besides what Kubernetes brings: DNS, the storage class `standard` and its volumes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tools.cluster.configuration import NODE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tools.cluster.api import Api, Manifest
    from tools.cluster.settings import Settings

STORAGE_CLASS = "standard"
VOLUME_SIZE = "2Gi"


def apply_all(api: Api, settings: Settings) -> None:
    """Create or update every add-on."""
    for path, manifest in _dns(settings):
        api.apply(path, manifest)
    api.apply(
        f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
    )
    recycle_volumes(api, settings)


def recycle_volumes(api: Api, settings: Settings) -> int:
    """Have all volumes there; wipe and offer again those whose claim was deleted. Returns how many were wiped."""
    listed = api.get("/api/v1/persistentvolumes") or {"items": []}
    phases: dict[str, str] = {v["metadata"]["name"]: v.get("status", {}).get("phase", "") for v in listed["items"]}
    wiped = 0
    for index in range(settings.volumes):
        name = f"local-{index:02d}"
        folder = settings.state / "volumes" / name
        if phases.get(name) in {"Released", "Failed"}:
            api.delete(f"/api/v1/persistentvolumes/{name}")
            _wipe(folder)
            wiped += 1
        elif name in phases:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # pods without fsGroup write too; the parents are root's
        api.apply(f"/api/v1/persistentvolumes/{name}", _volume(name, folder))
    return wiped


def _wipe(folder: Path) -> None:
    # Emptied, not replaced: the kubelet may still have the folder itself mounted for a pod that just ended.
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _volume(name: str, folder: Path) -> Manifest:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def _dns(settings: Settings) -> list[tuple[str, Manifest]]:
    """CoreDNS runs beside the kubelet, not in a pod: the service leads to the node's address."""
    role: Any = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = "rbac.authorization.k8s.io"
    ports = [
        {"name": f"dns-{p.lower()}", "protocol": p, "port": 53, "targetPort": settings.ports.dns}
        for p in ("UDP", "TCP")
    ]
    return [
        (
            f"{rbac}/clusterroles/locktender:coredns",
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "locktender:coredns"},
                "rules": role,
            },
        ),
        (
            f"{rbac}/clusterrolebindings/locktender:coredns",
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "locktender:coredns"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "locktender:coredns"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "locktender:coredns"}],
            },
        ),
        (
            "/api/v1/namespaces/kube-system/services/kube-dns",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "kube-dns", "namespace": "kube-system"},
                "spec": {"clusterIP": settings.dns_service, "ports": ports},
            },
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-node",
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "kube-dns-node",
                    "namespace": "kube-system",
                    "labels": {"kubernetes.io/service-name": "kube-dns"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [settings.address], "conditions": {"ready": True}}],
                "ports": [{"name": p["name"], "protocol": p["protocol"], "port": settings.ports.dns} for p in ports],
            },
        ),
    ]
