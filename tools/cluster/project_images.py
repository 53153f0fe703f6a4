"""Builds the operator and runner images from the repository's Dockerfile with packages that the host resolved.

The Dockerfile's default stages fetch packages while they build. Here the host lays out the same packages, from the same
lock file, as a build context: the build itself needs no network and no package manager in the base image.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import buildah, cache, images, postgres_binaries
from tools.cluster.settings import ClusterError, cache_root

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.13"
EXTRAS = {"operator": "controller", "runner": "runner"}


def build(target: str, progress: Progress) -> images.Image:
    """The image of `target`: operator or runner. ClusterError when uv or the build fails."""
    name = f"localhost/locktender/{target}:dev"
    below = images.loaded_base(progress)
    packages = _packages(EXTRAS[target], progress)
    contexts = ["--build-context", f"packages={packages}"]
    if target == "runner":
        contexts += ["--build-context", f"clients={_clients()}"]
    arguments = ["--target", target, "--build-arg", f"BASE_IMAGE={images.BASE_IMAGE}", "--build-arg", "PACKAGES=context",
                 "--build-arg", "CLIENTS=context", *contexts]  # fmt: skip
    wheels = " ".join(wheel.sha256 for wheel in postgres_binaries.WHEELS.values()) if target == "runner" else ""
    # Built by the locked packages and by the sources: not by the time of day.
    key = cache.key_of(below.key, ROOT / "Dockerfile", packages.name, buildah.tree_key(ROOT), target, wheels)
    return images.Image(name, buildah.archive(name, key, (*arguments, str(ROOT)), progress))


def _packages(extra: str, progress: Progress) -> Path:
    """A folder with the locked packages of `extra` for the images' Python."""
    key = cache.key_of(images.base(progress).key, ROOT / "uv.lock", ROOT / "pyproject.toml", extra, PYTHON, uv())

    def lay_out(folder: Path) -> None:
        progress.say(f"collecting the locked packages of the extra {extra}")
        wanted = folder / "requirements.txt"
        _run(uv(), "export", "--frozen", "--no-dev", "--no-emit-project", "--extra", extra, "--quiet",
             "--output-file", str(wanted))  # fmt: skip
        platform = f"{os.uname().machine}-manylinux_2_40"
        _run(uv(), "pip", "install", "--quiet", "--target", str(folder / "site"), "--python-version", PYTHON,
             "--python-platform", platform, "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy",
             "--requirements", str(wanted))  # fmt: skip
        wanted.unlink()
        _compile(folder / "site")

    return cache.entry("packages", f"{extra}-{key}", lay_out)


def _compile(site: Path) -> None:
    """Write the bytecode of the folder `site`, by the Python of the base image; once, where a build would do it each time."""
    command = ("python3", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "/site")
    with cache.locked(cache_root() / "buildah.lock"):
        container = buildah.run("from", "--pull-never", images.BASE_IMAGE).strip()
        try:
            buildah.run("run", "--isolation", "chroot", "--volume", f"{site}:/site", container, "--", *command)
        finally:
            buildah.run("rm", container)


def _clients() -> Path:
    key = cache.key_of(
        *(wheel.sha256 for wheel in postgres_binaries.WHEELS.values()), " ".join(postgres_binaries.CLIENTS)
    )
    return cache.entry("contexts", f"clients-{key}", postgres_binaries.client_tree)


def uv() -> Path:
    """The project's pinned uv; it installs itself at its first use."""
    return ROOT / "tools" / "bootstrap" / "uv.sh"


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(str(part) for part in command[:3])} failed:\n{done.stderr.strip()[-2000:]}")
