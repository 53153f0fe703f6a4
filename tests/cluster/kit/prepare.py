"""What the cluster tests stand on: images, Locktender from its chart, two PostgreSQL servers, Helm 3, Flux and Argo CD.

Quick when all is there.
"""

import json
from pathlib import Path

from tests.cluster.clients import definitions
from tests.cluster.kit import databases, manifests
from tools.cluster import clients, images, provider
from tools.cluster.progress import Progress
from tools.cluster.settings import Settings
from tools.demo import stage
from tools.demo.stage import Stage

IMAGES = Path(__file__).resolve().parents[1] / "images"
RELEASES = ("one", "two", "bad", "mended")


def connected() -> Stage:
    """The cluster that is up. AssertionError when there is none."""
    settings = Settings.from_environment()
    kubeconfig = provider.kubeconfig(settings)
    assert kubeconfig.is_file(), "there is no cluster: run `make test-cluster`, which starts one"
    return Stage(kubeconfig, settings.state / "bin")


def prepare(progress: Progress) -> Stage:
    """Have all of it in place."""
    where = stage.cluster(progress)
    for name in where.run("kubectl", "get", "namespaces", "-l", "locktender-test=true", "-o", "name").stdout.split():
        if not name.endswith(databases.NAMESPACE):
            where.run_unchecked("kubectl", "delete", name, "--wait=false")
    key = stage.project(progress)
    for major in databases.MAJORS:
        stage.postgres(major, progress)
    for release in RELEASES:
        _application(release, progress)
    stage.install(where, key)
    _servers(where)
    for client in (clients.HELM_3, clients.FLUX, clients.ARGO_CD, clients.MINIREDIS):
        clients.program(client, progress)
    definitions.install(where)
    where.run_unchecked(
        "kubectl",
        "wait",
        "--for=delete",
        "namespace",
        "-l",
        "locktender-test=true,locktender-kept!=true",
        "--timeout=90s",
    )
    stage.recycle_volumes()
    return where


def _application(release: str, progress: Progress) -> None:
    folder = IMAGES / "app"
    image = images.from_folder(manifests.image(release), folder, (f"RELEASE={release}",), None, progress)
    provider.deliver(Settings.from_environment(), image, progress)


def _servers(where: Stage) -> None:
    namespace = manifests.namespace(databases.NAMESPACE)
    namespace["metadata"]["labels"]["locktender-kept"] = "true"
    where.run("kubectl", "apply", "-f", "-", text=json.dumps(namespace))
    present = where.run_unchecked("kubectl", "-n", databases.NAMESPACE, "get", "deployment", "pg14", "pg18")
    if present.returncode != 0:
        items = {"apiVersion": "v1", "kind": "List", "items": databases.servers()}
        where.run("kubectl", "-n", databases.NAMESPACE, "apply", "-f", "-", text=json.dumps(items))
    for major in databases.MAJORS:
        where.run("kubectl", "-n", databases.NAMESPACE, "rollout", "status", f"deploy/pg{major}", "--timeout=120s")


if __name__ == "__main__":
    prepare(Progress())
