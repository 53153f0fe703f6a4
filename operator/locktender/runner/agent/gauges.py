"""What else is worth seeing, about once a second: WAL, temporary files, deadlocks, dead rows, replicas, progress."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from locktender.runner.connect import Connection

_SERVER = """
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %(wal)s::pg_lsn)::bigint, d.temp_bytes, d.deadlocks,
           (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), replay_lsn)), 0)::bigint FROM pg_stat_replication),
           (SELECT coalesce(extract(epoch FROM max(replay_lag)), 0)::float8 FROM pg_stat_replication),
           (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)), 0)::bigint FROM pg_replication_slots),
           (SELECT count(*) FROM pg_locks)
    FROM pg_stat_database d WHERE d.datid = %(database)s
"""
_DEAD = "SELECT each::bigint, pg_stat_get_dead_tuples(each) FROM unnest(%s::oid[]) each"
_SIZE = "SELECT pg_database_size(current_database())"
_PROGRESS = """
    SELECT command, phase, coalesce(nullif(blocks_done, 0), tuples_done), coalesce(nullif(blocks_total, 0), tuples_total)
    FROM pg_stat_progress_create_index WHERE pid = ANY (%(ours)s::int[])
    UNION ALL SELECT command, phase, heap_blks_scanned, heap_blks_total
    FROM pg_stat_progress_cluster WHERE pid = ANY (%(ours)s::int[])
    UNION ALL SELECT 'VACUUM', phase, heap_blks_scanned, heap_blks_total
    FROM pg_stat_progress_vacuum WHERE pid = ANY (%(ours)s::int[])
    UNION ALL SELECT command, type, bytes_processed, bytes_total
    FROM pg_stat_progress_copy WHERE pid = ANY (%(ours)s::int[])
    LIMIT 1
"""


@dataclass(frozen=True)
class Reading:
    """Bytes and rows since the baseline; lag as it is now. `locks` is how many the server holds."""

    wal_bytes: int = 0
    temp_bytes: int = 0
    deadlocks: int = 0
    dead_tuples: int = 0
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    slot_bytes: int = 0
    locks: int = 0
    progress: dict[str, Any] | None = None


@dataclass
class Gauges:
    """Reads them; the first reading is what later ones are compared with."""

    database: int
    wal: str
    database_bytes: int = 0
    _temp: int = 0
    _deadlocks: int = 0
    _dead: dict[int, int] = field(default_factory=dict)
    _first: bool = True

    def read(self, connection: Connection, ours: Iterable[int], tables: Iterable[int]) -> Reading:
        """One reading. `tables` are those the migration has locked. Raises psycopg.Error."""
        row = connection.execute(_SERVER.encode(), {"wal": self.wal, "database": self.database}).fetchone()
        if row is None:
            return Reading()
        wal, temp, deadlocks, lag_bytes, lag_seconds, slot, locks = row
        if self._first:
            self._temp, self._deadlocks, self._first = temp, deadlocks, False
        dead = self._dead_rows(connection, tables)
        mine = _array(sorted(ours))
        found = connection.execute(_PROGRESS.encode(), {"ours": mine}).fetchone() if mine != "{}" else None
        progress = dict(zip(("command", "phase", "done", "total"), found, strict=True)) if found else None
        return Reading(
            wal,
            max(temp - self._temp, 0),
            max(deadlocks - self._deadlocks, 0),
            dead,
            lag_bytes,
            lag_seconds,
            slot,
            locks,
            progress,
        )

    def _dead_rows(self, connection: Connection, tables: Iterable[int]) -> int:
        touched = _array(sorted(tables))
        rows: dict[int, int] = dict(connection.execute(_DEAD, (touched,)).fetchall()) if touched != "{}" else {}
        self._dead = rows | self._dead  # the first count of each stays
        return sum(max(count - self._dead[each], 0) for each, count in rows.items())

    def measure(self, connection: Connection) -> None:
        """Remember the size of the database. Raises psycopg.Error."""
        row = connection.execute(_SIZE).fetchone()
        self.database_bytes = int(row[0]) if row else 0


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(str(each) for each in numbers) + "}"
