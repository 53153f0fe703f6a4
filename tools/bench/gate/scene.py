"""What the bench stands on: a cluster, Locktender from the working tree's chart, a namespace with everything in it; gone at the end."""

import contextlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.bench.gate import manifests
from tools.bench.gate.manifests import NAMESPACE, Manifest
from tools.cluster import images, provider
from tools.cluster.progress import Progress
from tools.cluster.settings import ClusterError, Settings
from tools.demo import stage
from tools.demo.stage import Stage
from tools.kube import facts
from tools.kube.api import Api
from tools.kube.recorder import Recorder

APP = Path(__file__).parent / "app"
PATIENCE = 120.0  # seconds: far above what any single try takes, so that a hang is told instead of waited for
DEPLOYMENTS = (manifests.PLAIN, manifests.GATED, manifests.GATED_WITH_BACKUP, manifests.HOOKED)


@dataclass(frozen=True)
class Scene:
    """The namespace, watched from the first write on."""

    stage: Stage
    api: Api
    recorder: Recorder
    chart: Path

    def apply(self, *objects: Manifest) -> None:
        """`kubectl apply`."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.stage.run("kubectl", "-n", NAMESPACE, "apply", "-f", "-", text=text)

    def psql(self, database: str, sql: str) -> list[str]:
        """Run SQL as the superuser; the rows."""
        command = ("psql", "-h", "/tmp", "-U", "postgres", "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1")  # noqa: S108
        done = self.stage.run("kubectl", "-n", NAMESPACE, "exec", "-i", "deploy/postgres", "--", *command, text=sql)
        return done.stdout.splitlines()

    def wait_quiet(self) -> None:
        """Until nothing of an earlier try is going on: every rollout complete, one pod each, every Job ended."""
        self.recorder.wait(self._quiet, PATIENCE, "the namespace comes to rest")

    def _quiet(self) -> bool:
        pods = self.recorder.objects("pods")
        for name in DEPLOYMENTS:
            body = self.recorder.get("deployments", name)
            own = [one for one in pods if one["metadata"].get("labels", {}).get("app") == name]
            if body is None or not facts.is_rolled_out(body) or len(own) != 1:
                return False
        jobs = self.recorder.objects("jobs")
        return all(
            any(c["type"] in ("Complete", "Failed") for c in one.get("status", {}).get("conditions", ()))
            for one in jobs
        )

    def put_away(self) -> None:
        """Delete the ended Jobs, as their time to live would: what thirty tries leave behind must not weigh on the next one."""
        for body in self.recorder.objects("jobs"):
            self.api.delete(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{body['metadata']['name']}")
        self.recorder.wait(lambda: not self.recorder.objects("jobs"), PATIENCE, "ended Jobs are deleted")


def require_tools(stage_: Stage) -> None:
    """ClusterError that names the programs which are missing, before anything is changed."""
    known = f"{stage_.tools}:"
    missing = [name for name in ("kubectl", "helm") if not ((stage_.tools / name).exists() or shutil.which(name))]
    if missing:
        raise ClusterError(f"The bench needs {' and '.join(missing)} on PATH ({known}...): install them first.")


@contextlib.contextmanager
def open_scene(where: Stage) -> Iterator[Scene]:
    """A fresh namespace for the time of the block; whatever happens it goes again."""
    _remove(where, wait=True)
    with contextlib.suppress(ClusterError):
        stage.recycle_volumes()
    folder = Path(tempfile.mkdtemp(prefix="locktender-bench-"))
    try:
        with Api(where.kubeconfig, where.kubectl) as api:
            api.create("/api/v1/namespaces", manifests.namespace())
            with Recorder(api, NAMESPACE) as recorder:
                manifests.write_chart(folder / "hooked")
                yield Scene(where, api, recorder, folder / "hooked")
    finally:
        _remove(where, wait=False)
        shutil.rmtree(folder, ignore_errors=True)


def _remove(where: Stage, *, wait: bool) -> None:
    waiting = ("--wait=true", f"--timeout={PATIENCE:.0f}s") if wait else ("--wait=false",)
    where.run_unchecked("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", *waiting)


def deliver_images(progress: Progress) -> None:
    """Have the application's two images and PostgreSQL in the cluster."""
    stage.postgres(18, progress)
    for image in manifests.IMAGES:
        release = image.rpartition(":")[2]
        built = images.from_folder(image, APP, (f"RELEASE={release}",), None, progress)
        provider.deliver(Settings.from_environment(), built, progress)


def furnish(scene: Scene) -> str:
    """Databases, DatabaseMigrations, Deployments at their first version; the size of the realistic database in words."""
    superuser, password = secrets.token_hex(12), secrets.token_hex(12)
    scene.apply(*manifests.postgres(superuser), manifests.claim())
    scene.stage.run("kubectl", "-n", NAMESPACE, "rollout", "status", "deploy/postgres", f"--timeout={PATIENCE:.0f}s")
    scene.psql("postgres", f"CREATE ROLE bench LOGIN PASSWORD '{password}'")
    for database in (manifests.EMPTY, manifests.REALISTIC):
        scene.psql("postgres", f'CREATE DATABASE "{database}" OWNER bench')
    scene.psql(manifests.REALISTIC, "SET ROLE bench;" + manifests.REALISTIC_SQL)
    scene.apply(
        *(manifests.secret(name, password) for name in (manifests.EMPTY, manifests.REALISTIC)),
        manifests.migration(manifests.EMPTY, with_backup=False),
        manifests.migration(manifests.REALISTIC, with_backup=True),
        manifests.deployment(manifests.PLAIN),
        manifests.deployment(manifests.GATED, manifests.EMPTY),
        manifests.deployment(manifests.GATED_WITH_BACKUP, manifests.REALISTIC),
    )
    scene.stage.run("helm", "install", manifests.HOOKED, str(scene.chart), "--namespace", NAMESPACE)
    scene.wait_quiet()
    scene.put_away()
    tables, size = scene.psql(
        manifests.REALISTIC,
        "SELECT count(*), pg_size_pretty(pg_database_size(current_database())) FROM pg_tables WHERE schemaname = 'public'",
    )[0].split("|")
    return f"{tables} tables, {size}"


def machine_is_calm(seconds: float) -> float:
    """The share of the processors that was busy during `seconds`; told with the results, because it decides about them."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    total = sum(after) - sum(before)
    return 1 - (after[3] + after[4] - before[3] - before[4]) / total if total else 0.0


def _ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
