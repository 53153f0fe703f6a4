"""The resource definitions that Flux and Argo CD need, from their own modules; those of Flux's sources, which its module lacks, in short."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tools.cluster import golang
from tools.demo.stage import Stage

FLUX = "github.com/fluxcd/kustomize-controller"
ARGO_CD = "github.com/argoproj/argo-cd/v3"
SOURCE_KINDS = ("Bucket", "ExternalArtifact", "GitRepository", "OCIRepository")


def install(stage: Stage) -> None:
    """Have them in the cluster."""
    files = [_folder("flux", FLUX) / "config" / "crd" / "bases"]
    files += [
        _folder("argo-cd", ARGO_CD) / "manifests" / "crds" / f"{name}-crd.yaml"
        for name in ("application", "appproject", "applicationset")
    ]
    for file in files:
        stage.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(file))
    sources = {"apiVersion": "v1", "kind": "List", "items": [_source(kind) for kind in SOURCE_KINDS]}
    stage.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(sources))
    kinds = "crd/kustomizations.kustomize.toolkit.fluxcd.io", "crd/applications.argoproj.io"
    stage.run("kubectl", "wait", "--for=condition=Established", "--timeout=30s", *kinds)


def _folder(module: str, path: str) -> Path:
    """Where Go keeps the sources of the version that the module's go.mod names."""
    command = ("go", "mod", "download", "-json", path)
    done = subprocess.run(command, cwd=golang.MODULES / module, capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def _source(kind: str) -> dict[str, Any]:
    plural, group = f"{kind.lower()}s".replace("repositorys", "repositories"), "source.toolkit.fluxcd.io"
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
