"""The fence of a database: one session advisory lock, and a row that outlives the session.

The lock says who may run now. The row says what became of those before:

    (none) --take--> running --release--> ended
                        |  '--same pod--> running       the agent's container was restarted, or its session was lost
                        '--a person's word--> overridden

A row that still says running, while nobody holds the lock, is an attempt whose end nobody knows: it is never guessed.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

from psycopg.rows import dict_row

from locktender.runner.connect import Connection
from locktender.runner.errors import FenceError, Reason
from locktender.runner.settings import END_LOCK_TIMEOUT, FENCE_PATIENCE, FENCE_PAUSE, LOCK_CLASS, LOCK_FENCE, Identity

_TAKE = """
    INSERT INTO locktender.runs (run_id, step, attempt, pod_uid, state, backend_pid, migration, release)
    VALUES (%s, %s, %s, %s, 'running', pg_backend_pid(), %s, %s)
    ON CONFLICT (run_id, step, attempt, pod_uid) DO UPDATE SET state = 'running', backend_pid = pg_backend_pid(), ended_at = NULL
"""
_MINE = "run_id = %s AND step = %s AND attempt = %s AND pod_uid = %s"
_OPEN = f"""
    SELECT run_id, step, attempt, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started
    FROM locktender.runs WHERE state = 'running' AND NOT ({_MINE}) ORDER BY started_at FOR UPDATE
"""  # noqa: S608  # built from constants
_HOLDER = """
    SELECT a.pid, a.usename, a.application_name, a.state, host(a.client_addr) AS address,
           round(extract(epoch FROM now() - a.backend_start)) AS age
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = %s AND l.objid::bigint = %s
"""


@dataclass(frozen=True)
class Holder:
    """The key of our row."""

    identity: Identity
    pod_uid: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The columns of the primary key."""
        return self.identity.run, self.identity.step, self.identity.attempt, self.pod_uid


def take(
    connection: Connection,
    holder: Holder,
    *,
    override: bool,
    settled: Collection[str] = (),
    patience: float = FENCE_PATIENCE,
) -> list[str]:
    """Take lock and row; the attempts that were overridden, as text.

    `settled` are ids of runs whose end somebody else has seen: their rows are no question. `override` settles every row.

    Raises FenceError: DatabaseBusy while another holds the lock, PreviousAttemptUnknown for a row whose end is unknown.
    """
    end = time.monotonic() + patience
    while not _lock(connection):
        if time.monotonic() + FENCE_PAUSE >= end:
            raise FenceError(
                Reason.DATABASE_BUSY, f"Another migration holds this database: {_facts(connection)}. It is tried again."
            )
        time.sleep(FENCE_PAUSE)
    with connection.transaction():
        connection.execute("SET TRANSACTION READ WRITE")
        rows = connection.execute(_OPEN.encode(), holder.key).fetchall()
        found = {f"run {row[0]}, step {row[1]}, attempt {row[2]}, started {row[3]}": row[0] for row in rows}
        unknown = [text for text, run in found.items() if run not in settled]
        if unknown and not override:
            raise FenceError(Reason.PREVIOUS_ATTEMPT_UNKNOWN, _unknown(unknown))
        if found:
            query = f"UPDATE locktender.runs SET state = 'overridden', ended_at = now() WHERE state = 'running' AND NOT ({_MINE})"  # noqa: S608
            connection.execute(query.encode(), holder.key)
        identity = holder.identity
        connection.execute(_TAKE.encode(), (*holder.key, identity.migration or None, identity.release or None))
    return list(found)


def release(connection: Connection, holder: Holder) -> None:
    """Mark our row ended; closing the session releases the lock."""
    query = f"UPDATE locktender.runs SET state = 'ended', ended_at = now() WHERE {_MINE}"  # noqa: S608
    with connection.transaction():
        connection.execute("SET TRANSACTION READ WRITE")
        connection.execute(f"SET LOCAL lock_timeout = '{END_LOCK_TIMEOUT}ms'".encode())
        connection.execute(query.encode(), holder.key)


def _lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, LOCK_FENCE)).fetchone()
    return row is not None and bool(row[0])


def _facts(connection: Connection) -> str:
    row = connection.cursor(row_factory=dict_row).execute(_HOLDER.encode(), (LOCK_CLASS, LOCK_FENCE)).fetchone()
    if row is None:
        return "it has just let go"
    who = row["application_name"] or "a session"
    return f"{who} of user {row['usename']}, process {row['pid']}, from {row['address']}, for {row['age']} s"


def _unknown(attempts: list[str]) -> str:
    advice = "Look with the framework's own status command whether it ran, then tell with the annotation locktender.dev/resolve."
    return f"The end of an earlier attempt is not recorded: {'; '.join(attempts[:3])}. {advice}"
