"""Images with what real projects have published: Wagtail's migrations for Django, FireFly's for golang-migrate; and real Alembic.

Nothing of them is kept here: packages and modules come from their registries, checked by hash.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tools.cluster import buildah, cache, images, project_images, provider
from tools.cluster.golang import GO_FLAGS
from tools.cluster.progress import Progress
from tools.cluster.settings import Settings

IMAGES = Path(__file__).resolve().parents[1] / "images"
WAGTAIL = "localhost/locktender-test/wagtail:dev"
ALEMBIC = "localhost/locktender-test/alembic:dev"
GOLANG_MIGRATE = "localhost/locktender-test/golang-migrate:dev"
# Apache-2.0; a blockchain gateway with 117 pairs of migrations for PostgreSQL.
FIREFLY = "github.com/hyperledger/firefly@v1.4.0"
FIREFLY_SUM = "h1:NRbocGIrVAlxfburx/3HD/HAlMsXxVCwp0HPnBAOp1k="
FIREFLY_MIGRATIONS = 117


def deliver(name: str, progress: Progress) -> None:
    """Have one of the images in the cluster."""
    project = name.rpartition("/")[2].partition(":")[0]
    context = _golang_migrate(progress) if name == GOLANG_MIGRATE else _python(project, progress)
    provider.deliver(Settings.from_environment(), images.from_folder(name, context, (), None, progress), progress)


def _python(project: str, progress: Progress) -> Path:
    """A folder of images/ with the packages of its requirements.txt laid out beside it."""
    source = IMAGES / project

    def lay_out(folder: Path) -> None:
        progress.say(f"collecting the packages of {project}")
        shutil.copytree(source, folder, dirs_exist_ok=True)
        platform = f"{os.uname().machine}-manylinux_2_40"
        _run(
            project_images.uv(), "pip", "install", "--quiet", "--target", str(folder / "site"),
            "--python-version", project_images.PYTHON, "--python-platform", platform, "--require-hashes",
            "--only-binary", ":all:", "--link-mode", "copy", "--requirements", str(source / "requirements.txt"),
        )  # fmt: skip
        for script in (folder / "site" / "bin").glob("*"):
            # Written for the interpreter of this machine; the image has its own.
            lines = script.read_text().split("\n", 1)
            script.write_text("#!/usr/bin/python3\n" + lines[1])

    return cache.entry("contexts", f"{project}-{buildah.tree_key(source)}", lay_out)


def _golang_migrate(progress: Progress) -> Path:
    source = IMAGES / "golang-migrate"

    def lay_out(folder: Path) -> None:
        progress.say("compiling golang-migrate (about 10 s)")
        package = "github.com/golang-migrate/migrate/v4/cmd/migrate"
        command = ("go", "build", *GO_FLAGS, "-tags", "postgres", "-o", str(folder / "migrate"), package)
        _run(*command, cwd=source, environment={"CGO_ENABLED": "0"})
        found = json.loads(_run("go", "mod", "download", "-json", FIREFLY, cwd=folder))
        assert found["Sum"] == FIREFLY_SUM, f"{FIREFLY} is not what it was: {found['Sum']}"
        shutil.copytree(
            Path(found["Dir"]) / "db" / "migrations" / "postgres", folder / "migrations", copy_function=_copy
        )
        shutil.copy(source / "Dockerfile", folder)

    return cache.entry("contexts", f"golang-migrate-{cache.key_of(FIREFLY, buildah.tree_key(source))}", lay_out)


def _copy(source: str, target: str) -> str:
    """The content alone: the module cache is read-only, an image's context must not be."""
    shutil.copyfile(source, target)
    return target


def _run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(str(part) for part in command[:4])} failed:\n{done.stderr.strip()[-2000:]}"
    return done.stdout
