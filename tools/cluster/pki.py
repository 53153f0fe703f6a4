"""The node's certificates, made with openssl: one authority, one certificate per component, elliptic keys for speed."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.cluster.settings import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

DAYS = "3650"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS)
# Python 3.13 checks certificates strictly (RFC 5280): an authority must say that it signs, a leaf that it does not.
CA_USE = "keyUsage=critical,keyCertSign,cRLSign"
LEAF = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=serverAuth,clientAuth",
)


@dataclass(frozen=True)
class Identity:
    """A client certificate: file name, user (CN), group (O)."""

    file: str
    user: str
    group: str = ""


def client_identities(node: str) -> tuple[Identity, ...]:
    """The users that Kubernetes' own RBAC rules and the Node authorizer know, and ours for CoreDNS."""
    return (
        Identity("admin", "locktender-admin", "system:masters"),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("kubelet", f"system:node:{node}", "system:nodes"),
        Identity("proxy", "system:kube-proxy"),
        Identity("coredns", "locktender:coredns"),
    )


def create(folder: Path, names: tuple[str, ...], identities: tuple[Identity, ...]) -> None:
    """Fill `folder` with ca, apiserver and client certificates and sa.key, unless it is there.

    `names` are the DNS names and addresses under which the API server and the kubelet are reached.
    """
    if folder.is_dir():
        return
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    alternatives = ",".join(f"IP:{n}" if n.replace(".", "").isdigit() else f"DNS:{n}" for n in names)
    _openssl(
        draft,
        "req",
        "-x509",
        *NEW_KEY,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=locktender",
        "-addext",
        CA_USE,
    )
    _signed(draft, "apiserver", "/CN=kube-apiserver", f"subjectAltName={alternatives}")
    for identity in identities:
        group = f"/O={identity.group}" if identity.group else ""
        # The kubelet serves under its client certificate too, so every certificate carries the names.
        _signed(draft, identity.file, f"{group}/CN={identity.user}", f"subjectAltName={alternatives}")
    _openssl(draft, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.key")
    draft.replace(folder)


def write_kubeconfig(path: Path, server: str, pki: Path, identity: str) -> None:
    """A kubeconfig at `path` for `identity` (a file name in `pki`), with the certificates inside."""

    def inline(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    content = f"""apiVersion: v1
kind: Config
current-context: locktender
contexts: [{{name: locktender, context: {{cluster: locktender, user: {identity}}}}}]
clusters:
- name: locktender
  cluster: {{server: "{server}", certificate-authority-data: {inline("ca.crt")}}}
users:
- name: {identity}
  user: {{client-certificate-data: {inline(identity + ".crt")}, client-key-data: {inline(identity + ".key")}}}
"""
    if path.is_file() and path.read_text() == content:
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.touch(mode=0o600)
    draft.write_text(content)
    draft.replace(path)


def _signed(folder: Path, name: str, subject: str, *extensions: str) -> None:
    added = [part for extension in (*extensions, *LEAF) for part in ("-addext", extension)]
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key")
    output = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    _openssl(folder, "req", "-x509", *NEW_KEY, *authority, *output, "-subj", subject, *added)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-500:]}")
