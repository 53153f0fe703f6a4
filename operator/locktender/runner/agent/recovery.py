"""Whether the session that was stopped last has worked on: then the cancel is not why the migration fails, if it fails later."""

from collections.abc import Mapping

from locktender.runner.agent.fingerprint import fingerprint
from locktender.runner.agent.rules import Act, Verb, Why
from locktender.runner.agent.sessions import Session
from locktender.runner.settings import RECOVERY_MARGIN

# What a program still says to the server when it gives up.
_CLOSING = frozenset(
    {
        "ABORT",
        "CLOSE",
        "COMMIT",
        "DEALLOCATE",
        "DISCARD",
        "END",
        "RELEASE",
        "RESET",
        "ROLLBACK",
        "SAVEPOINT",
        "SET",
        "SHOW",
        "UNLISTEN",
    }
)
_UNLOCK = "PG_ADVISORY_UNLOCK"
_WORKS = ("active", "idle", "idle in transaction")  # not "idle in transaction (aborted)": nothing succeeds there


class Recovery:
    """Remembers the last act. `seen` is true when its session has gone on since then."""

    def __init__(self) -> None:
        self.seen = False
        self._pid: int | None = None
        self._began = 0.0

    @property
    def pending(self) -> bool:
        """A session was cancelled, and what it does next has not been seen yet."""
        return self._pid is not None

    def acted(self, at: float, act: Act, session: Session) -> None:
        """A session was stopped at `at` seconds. One that was terminated, or that may do nothing any more, does not go on."""
        self.seen = False
        final = act.verb is Verb.TERMINATE or act.why in (Why.LOST, Why.TIMEOUT)
        self._pid = None if final else act.pid
        self._began = at - (session.statement_age or 0.0)

    def look(self, at: float, ours: Mapping[int, Session]) -> None:
        """Take in the migration's sessions as they were at `at` seconds."""
        if self._pid is None:
            return
        session = ours.get(self._pid)
        if session is None:
            self._pid = None
        elif self._goes_on(at, session):
            self._pid, self.seen = None, True

    def _goes_on(self, at: float, session: Session) -> bool:
        if session.state not in _WORKS or session.statement_age is None:
            return False
        if at - session.statement_age <= self._began + RECOVERY_MARGIN:
            return False
        said = fingerprint(session.query).upper()
        return bool(said) and said.split()[0].rstrip(";") not in _CLOSING and _UNLOCK not in said
