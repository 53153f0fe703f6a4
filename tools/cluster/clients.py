"""The clients that release software in practice, as programs for the tests. Neither the node nor the demo needs them.

Argo CD is one program that plays each of its parts by the name it is called with; it wants a Redis, for which miniredis stands in.
"""

from pathlib import Path

from tools.cluster.golang import Stage, built
from tools.cluster.progress import Progress

HELM_3 = Stage(
    "helm-3",
    "helm-3",
    ("helm.sh/helm/v3/cmd/helm",),
    110,
    ldflags="-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0",
    names=("helm3",),
)
FLUX = Stage("flux", "flux", ("github.com/fluxcd/kustomize-controller",), 120)
ARGO_CD = Stage("argo-cd", "argo-cd", ("github.com/argoproj/argo-cd/v3/cmd",), 360, names=("argocd",))
MINIREDIS = Stage("miniredis", "miniredis", (".",), 10)


def program(stage: Stage, progress: Progress) -> Path:
    """The path of the one program of a stage, built where the cache lacks it. ClusterError when the build fails."""
    (name,) = stage.programs()
    return built((stage,), progress)[name]
