"""A mounted directory as a store of backups. What has a manifest is complete; what has none is no backup.

<root>/<system identifier>/<database oid>-<database>/<utc>-<backup id>/
    data.dump.partial -> data.dump    temp name, fsync, rename, fsync of the directory
    toc.txt                           the archive's table of contents
    manifest.json                     last, and only if there is none yet
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from locktender.runner.errors import Reason, StoreError
from locktender.runner.settings import CHUNK, LEFTOVER_AGE, SMALLEST_RATIO

MANIFEST, TOC, PARTIAL = "manifest.json", "toc.txt", ".partial"


def folder_name(started: str, backup: str) -> str:
    """`20260102T030405Z-<backup id>` for a start of `2026-01-02T03:04:05Z`."""
    return f"{started.replace('-', '').replace(':', '')}-{segment(backup)}"


def segment(name: str) -> str:
    """`name` as one path segment."""
    return quote(name, safe="") if name not in (".", "..") else name.replace(".", "%2E")


def require_writable(root: Path) -> None:
    """Write and remove a small file. Raises OSError as the store says it."""
    if not root.is_dir():
        said = f"The backup directory {root} does not exist. Mount the volume there, or set LOCKTENDER_BACKUP_DIR."
        raise StoreError(Reason.STORAGE_UNWRITABLE, said)
    probe = root / f".locktender-probe-{os.getpid()}-{time.monotonic_ns()}"
    try:
        _write(probe, b"locktender\n")
    finally:
        probe.unlink(missing_ok=True)


def room(root: Path) -> int:
    """Bytes that are free for us. Raises OSError."""
    usage = os.statvfs(root)
    return usage.f_bavail * usage.f_frsize


def require_room(root: Path, size: int) -> None:
    """Raises StoreError/StorageFull if a database of `size` bytes cannot fit however well it compresses."""
    free = room(root)
    if free < size // SMALLEST_RATIO:
        said = f"{free >> 20} MiB are free for the backup of a database of {size >> 20} MiB."
        raise StoreError(Reason.STORAGE_FULL, f"{said} Enlarge the volume or remove old backups.")


def sweep(root: Path, now: float) -> list[Path]:
    """Remove folders without a manifest whose newest file is older than a day; the folders removed."""
    removed = []
    for folder in root.glob("*/*/*/"):
        if not folder.is_dir() or (folder / MANIFEST).exists():
            continue
        with suppress(OSError):
            newest = max(entry.stat().st_mtime for entry in (folder, *folder.iterdir()))
            if now - newest > LEFTOVER_AGE:
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


def find(root: Path, backup: str) -> Path | None:
    """The folder of the complete backup of this id, if there is one."""
    name = segment(backup)
    for manifest in root.glob(f"*/*/*/{MANIFEST}"):
        if manifest.parent.name.partition("-")[2] == name:
            return manifest.parent
    return None


def complete(root: Path) -> Iterator[dict[str, Any]]:
    """The manifests of all complete backups: what may be listed as good."""
    for manifest in sorted(root.glob(f"*/*/*/{MANIFEST}")):
        yield json.loads(manifest.read_bytes())


def make_folder(folder: Path) -> None:
    """Make the folder of a new backup, and its parents, and sync what names them."""
    folder.mkdir(parents=True)
    for parent in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        sync_folder(parent)


def discard(folder: Path) -> None:
    """Remove what a failed attempt has left, unless it was published."""
    if not (folder / MANIFEST).exists():
        shutil.rmtree(folder, ignore_errors=True)


def publish_data(partial: Path) -> Path:
    """Give a synced file its final name."""
    final = partial.with_name(partial.name.removesuffix(PARTIAL))
    partial.rename(final)
    sync_folder(final.parent)
    return final


def hash_stored(file: Path) -> tuple[str, int]:
    """SHA-256 and size of the file as the store gives it back: the page cache is dropped first, where the system can."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb", buffering=0) as opened:
        with suppress(OSError):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def write_new(file: Path, content: bytes) -> None:
    """Write `file` whole or not at all, and only if it does not exist. Raises FileExistsError otherwise."""
    draft = file.with_name(file.name + PARTIAL)
    _write(draft, content)
    try:
        try:
            os.link(draft, file)
        except PermissionError:  # a file system without hard links (EPERM): its rename is still all or nothing
            if file.exists():
                raise FileExistsError(file) from None
            draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.parent)


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems refuse fsync of a directory
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
