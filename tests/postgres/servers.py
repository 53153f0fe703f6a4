"""Real servers of every supported major on this machine, started once for the test session."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tools.cluster.postgres_binaries import install

MAJORS = (14, 15, 16, 17, 18)
_names = count(1)


@dataclass(frozen=True)
class Server:
    """A running server. `root` is its superuser's name."""

    major: int
    port: int
    folder: Path
    binaries: Path
    user: int
    databases: list[str] = field(default_factory=list)

    def url(self, database="postgres", user="postgres", password=""):
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database="postgres", user="postgres", password="", **options):
        return psycopg.connect(self.url(database, user, password), autocommit=True, **options)

    def database(self, owner=None):
        """A fresh database's name."""
        name = f"db{next(_names)}"
        self.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if owner:
            self.run(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(owner)))
        return name

    def role(self, password, options=""):
        """A fresh login role's name."""
        name = f"role{next(_names)}"
        self.run(f"CREATE ROLE {name} LOGIN {options} PASSWORD '{password}'")
        return name

    def run(self, statement, database="postgres"):
        with self.connect(database) as connection:
            return _rows(connection.execute(statement))

    def ctl(self, *arguments):
        subprocess.run(
            [self.binaries / "bin" / "pg_ctl", "-D", self.folder / "data", "-s", "-w", *arguments],
            user=self.user, group=self.user_group, extra_groups=[], check=True, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    @property
    def user_group(self):
        return pwd.getpwuid(self.user).pw_gid

    def start(self):
        self.ctl("-l", str(self.folder / "log"), "start")

    def restart(self):
        self.ctl("-m", "immediate", "-l", str(self.folder / "log"), "restart")


def _rows(cursor):
    return cursor.fetchall() if cursor.description else []


@contextmanager
def serving(major: int) -> Iterator[Server]:
    """A server for the time of the block, without fsync, as an unprivileged user."""
    binaries = install(major)
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix=f"locktender-pg{major}-", dir="/tmp"))
    folder.chmod(0o755)
    reachable = _reachable(binaries, user, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(major, port, folder, reachable, user)
    os.chown(folder, user, server.user_group)
    subprocess.run(
        [reachable / "bin" / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        user=user, group=server.user_group, extra_groups=[], check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / "data" / "pg_hba.conf").write_text(
        "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\nfsync = off\n"
            "synchronous_commit = off\nfull_page_writes = off\nshared_buffers = 32MB\nmax_connections = 40\n"
            "autovacuum = off\nlog_min_messages = warning\n"
        )
    try:
        server.start()
        yield server
    finally:
        subprocess.run([reachable / "bin" / "pg_ctl", "-D", folder / "data", "-s", "-m", "immediate", "stop"],
                       user=user, group=server.user_group, extra_groups=[], check=False, cwd=folder, stderr=subprocess.DEVNULL)  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(binaries: Path, user: int, folder: Path) -> Path:
    """`binaries`, or a copy if the unprivileged user may not enter the cache's folders."""
    tried = subprocess.run(["/bin/sh", "-c", f"test -x '{binaries}/bin/postgres'"], user=user, check=False)
    if tried.returncode == 0:
        return binaries
    copy = folder / "pg"
    shutil.copytree(binaries, copy, symlinks=True)
    return copy
