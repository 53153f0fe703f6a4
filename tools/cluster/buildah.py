"""Image builds with buildah in its chroot mode, which needs no daemon, into archives that the cache keeps.

An image is named by its content key in the build store; a finished build leaves one OCI archive.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import cache
from tools.cluster.settings import ClusterError, cache_root

if TYPE_CHECKING:
    from tools.cluster.progress import Progress


def archive(
    name: str, key: str, arguments: tuple[str, ...], progress: Progress, environment: dict[str, str] | None = None
) -> Path:
    """The OCI archive of image `name` whose inputs have the content key `key`, built by `buildah build` if missing.

    `arguments` end with the context folder.
    """

    def make(folder: Path) -> None:
        progress.say(f"building {name}")
        with cache.locked(cache_root() / "buildah.lock"):
            run("build", "--isolation", "chroot", "--layers=false", "--timestamp", "0", "--pull=never", "--quiet",
                "--tag", name, *arguments, environment=environment)  # fmt: skip
            run("rm", "--all")  # stages that a build left behind
            run("push", "--quiet", name, f"oci-archive:{folder / 'image.tar'}:{name}")

    return cache.entry("images", f"{name.replace('/', '_').replace(':', '_')}-{key}", make) / "image.tar"


def run(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """The output of `buildah ARGUMENTS` on a store of our own in the cache. ClusterError with its message."""
    store = cache_root() / "buildah"
    policy = store / "policy.json"
    if not policy.is_file():
        store.mkdir(parents=True, exist_ok=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    verb, *rest = arguments
    where = ("--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "overlay")
    signed = ("--signature-policy", str(policy)) if verb in {"build", "push", "pull"} else ()
    # In a mount namespace of its own, so that what it mounts goes when it ends, however it ends.
    command = ("nice", "unshare", "--mount", "buildah", *where, verb, *signed, *rest)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode != 0:
        raise ClusterError(f"buildah {verb} failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout


def tree_key(folder: Path) -> str:
    """A content key over the names, modes and contents of all files that a build with context `folder` may see."""
    digest = hashlib.sha256()
    ignored = _ignored(folder)
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_dir() or ignored(relative):
            continue
        data = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        digest.update(f"{relative}\0{path.lstat().st_mode & 0o111}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


class _ignored:  # noqa: N801 (a predicate)
    """The part of .dockerignore that we use: `name`, `**/name` and `!name`, the last match decides."""

    def __init__(self, folder: Path) -> None:
        file = folder / ".dockerignore"
        lines = file.read_text().splitlines() if file.is_file() else []
        self._rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def __call__(self, path: Path) -> bool:
        if ".git" in path.parts or "__pycache__" in path.parts:
            return True
        verdict = False
        for rule in self._rules:
            keep, pattern = rule.startswith("!"), rule.removeprefix("!").rstrip("/")
            hit = pattern == "*" or str(path) == pattern or str(path).startswith(pattern + "/")
            if pattern.startswith("**/"):
                hit = any(Path(part).match(pattern[3:]) for part in path.parts)
            verdict = (not keep) if hit else verdict
        return verdict
