"""Guards a migration while it runs: looks at the locks, keeps the account, stops what goes too far, tells.

    look --nobody waits because of us--> pause LOOK, longer where there are very many locks --look
      '--somebody does--> pause LOOK, or until the budget of the longest wait is spent if that is sooner --look

A look is one query over pg_locks, and a cheaper one while there is neither a session of the migration nor a wait. The sessions are
listed once a second, and at once when a lock shows somebody unknown. All of it goes over the fence's own session: that session is what
must not be lost anyway, and if it is, the migration is stopped.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from locktender.runner import journal, redact
from locktender.runner.agent import names, rules, sessions, signals, waits
from locktender.runner.agent.account import Account, Own
from locktender.runner.agent.blame import Picture, picture
from locktender.runner.agent.gauges import Gauges, Reading
from locktender.runner.agent.holds import Holds
from locktender.runner.agent.kept import Kept
from locktender.runner.agent.limits import Limits
from locktender.runner.agent.sessions import Baseline, Session, Whose
from locktender.runner.agent.timeline import Timeline
from locktender.runner.agent.waits import Lock
from locktender.runner.connect import Connection
from locktender.runner.settings import (
    DATABASE_SIZE_EVERY,
    LOCK_TIMEOUT_LIKELY,
    LOOK,
    LOOK_COST,
    LOOK_PATIENCE,
    LOOK_SHARE,
    SAMPLE_BUSY,
    SAMPLE_QUIET,
    SESSIONS_EVERY,
)

T = TypeVar("T")


class Unguarded(Exception):  # not an error of the migration: the guard has been blind for too long
    """No look has succeeded for LOOK_PATIENCE."""


@contextmanager
def _deadline() -> Iterator[None]:
    """Raises Unguarded in the middle of a look that takes longer than LOOK_PATIENCE: a server that hangs says nothing at all."""

    def expired(*_: object) -> None:
        raise Unguarded(f"no answer within {LOOK_PATIENCE:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, LOOK_PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Watch:
    """One migration under guard, since the monotonic time `held`. `lost`: the fence was lost once, so every session of the migration is terminated from now on."""

    def __init__(self, limits: Limits, run: str, addresses: Iterable[str], baseline: Baseline, held: float) -> None:
        self.limits, self.lost = limits, False
        self._whose = Whose(run, frozenset(addresses), baseline)
        self._begun = held
        self._account, self._holds = Account(), Holds(baseline.newest_relation)
        self._timeline, self.kept = Timeline(names.Names()), Kept()
        self._gauges, self._reading = Gauges(baseline.database, baseline.wal), Reading()
        self._known: dict[int, Session] = {}
        self._ours: dict[int, Session] = {}
        self._done: dict[int, rules.Done] = {}
        self._refused: set[int] = set()
        self._told: set[str] = set()
        self._asked: set[int] = set()
        self._listed = self._sampled = self._measured = float("-inf")
        self._seen = time.monotonic()
        self._blocked = self._named = False

    @property
    def at(self) -> float:
        """Seconds since the fence was held."""
        return time.monotonic() - self._begun

    def open(self, connection: Connection) -> None:
        """Tell what was there before. Raises psycopg.Error if the session is lost."""
        base = self._whose.baseline
        waiting = sum(not lock.granted for lock in waits.look(connection, base.database, ()))
        self._read(connection)
        version = connection.info.server_version
        journal.say(
            "baseline", at=round(self.at, 3), serverVersion=f"{version // 10_000}.{version % 10_000}",
            sessions=base.sessions, waiting=waiting, databaseBytes=self._gauges.database_bytes, byAddress=base.alone,
        )  # fmt: skip

    def use(self, pid: int) -> None:
        """The fence's session is another one from now on."""
        base = self._whose.baseline
        self._whose = Whose(self._whose.run, self._whose.addresses, Baseline(**{**vars(base), "pid": pid}))
        self._seen = time.monotonic()

    def look(self, connection: Connection) -> float:
        """One look; the seconds until the next. Raises psycopg.Error if the session is lost, Unguarded if nothing can be seen."""
        try:
            with _deadline():
                pause = self._look(connection)
        except (psycopg.Error, ArithmeticError, LookupError, TypeError, ValueError) as problem:
            if connection.closed or connection.broken:
                raise
            if time.monotonic() - self._seen > LOOK_PATIENCE:
                raise Unguarded(f"nothing could be seen for {LOOK_PATIENCE:g} s") from problem
            journal.say("unseen", redact.text(f"{type(problem).__name__}: {str(problem).splitlines()[:1]}"))
            return LOOK
        self._seen = time.monotonic()
        return pause

    def stop_everything(self, connection: Connection) -> None:
        """Terminate whatever is the migration's, on any session. Raises psycopg.Error."""
        self._list(connection, ())
        self._judge(connection)

    def close(self, connection: Connection | None) -> dict[str, Any]:
        """The last lines; the summary."""
        if connection is not None and not connection.closed:
            try:
                self._measured = self.at  # the size of the database is not worth making the pod's end wait
                with _deadline():
                    if self._ours:
                        self._look(connection)
                    self._sample(connection)
            except (psycopg.Error, Unguarded, ArithmeticError, LookupError, TypeError, ValueError):
                journal.say("unseen", "the last look failed")
        at = self.at
        ended, own = self._account.finish(at)
        self._timeline.waits(at, ended)
        self._timeline.own(at, own)
        self._timeline.holds(at, self._holds.see(at, (), ()))
        return self.kept.whole(self._summary())

    def _summary(self) -> dict[str, Any]:
        return self._timeline.summary(self.at, self._account, self.limits, self._reading)

    def _look(self, connection: Connection) -> float:
        if self.lost:
            self.stop_everything(connection)
        quiet = not self._ours and not self._account.charges and not waits.anybody(connection)
        locks = [] if quiet else waits.look(connection, self._whose.baseline.database, self._ours)
        self._know(connection, locks)
        seen = self._picture(locks)
        self._name(connection, locks, seen)
        at = self.at
        ended, own = self._account.see(at, seen, self._known)
        self._timeline.waits(at, ended)
        self._timeline.own(at, own)
        self._timeline.holds(at, self._holds.see(at, locks, self._ours))
        if own:
            self._list(connection, ())
            self._timeline.lock_timeout_seen |= any(self._gave_up(each) for each in own)
        due = self._judge(connection)
        blocked = bool(self._account.charges)
        every = SAMPLE_BUSY if self._ours else SAMPLE_QUIET
        if blocked != self._blocked or self.at - self._sampled >= every:
            self._sample(connection)
        self._blocked = blocked
        if self.kept.due(self.at):
            self.kept.keep(self.at, self._summary())
        usual = LOOK if blocked else max(LOOK, min(self._reading.locks * LOOK_COST, self.limits.budget * LOOK_SHARE))
        return min(usual, due)

    def _know(self, connection: Connection, locks: list[Lock]) -> None:
        """List the sessions when it is time to, or when somebody in these locks is unknown, or known without a statement.

        Who was asked for a moment ago and not found is in another database.
        """
        involved = {lock.pid for lock in locks if lock.pid} - {self._whose.baseline.pid}
        new = {pid for pid in involved - self._asked if pid not in self._known or self._known[pid].query == ""}
        if new or self._timeline.recovery.pending or self.at - self._listed >= SESSIONS_EVERY:
            self._list(connection, involved)

    def _list(self, connection: Connection, involved: Iterable[int]) -> None:
        """Who is there. Sessions of the migration that are new are asked again, for their statements."""
        database = self._whose.baseline.database
        self._asked = {*involved, *self._ours}
        found = sessions.listed(connection, database, self._asked)
        ours = self._whose.ours(found, named=self._named)
        if new := ours.keys() - self._ours.keys():
            found = sessions.listed(connection, database, {*involved, *self._ours, *new})
            ours = self._whose.ours(found, named=self._named)
        self._ours = ours
        self._named = self._named or any(self._whose.named(session) for session in ours.values())
        self._known = {session.pid: session for session in found}
        self._listed = self.at
        self._timeline.recovery.look(self._listed, ours)

    def _gave_up(self, own: Own) -> bool:
        """Its wait has ended, but not with the lock: its transaction failed or it has gone, and not by our doing."""
        session, done = self._ours.get(own.wait.pid), self._done.get(own.wait.pid)
        if done is not None and done.at >= own.start:
            return False
        if session is None:
            return own.seconds >= LOCK_TIMEOUT_LIKELY
        return session.state == "idle in transaction (aborted)"

    def _picture(self, locks: list[Lock]) -> Picture:
        leaders = {pid: session.leader for pid, session in self._known.items() if session.leader != pid}
        vacuums = {pid for pid, session in self._known.items() if session.kind == "autovacuum worker"}
        return picture(locks, self._ours, leaders, {*vacuums, self._whose.baseline.pid})

    def _name(self, connection: Connection, locks: list[Lock], seen: Picture) -> None:
        """Names are for people: without them all goes on."""
        relations = {lock.relation for lock in locks}
        self._optional(connection, lambda: self._timeline.names.learn(connection, relations))
        transactions = {each for own in seen.own for each in own.prepared}
        if transactions - {each["transaction"] for each in self._timeline.prepared}:
            found = self._optional(connection, lambda: names.prepared(connection, transactions))
            self._timeline.prepared = found or self._timeline.prepared

    def _judge(self, connection: Connection) -> float:
        """Stop what must be stopped; the seconds until the next rule may apply."""
        verdict = self._verdict()
        if verdict.acts:
            self._list(connection, [act.pid for act in verdict.acts])  # whether it is idle is a matter of the moment
            verdict = self._verdict()
        for act in verdict.acts:
            session = self._ours[act.pid]
            if act.pid in self._refused:
                continue
            try:
                done = signals.send(connection, act.verb, session)
            except psycopg.errors.InsufficientPrivilege as problem:
                self._refused.add(act.pid)
                journal.say(
                    "refused", redact.text(str(problem).split("\n", maxsplit=1)[0]), at=round(self.at, 3), pid=act.pid
                )
                continue
            if done:
                self._done[act.pid] = rules.Done(act.verb, self.at)
                self._timeline.act(self.at, act, session)
                self._listed = float("-inf")
        return min(verdict.due, self._verdict().due) if verdict.acts else verdict.due

    def _verdict(self) -> rules.Verdict:
        scene = rules.Scene(
            self.at, self._ours, self._account.charges.values(), self._account.own.values(), self._done, self.lost
        )
        return rules.judge(self.limits, scene)

    def _read(self, connection: Connection) -> None:
        """Gauges are for people as well."""
        if self.at - self._measured >= DATABASE_SIZE_EVERY:
            self._measured = self.at
            self._optional(connection, lambda: self._gauges.measure(connection))
        found = self._optional(connection, lambda: self._gauges.read(connection, self._ours, self._holds.relations))
        self._reading = found or self._reading

    def _optional(self, connection: Connection, query: Callable[[], T]) -> T | None:
        """What `query` finds; None if the server refuses it. Raises psycopg.Error if the session is lost."""
        try:
            return query()
        except psycopg.Error as problem:
            if connection.closed or connection.broken:
                raise
            said = redact.text(str(problem).split("\n", maxsplit=1)[0])
            if said not in self._told:
                self._told.add(said)
                journal.say("unread", said, at=round(self.at, 3))
            return None

    def _sample(self, connection: Connection) -> None:
        self._read(connection)
        self._sampled = self.at
        self._timeline.sample(self.at, self._account, self._ours, self._reading, self._gauges.database_bytes)
