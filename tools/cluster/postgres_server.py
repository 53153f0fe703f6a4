"""A PostgreSQL server on this machine for the time of a block: own folder, own port, an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tools.cluster.postgres_binaries import install

if TYPE_CHECKING:
    from collections.abc import Iterator

START_LIMIT = 60  # seconds pg_ctl may take
# The disk of the machine is not what tests and benches are about.
NO_DISK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Server:
    """A running server; `folder` holds data/, log and its socket, `user` is the uid that it runs as."""

    major: int
    port: int
    folder: Path
    binaries: Path
    user: int

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Over TCP on the loopback address."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    @property
    def user_group(self) -> int:
        """The group of `user`."""
        return pwd.getpwuid(self.user).pw_gid

    def program(self, name: str, *arguments: str | Path) -> None:
        """Run a program of this version as the server's user. Raises CalledProcessError."""
        subprocess.run(
            [self.binaries / "bin" / name, *arguments],
            user=self.user,
            group=self.user_group,
            extra_groups=[],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_LIMIT,
        )

    def ctl(self, *arguments: str) -> None:
        """Run pg_ctl and wait for what it does."""
        self.program("pg_ctl", "-D", self.folder / "data", "-s", "-w", *arguments)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.ctl("-l", str(self.folder / "log"), "start")

    def restart(self) -> None:
        """As after a crash."""
        self.ctl("-m", "immediate", "-l", str(self.folder / "log"), "restart")

    def stop(self) -> None:
        """Stop it at once, as if its machine had died; nothing happens when it is down already."""
        try:
            self.ctl("-m", "immediate", "stop")
        except subprocess.CalledProcessError:
            if (self.folder / "data" / "postmaster.pid").exists():
                raise


Kind = TypeVar("Kind", bound=Server)


@contextmanager
def serving(major: int, kind: type[Kind], settings: dict[str, str], hba: str) -> Iterator[Kind]:
    """A server of `kind` with `settings` in its configuration and `hba` as its whole pg_hba.conf."""
    with _prepared(major, kind) as server:
        (server.folder / "data" / "pg_hba.conf").write_text(hba)
        configure(server, {"listen_addresses": "127.0.0.1", **settings})
        server.start()
        yield server


def configure(server: Server, settings: dict[str, str]) -> None:
    """Add `settings` to the configuration file; the last line of a name counts."""
    fixed = {"port": str(server.port), "unix_socket_directories": str(server.folder)}
    with (server.folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in {**settings, **fixed}.items())


@contextmanager
def _prepared(major: int, kind: type[Kind]) -> Iterator[Kind]:
    with _place(major, kind) as server:
        server.program(
            "initdb",
            "-D",
            server.folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        )
        yield server


@contextmanager
def standby(primary: Kind, settings: dict[str, str]) -> Iterator[Kind]:
    """A streaming standby of `primary`, which must let its superuser replicate over TCP; `ctl("promote")` makes it a primary."""
    with _place(primary.major, type(primary)) as server:
        copy = ("-D", str(server.folder / "data"), "-c", "fast", "-X", "stream")
        primary.program("pg_basebackup", "-d", primary.url(), *copy)
        (server.folder / "data" / "standby.signal").touch()
        # Not pg_basebackup -R: it writes options that the libpq of the server's own receiver may not know.
        configure(server, {**settings, "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres"})
        server.start()
        yield server


@contextmanager
def _place(major: int, kind: type[Kind]) -> Iterator[Kind]:
    """A folder and a free port; whatever runs there in the end is stopped, and the folder removed."""
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix=f"locktender-pg{major}-", dir="/tmp"))  # mkdtemp chooses
    try:
        folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = kind(major, port, folder, _reachable(install(major), user, folder), user)
        os.chown(folder, user, server.user_group)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(binaries: Path, user: int, folder: Path) -> Path:
    """`binaries`, or a copy if the unprivileged user may not enter the cache's folders."""
    tried = subprocess.run(["/bin/sh", "-c", f"test -x '{binaries}/bin/postgres'"], user=user, check=False)
    if tried.returncode == 0:
        return binaries
    copy = folder / "pg"
    shutil.copytree(binaries, copy, symlinks=True)
    return copy
