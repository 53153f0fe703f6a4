"""The command lines of etcd, kube-apiserver, kube-controller-manager and kube-scheduler, tuned for a small test cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.cluster.processes import Program

if TYPE_CHECKING:
    from pathlib import Path

    from tools.cluster.settings import Ports


AUDIT_POLICY, AUDIT_LOG = "audit-policy.json", "audit.log"
WRITES_TO_DEPLOYMENTS = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete"],
            "resources": [{"group": "apps", "resources": ["deployments"]}],
        },
        {"level": "None"},
    ],
}


def _every_request_of(group: str) -> dict[str, object]:
    """An audit policy. Watches are logged when they begin, so that one which goes on is there too."""
    rules = [{"level": "Metadata", "userGroups": [group]}, {"level": "None"}]
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane keeps its data and listens."""

    state: Path
    programs: dict[str, Path]
    address: str
    services: str
    ports: Ports
    etcd_port: int
    etcd_peer_port: int
    apiserver_port: int
    advertised: str
    # Whether writes to Deployments are logged, each before it is answered.
    audit: bool = False
    # A group of users of whom every request is logged likewise.
    audited_group: str = ""
    # More flags of the API server.
    more: tuple[str, ...] = ()

    @property
    def server(self) -> str:
        """The URL of the API."""
        return f"https://{self.address}:{self.apiserver_port}"

    def etcd(self) -> Program:
        """Without fsync: a power cut may lose the cluster, which is made anew in seconds."""
        client = f"http://127.0.0.1:{self.etcd_port}"
        return Program(
            "etcd",
            (
                str(self.programs["etcd"]),
                f"--data-dir={self.state}/etcd",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls=http://127.0.0.1:{self.etcd_peer_port}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{self.etcd_peer_port}",
                f"--initial-cluster=default=http://127.0.0.1:{self.etcd_peer_port}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ),
        )

    def apiserver(self) -> Program:
        """The API server, on one address only: nothing of the cluster is reachable from other machines."""
        pki = self.state / "pki"
        return Program(
            "kube-apiserver",
            (
                str(self.programs["kube-apiserver"]),
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                f"--bind-address={self.address}",
                f"--advertise-address={self.advertised}",
                f"--secure-port={self.apiserver_port}",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--client-ca-file={pki}/ca.crt",
                f"--kubelet-client-certificate={pki}/admin.crt",
                f"--kubelet-client-key={pki}/admin.key",
                f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP",  # else `kubectl logs` looks the node's name up in DNS
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/sa.key",
                f"--service-account-signing-key-file={pki}/sa.key",
                f"--service-cluster-ip-range={self.services}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--profiling=false",
                # Seconds that a stopping server gives to open watches; a test cluster need not wait the default 60.
                "--shutdown-watch-termination-grace-period=0s",
                "--shutdown-delay-duration=0s",
                *self._audit_flags(),
                *self.more,
            ),
        )

    def _audit_flags(self) -> tuple[str, ...]:
        if not self.audit and not self.audited_group:
            return ()
        return (
            f"--audit-policy-file={self.state}/{AUDIT_POLICY}",
            f"--audit-log-path={self.state}/{AUDIT_LOG}",
            "--audit-log-mode=blocking",
        )

    def write_audit_policy(self) -> None:
        """The file that the flags name; nothing without audit."""
        policy = _every_request_of(self.audited_group) if self.audited_group else WRITES_TO_DEPLOYMENTS
        if self._audit_flags():
            self.state.mkdir(parents=True, exist_ok=True)
            (self.state / AUDIT_POLICY).write_text(json.dumps(policy))

    def controller_manager(self) -> Program:
        """All controllers, with their own service accounts."""
        pki = self.state / "pki"
        return Program(
            "kube-controller-manager",
            (
                str(self.programs["kube-controller-manager"]),
                f"--kubeconfig={self.state}/controller-manager.kubeconfig",
                f"--service-account-private-key-file={pki}/sa.key",
                f"--root-ca-file={pki}/ca.crt",
                f"--cluster-signing-cert-file={pki}/ca.crt",
                f"--cluster-signing-key-file={pki}/ca.key",
                "--use-service-account-credentials",
                f"--flex-volume-plugin-dir={self.state}/volume-plugins",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.ports.controller_manager}",
                f"--cert-dir={self.state}/controller-manager",
                "--kube-api-qps=300",
                "--kube-api-burst=600",
                "--concurrent-job-syncs=20",
            ),
        )

    def scheduler(self) -> Program:
        """The scheduler."""
        return Program(
            "kube-scheduler",
            (
                str(self.programs["kube-scheduler"]),
                f"--kubeconfig={self.state}/scheduler.kubeconfig",
                f"--authentication-kubeconfig={self.state}/scheduler.kubeconfig",
                f"--authorization-kubeconfig={self.state}/scheduler.kubeconfig",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.ports.scheduler}",
                f"--cert-dir={self.state}/scheduler",
                "--kube-api-qps=300",
                "--kube-api-burst=600",
            ),
        )
