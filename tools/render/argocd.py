"""Argo CD's scripts as a piece of argocd-cm, for whoever cannot wait until Argo CD itself brings them.

deploy/argocd/resource_customizations/ is the source, in the layout of Argo CD's own repository.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "argocd"
SCRIPTS = FOLDER / "resource_customizations"
CONFIG_MAP = FOLDER / "argocd-cm.yaml"

_HEAD = """\
# Rendered from deploy/argocd/resource_customizations by `make render`.
# kubectl -n argocd patch configmap argocd-cm --patch-file deploy/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
"""


def files() -> dict[Path, str]:
    """The ConfigMap's piece, by the file it belongs into."""
    return {CONFIG_MAP: _HEAD + "".join(_of_kind(folder) for folder in sorted(SCRIPTS.glob("*/*")))}


def _of_kind(folder: Path) -> str:
    key = f"{folder.parent.name}_{folder.name}"
    text = f"  resource.customizations.health.{key}: |\n{_indented((folder / 'health.lua').read_text(), 4)}"
    actions = folder / "actions"
    if not actions.is_dir():
        return text
    text += f"  resource.customizations.actions.{key}: |\n    discovery.lua: |\n"
    text += _indented((actions / "discovery.lua").read_text(), 6) + "    definitions:\n"
    for script in sorted(actions.glob("*/action.lua")):
        text += f"      - name: {script.parent.name}\n        action.lua: |\n{_indented(script.read_text(), 10)}"
    return text


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" if line else "\n" for line in text.splitlines())
