"""Short lock waits, many of them: each try may block the application's queries for `lock_timeout` at most, and tries end after `max_wait`."""

import os
import random
import time
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import class_row

from locktender.runner import settings
from locktender.runner.connect import Connection, Target, connect
from locktender.runner.errors import Interrupted, RunnerError

_BLOCKERS = """
    SELECT pid, usename AS role, application_name AS application, state, backend_type,
           round(extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start)))::int AS age
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY xact_start NULLS LAST LIMIT %s
"""
_WAITING = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"


@dataclass(frozen=True)
class Limits:
    """In seconds: a try's longest lock wait, all tries together, a statement."""

    lock_timeout: float = settings.LOCK_TIMEOUT
    max_wait: float = settings.LOCK_MAX_WAIT
    statement_timeout: float = settings.STATEMENT_TIMEOUT

    @staticmethod
    def from_environment() -> "Limits":
        """What the operator passes. Raises ValueError with a sentence."""
        found = Limits(
            settings.duration("LOCKTENDER_LOCK_TIMEOUT", settings.LOCK_TIMEOUT),
            settings.duration("LOCKTENDER_LOCK_MAX_WAIT", settings.LOCK_MAX_WAIT),
            settings.duration("LOCKTENDER_STATEMENT_TIMEOUT", settings.STATEMENT_TIMEOUT),
        )
        if found.lock_timeout < settings.SHORTEST_LOCK_TIMEOUT:
            raise ValueError("LOCKTENDER_LOCK_TIMEOUT must be at least 10ms: 0 would wait without end")
        return found


@dataclass
class Patience:
    """The tries of one file or statement: how long the next one may wait for a lock, and when to stop."""

    limits: Limits
    begun: float = field(default_factory=time.monotonic)
    tries: int = 0
    cancels: int = 0
    tried: float = field(default_factory=time.monotonic)

    def next_lock_timeout(self) -> int:
        """Milliseconds for the next try: grows a little each time, ends with max_wait, and is never 0 (which means for ever)."""
        longest = self.limits.lock_timeout * settings.LOCK_GROWTH_LIMIT
        wanted = min(self.limits.lock_timeout * settings.LOCK_GROWTH**self.tries, longest, max(self.left(), 0.0))
        self.tries += 1
        self.tried = time.monotonic()
        return round(max(wanted, settings.SHORTEST_LOCK_TIMEOUT) * 1000)

    def left(self) -> float:
        """Seconds until max_wait is spent."""
        return self.limits.max_wait - (time.monotonic() - self.begun)

    def pause(self) -> float | None:
        """Seconds to let the application's queue drain before the next try, jittered; None when there is no next try."""
        longest = min(settings.RETRY_PAUSE * settings.LOCK_GROWTH**self.tries, settings.RETRY_PAUSE_LIMIT)
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads tries, protects nothing
        return pause if pause < self.left() else None


@dataclass(frozen=True)
class Blocker:
    """A session in our way; never its query, which may hold row values."""

    pid: int
    role: str | None
    application: str | None
    state: str | None
    backend_type: str | None
    age: int | None

    def __str__(self) -> str:
        who = f"user {self.role}" if self.role else self.backend_type or "a session we may not look at"
        application = f", application {self.application}" if self.application else ""
        return f"process {self.pid} ({who}{application}, {self.state or 'state hidden'}, for {self.age or 0} s)"


class Observer:
    """A second session that looks at the first one while it waits. Without it (no free connection) all works, but nobody is named.

    `waited`: this try has been seen waiting for a lock; `waiting`: for how many seconds in all.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: Connection | None = None
        self._failed = False
        self.blockers: list[Blocker] = []
        self.waited = False
        self.waiting = 0.0
        self._since: float | None = None
        self._pause = settings.SAMPLE_FIRST

    def reset(self) -> None:
        """A new try begins."""
        self.waited, self.waiting, self._since, self._pause = False, 0.0, None, settings.SAMPLE_FIRST

    def look(self, pid: int) -> float:
        """Take one sample of the session `pid`; the seconds until the next is worth taking."""
        try:
            connection = self._session()
            if connection is not None:
                self._sample(connection, pid)
        except Interrupted:  # a signal that happens to arrive here is not ours to keep
            raise
        except (psycopg.Error, RunnerError):
            self._failed = True
        self._pause = min(self._pause * settings.SAMPLE_GROWTH, settings.SAMPLE_LIMIT)
        return self._pause

    def _sample(self, connection: Connection, pid: int) -> None:
        row = connection.execute(_WAITING, (pid,)).fetchone()
        now = time.monotonic()
        if row is None or not row[0]:
            self._since = None
            return
        self.waited = True
        self.waiting += now - (self._since or now)
        self._since = now
        with connection.cursor(row_factory=class_row(Blocker)) as cursor:
            found = cursor.execute(_BLOCKERS.encode(), (pid, settings.BLOCKERS_NAMED)).fetchall()
        self.blockers = found or self.blockers

    def _session(self) -> Connection | None:
        if self._connection is None and not self._failed:
            self._connection = connect(self._target, "locktender sql observer", patience=0)
        return None if self._failed else self._connection

    def names(self) -> str:
        """The blockers last seen, for a message."""
        return " and ".join(str(blocker) for blocker in self.blockers) or "no blocker could be seen"

    def close(self) -> None:
        """End the second session."""
        if self._connection is not None:
            self._connection.close()


def application_name() -> str:
    """How our session shows in pg_stat_activity. The agent knows by the ending that it sets time-outs of its own."""
    run = os.environ.get("LOCKTENDER_RUN", "")
    return f"locktender/{run} sql" if run else "locktender sql"
