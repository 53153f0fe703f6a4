"""A cache whose names are hashes of what went in; an entry is there complete or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster.settings import cache_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def key_of(*parts: str | bytes | Path) -> str:
    """16 hex digits of the SHA-256 over `parts`; a Path stands for the content of that file."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the exclusive lock of the file `path`, created if missing; `waiting` is called once if another holds it.

    The kernel drops the lock when its holder dies, however it dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            # The one before may have deleted the file, and a third may hold a new one of that name.
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield
                return


def entry(kind: str, name: str, make: Callable[[Path], None], waiting: Callable[[], None] | None = None) -> Path:
    """The folder `kind/name` of the cache, filled by `make` when it is not there yet.

    `make` gets an empty folder beside the final one, which is renamed when it returns: a killed builder leaves only
    a folder that the next one removes. One builder at a time for each entry.
    """
    final = cache_root() / kind / name
    if final.is_dir():
        return final
    with locked(cache_root() / kind / f".{name}.lock", waiting):
        if final.is_dir():
            return final
        draft = final.with_name(f".{name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        make(draft)
        draft.replace(final)
    return final
