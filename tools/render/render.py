"""Renders what is derived from the resource definitions and the chart, or checks that it is up to date.

`python -m tools.render.render [--check]`

- crds/*.yaml become charts/locktender/templates/crds/: Helm never upgrades a chart's own crds/ folder, so they are templates.
- The chart with its defaults becomes deploy/install.yaml (Kubernetes 1.36 and newer) and deploy/webhook/install.yaml (1.30 and newer),
  for kubectl, and for kustomize through the kustomization.yaml beside each.
- deploy/argocd/resource_customizations becomes deploy/argocd/argocd-cm.yaml.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tools.cluster.golang import HELM, KUBECTL, built
from tools.cluster.progress import Progress
from tools.render import argocd

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
CHART = ROOT / "charts" / "locktender"
INSTALL = ROOT / "deploy" / "install.yaml"
INSTALL_WEBHOOK = ROOT / "deploy" / "webhook" / "install.yaml"
NAMESPACE = "locktender-system"
LOWEST_KUBERNETES = "1.30.0"  # Chart.yaml, kubeVersion
HIGHEST_KUBERNETES = "1.37.2"  # the newest one that the tests run

_METADATA = """\
  labels: {{- include "locktender.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
_NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
# Lines that say "a Helm release": in a plain file they would be untrue.
_OF_HELM = ("# Source: ", "    helm.sh/chart: ", "    app.kubernetes.io/managed-by: Helm")


def program(name: str) -> Path:
    """The path of helm or kubectl, built from its Go module where the cache lacks it. ClusterError when that fails."""
    return built((HELM, KUBECTL), Progress())[name]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; the caller judges the exit code."""
    return subprocess.run([program("helm"), *arguments], capture_output=True, text=True, check=False)


def helm_template(*arguments: str, kubernetes: str = HIGHEST_KUBERNETES) -> str:
    """The chart rendered as release `locktender`. RuntimeError with helm's own words when it refuses."""
    done = helm("template", "locktender", CHART, "--namespace", NAMESPACE, "--kube-version", kubernetes, *arguments)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def crd_template(source: str) -> str:
    """A resource definition as a chart template. ValueError when Helm would read something into it."""
    if "{{" in source:
        raise ValueError("a resource definition holds '{{', which Helm would take for a template")
    head, name, rest = source.partition("\nmetadata:\n")
    first, _, body = rest.partition("\n")
    return "".join(
        ("{{- if .Values.crds.enabled }}\n", head, name, first, "\n", _METADATA, body.rstrip("\n"), "\n{{- end }}\n")
    )


def install_file(carrier: str) -> str:
    """One file for `kubectl apply -f`: the namespace and the chart with its defaults, without hooks. A plain file cannot choose the carrier."""
    rendered = helm_template(
        "--no-hooks", "--set", f"gate.carrier={carrier},uninstall.releaseHeld=false,crds.keep=false"
    )
    lines = [line for line in rendered.splitlines() if line and not line.startswith(_OF_HELM)]
    return f"# Rendered from charts/locktender by `make render`.\n{_NAMESPACE}" + "\n".join(lines) + "\n"


def install_files() -> dict[Path, str]:
    """The install file of each carrier."""
    return {INSTALL: install_file("policy"), INSTALL_WEBHOOK: install_file("webhook")}


def crd_templates() -> dict[Path, str]:
    """The chart's template of each resource definition. They must be written before the chart is rendered."""
    folder = CHART / "templates" / "crds"
    return {folder / file.name: crd_template(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))}


def write(files: dict[Path, str]) -> None:
    """Write the files, making folders as needed."""
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def stale(files: dict[Path, str]) -> list[Path]:
    """The files whose content on disk differs."""
    return [file for file, content in files.items() if not file.is_file() or file.read_text() != content]


def main(arguments: list[str] | None = None) -> int:
    """Render, or with --check name what is out of date; exit code 1 then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is out of date")
    check: bool = parser.parse_args(arguments).check
    templates = crd_templates()
    if not check:
        write(templates)
        write(install_files() | argocd.files())
        return 0
    outdated = [*stale(templates), *stale(install_files() | argocd.files())]
    for file in outdated:
        print(f"{file.relative_to(ROOT)} is out of date: run `make render` and commit it", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
