"""Whose session is it: the migration's, or somebody's that must never be touched."""

from collections.abc import Iterable
from dataclasses import dataclass

from locktender.runner.connect import Connection
from locktender.runner.settings import AGENT_LOCK_TIMEOUT, AGENT_STATEMENT_TIMEOUT, QUERY_READ

_NAME_LIMIT = 63  # bytes of an application_name that the server keeps

# `hidden`: without pg_read_all_stats the server tells neither address nor kind of other roles' sessions.
_BASELINE = """
    SELECT set_config('search_path', 'pg_catalog', false), set_config('lock_timeout', %s, false),
           set_config('statement_timeout', %s, false), set_config('plan_cache_mode', 'force_generic_plan', false),
           pg_backend_pid(), (SELECT oid FROM pg_database WHERE datname = current_database()), host(inet_client_addr()),
           (SELECT usesysid FROM pg_stat_get_activity(pg_backend_pid())),
           extract(epoch FROM clock_timestamp())::float8,
           inet_client_addr() IS NOT NULL AND NOT EXISTS (
               SELECT FROM pg_stat_get_activity(NULL) a WHERE a.pid <> pg_backend_pid()
               AND (a.client_addr = inet_client_addr() OR (a.backend_type IS NULL AND a.datid IS NOT NULL AND a.usesysid IS NOT NULL))),
           (SELECT max(oid) FROM pg_class)::bigint, pg_current_wal_insert_lsn()::text,
           (SELECT count(*) FROM pg_stat_get_activity(NULL) a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL)
"""
_SESSIONS = """
    SELECT a.pid, coalesce(a.leader_pid, a.pid), a.usesysid, a.usename::text, a.application_name, host(a.client_addr),
           extract(epoch FROM a.backend_start)::float8, a.backend_type, a.state,
           extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change))::float8,
           extract(epoch FROM clock_timestamp() - a.query_start)::float8,
           CASE WHEN a.pid = ANY (%s::int[]) THEN left(a.query, %s) ELSE '' END
    FROM pg_stat_activity a WHERE a.datid = %s AND a.pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Session:
    """A row of pg_stat_activity. What the server hides is None; ages are seconds, `begun` is the server's clock."""

    pid: int
    leader: int
    role: int | None
    user: str | None
    application: str
    address: str | None
    begun: float | None
    kind: str | None
    state: str | None
    age: float | None
    statement_age: float | None
    query: str | None

    @property
    def hidden(self) -> bool:
        """The server does not tell our role about it."""
        return self.kind is None

    @property
    def idle(self) -> bool:
        """It runs nothing: a cancel would be lost."""
        return self.state is not None and self.state.startswith("idle")


@dataclass(frozen=True)
class Baseline:
    """What was there when the fence was taken, before the migration could begin."""

    pid: int
    database: int
    address: str | None
    role: int
    begun: float
    alone: bool
    newest_relation: int
    wal: str
    sessions: int


@dataclass(frozen=True)
class Whose:
    """The three rules. `run` is the run's id or empty, `addresses` are the pod's own."""

    run: str
    addresses: frozenset[str]
    baseline: Baseline

    def ours(self, sessions: Iterable[Session], *, named: bool) -> dict[int, Session]:
        """The migration's sessions by process id; its parallel workers count with their leader and are left out.

        `named`: sessions with the run's name have been seen. Then the migration's driver tells it, and an address says nothing more.
        """
        leaders = [each for each in sessions if each.leader == each.pid and each.pid != self.baseline.pid]
        certain = {each.pid: each for each in leaders if self.named(each) or each.address in self.addresses}
        if named or any(self.named(each) for each in certain.values()):
            return certain
        return certain | {each.pid: each for each in leaders if self._by_address(each)}

    def named(self, session: Session) -> bool:
        """`locktender/<run>` alone, or followed by what cannot be part of a run's id."""
        name = f"locktender/{self.run}"[:_NAME_LIMIT]
        rest = session.application[len(name) :]
        return bool(self.run) and session.application.startswith(name) and not (rest[:1].isalnum() or rest[:1] == "-")

    def _by_address(self, session: Session) -> bool:
        """Behind a proxy: from where the agent comes, and from where nobody else came before. Never a shared address."""
        base = self.baseline
        return (
            base.alone
            and session.address is not None
            and session.address == base.address
            and session.role == base.role
            and session.begun is not None
            and session.begun >= base.begun
        )


def baseline(connection: Connection) -> Baseline:
    """Look around, and bound the session's own waits. Raises psycopg.Error.

    The same few queries follow, ten times a second: each is planned once, which costs the server more than running it.
    """
    connection.prepare_threshold = 0
    row = connection.execute(_BASELINE.encode(), (f"{AGENT_LOCK_TIMEOUT}ms", f"{AGENT_STATEMENT_TIMEOUT}ms")).fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM has one row
    return Baseline(*row[4:])


def listed(connection: Connection, database: int, wanted: Iterable[int]) -> list[Session]:
    """The sessions of the database, with the statements of those `wanted`. Raises psycopg.Error."""
    pids = "{" + ",".join(str(pid) for pid in sorted(wanted)) + "}"
    return [Session(*row) for row in connection.execute(_SESSIONS.encode(), (pids, QUERY_READ, database)).fetchall()]
