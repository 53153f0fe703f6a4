"""One look at the locks of the database: everybody who waits, and everybody who stands in the way of one who waits."""

from collections.abc import Iterable
from dataclasses import dataclass

from locktender.runner.connect import Connection

STRONG = ("ShareUpdateExclusive", "Share", "ShareRowExclusive", "Exclusive", "AccessExclusive")

# pg_locks shows everything to every role, other than pg_stat_activity. A single scan of it; without a waiting session nothing
# comes back but the migration's own strong locks.
_LOCKS = """
    WITH l AS MATERIALIZED (SELECT * FROM pg_locks WHERE database IS NULL OR database IN (0, %(database)s)),
         w AS MATERIALIZED (SELECT relation, transactionid, virtualxid, objid FROM l WHERE NOT granted)
    SELECT coalesce(pid, 0), replace(mode, 'Lock', ''), granted, locktype, relation::bigint,
           concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid),
           extract(epoch FROM waitstart)::float8, extract(epoch FROM clock_timestamp() - waitstart)::float8,
           virtualtransaction
    FROM l WHERE NOT granted OR pid IS NULL
        OR relation IN (SELECT relation FROM w WHERE relation IS NOT NULL)
        OR transactionid IN (SELECT transactionid FROM w WHERE transactionid IS NOT NULL)
        OR virtualxid IN (SELECT virtualxid FROM w WHERE virtualxid IS NOT NULL)
        OR objid IN (SELECT objid FROM w WHERE objid IS NOT NULL)
        OR (pid = ANY (%(ours)s::int[]) AND locktype = 'relation' AND mode = ANY (%(strong)s::text[]))
"""
_ANYBODY = b"SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1"
_STRONG = "{" + ",".join(f"{mode}Lock" for mode in STRONG) + "}"


@dataclass(frozen=True)
class Lock:
    """A row of pg_locks. `pid` 0 is a prepared transaction; `mode` is without its ending "Lock"; `key` is the locked object.

    `began` (server's clock) and `seconds` are those of the wait; both are 0 for a granted lock.
    """

    pid: int
    mode: str
    granted: bool
    locktype: str
    relation: int | None
    key: str
    began: float
    seconds: float
    transaction: str


def anybody(connection: Connection) -> bool:
    """Whether anybody waits at all: the cheapest question. Raises psycopg.Error."""
    return connection.execute(_ANYBODY).fetchone() is not None


def look(connection: Connection, database: int, ours: Iterable[int]) -> list[Lock]:
    """The locks that matter. Raises psycopg.Error."""
    pids = "{" + ",".join(str(pid) for pid in sorted(ours)) + "}"
    rows = connection.execute(_LOCKS.encode(), {"database": database, "ours": pids, "strong": _STRONG}).fetchall()
    # A session that has only just begun to wait has no time yet.
    return [Lock(*(*row[:6], row[6] or 0.0, max(row[7] or 0.0, 0.0), row[8])) for row in rows]
