"""Which client programs: those of the server's own major, since a newer pg_dump's archive does not restore cleanly into an older server."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from locktender.runner.errors import ConnectionRefused, Reason
from locktender.runner.ledger import NOT_DUMPED
from locktender.runner.settings import DUMP_LOCK_WAIT, POSTGRES_ROOT, ZSTD_LEVEL, path

_INNER_ZSTD_FROM = 16  # the first major whose pg_dump compresses with zstd itself


@dataclass(frozen=True)
class Clients:
    """The programs of one major. `outer_zstd` is true where pg_dump cannot compress with zstd, so that we do."""

    major: int
    folder: Path
    version: str

    @property
    def outer_zstd(self) -> bool:
        """14 and 15."""
        return self.major < _INNER_ZSTD_FROM

    def dump(self, snapshot: str, conninfo: str) -> list[str]:
        """The command that writes the archive to stdout. The password is in its environment, not here."""
        return [
            str(self.folder / "pg_dump"),
            "--format=custom",
            "--compress=0" if self.outer_zstd else f"--compress=zstd:{ZSTD_LEVEL}",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={DUMP_LOCK_WAIT}",
            "--no-password",
            *(f"--exclude-table-data={table}" for table in NOT_DUMPED),
            f"--dbname={conninfo}",
        ]

    def decode(self) -> list[str]:
        """The command that decodes every byte of an archive on stdin."""
        return [str(self.folder / "pg_restore"), "--file=/dev/null"]

    def contents(self) -> list[str]:
        """The command that lists the contents of an archive on stdin."""
        return [str(self.folder / "pg_restore"), "--list"]


def find(major: int) -> Clients:
    """The programs for a server of `major`. Raises ConnectionRefused/UnsupportedServer when they are not installed."""
    folder = path("LOCKTENDER_PG_ROOT", POSTGRES_ROOT) / str(major) / "bin"
    missing = [name for name in ("pg_dump", "pg_restore") if not os.access(folder / name, os.X_OK)]
    if missing:
        said = f"No {' and '.join(missing)} of PostgreSQL {major} in {folder}. Use the runner image of this release."
        raise ConnectionRefused(Reason.UNSUPPORTED_SERVER, said)
    asked = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip().removeprefix("pg_dump (PostgreSQL) ")
    if asked.returncode != 0 or not version.startswith(f"{major}."):
        said = f"pg_dump in {folder} is {version or 'broken'}, not PostgreSQL {major}. Use the runner image of this release."
        raise ConnectionRefused(Reason.UNSUPPORTED_SERVER, said)
    return Clients(major, folder, version)
