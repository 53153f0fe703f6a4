"""The control connection: one exported snapshot from which both the facts of the manifest and the dump are taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from locktender.runner.connect import Connection
from locktender.runner.errors import FenceError, Reason
from locktender.runner.settings import LOCK_BACKUP, LOCK_CLASS

_FACTS = """
    SELECT current_database(), (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
           pg_database_size(current_database()), pg_encoding_to_char(encoding), datcollate, current_setting('server_version'),
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
    FROM pg_database WHERE datname = current_database()
"""
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
# Of the planner's page counts: pg_table_size would queue behind whoever alters a table, without pg_dump's limit on that wait.
_TABLES = """
    SELECT count(*), coalesce(sum(c.relpages::bigint), 0)::bigint * current_setting('block_size')::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


@dataclass(frozen=True)
class Source:
    """The database as the snapshot sees it. Sizes in bytes; `system` identifies the server's data directory."""

    system: str
    oid: int
    database: str
    size: int
    encoding: str
    collation: str
    server_version: str
    lsn: str
    tables: int
    tables_size: int
    extensions: dict[str, str]


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot; valid while its transaction is open."""

    name: str
    source: Source


def only_one(connection: Connection) -> None:
    """Let one backup at a time read this database. Raises FenceError/DatabaseBusy."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, LOCK_BACKUP)).fetchone()
    if row is None or not row[0]:
        said = "Another backup of this database is running. This one is tried again when it has ended."
        raise FenceError(Reason.DATABASE_BUSY, said)


@contextmanager
def exported(connection: Connection) -> Iterator[Snapshot]:
    """Export a snapshot for the time of the block. Our own limits are off: the transaction idles as long as the dump takes."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        if connection.info.server_version >= 170_000:
            connection.execute("SET LOCAL transaction_timeout = 0")
        name = str(_one(connection, "SELECT pg_export_snapshot()")[0])
        yield Snapshot(name, _source(connection))


def _source(connection: Connection) -> Source:
    database, oid, size, encoding, collation, version, lsn = _one(connection, _FACTS)
    system = _one(connection, _SYSTEM)[0] if _one(connection, _MAY_ASK)[0] else "unknown"
    tables, tables_size = _one(connection, _TABLES)
    extensions = {
        str(row[0]): str(row[1]) for row in connection.execute("SELECT extname, extversion FROM pg_extension")
    }
    return Source(system, oid, database, size, encoding, collation, version, lsn, tables, tables_size, extensions)


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise ValueError(f"no answer to {query}")
    return row
