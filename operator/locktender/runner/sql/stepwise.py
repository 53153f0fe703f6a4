"""A file with `-- locktender: no-transaction`: one statement at a time, each recorded, so that a crashed run goes on where it was.

    statement i --in a transaction together with its record--> done = i + 1      (all that can)
    statement i --record started = i--> run --> record done = i + 1              (CREATE INDEX CONCURRENTLY, VACUUM, a DO that commits)

After a crash the second kind may have run without its record: an index is looked up, anything else runs again.
"""

import math
from dataclasses import dataclass

import psycopg

from locktender.runner.errors import MigrationError
from locktender.runner.sql import failures, history, indexes
from locktender.runner.sql.engine import BEYOND, Engine
from locktender.runner.sql.files import Migration, Script, is_concurrent
from locktender.runner.sql.history import Row
from locktender.runner.sql.lexer import Statement
from locktender.runner.sql.locks import Patience
from locktender.runner.sql.session import Failure, send

# "cannot run inside a transaction block", "invalid transaction termination": the server says that it wants to be outside.
_OUTSIDE = ("25001", "2D000")


class _WaitedTooLongError(Exception):
    """A statement without lock_timeout has waited for locks as long as it may."""


@dataclass(frozen=True)
class Steps:
    """One run over one file."""

    engine: Engine
    migration: Migration
    script: Script

    def run(self, row: Row | None) -> None:
        """All statements that are not done. `row` tells where an earlier run stopped. Raises MigrationError."""
        done = (row.resume_done or 0) if row else 0
        started = row.resume_started if row else None
        if done or started is not None:
            self.engine.screen.resumed(self.script.file, done, len(self.script.statements))
        for index, statement in enumerate(self.script.statements):
            try:
                if index >= done:
                    self._step(index, statement, maybe_done=index == started)
                elif _is_setting(statement):  # the session that had it is gone
                    send(self.engine.connection, statement.text, self.engine.watch)
            except Failure as failure:
                line = self._line(statement, index, failure)
                kept = f"The {index} statements before it are done; the next run goes on here."
                raise failures.refused(self.script, failure, line, kept=kept) from None

    def _step(self, index: int, statement: Statement, *, maybe_done: bool) -> None:
        if is_concurrent(statement.words):
            self._concurrent(index, statement, maybe_done=maybe_done)
            return
        engine = self.engine
        try:
            engine.retried(
                self.script,
                statement.line,
                lambda: send(engine.connection, statement.text, engine.watch),
                lambda: self._record(index + 1, None),
            )
        except Failure as failure:
            if failure.error.sqlstate not in _OUTSIDE:
                raise
            self._outside(index, statement)

    def _outside(self, index: int, statement: Statement) -> None:
        """A statement that manages transactions itself; lock waits are tried again like everywhere."""
        patience = Patience(self.engine.limits)
        self._record(index, index)
        while True:
            self.engine.observer.reset()
            self._limit(patience.next_lock_timeout(), round(self.engine.limits.statement_timeout * 1000))
            try:
                send(self.engine.connection, statement.text, self.engine.watch)
            except Failure as failure:
                self.engine.again(patience, self.script, statement.line, failure, self.engine.limits.statement_timeout)
            else:
                break
        self._limit(None, None)
        self._record(index + 1, None)

    def _concurrent(self, index: int, statement: Statement, *, maybe_done: bool) -> None:
        """An index, without blocking. It gets no lock_timeout, which would kill it for an old snapshot elsewhere; we watch its waits."""
        engine, patience = self.engine, Patience(self.engine.limits)
        if maybe_done and indexes.is_done(engine.connection, statement.words):
            self._record(index + 1, None)
            return
        self._record(index, index)
        self._limit(0, 0)
        while True:
            engine.observer.reset()
            try:
                self._drop_invalid(statement)
                send(engine.connection, statement.text, self._watch_waits)
            except _WaitedTooLongError:
                names = engine.observer.names()
                self._drop_leftover(statement)
                raise failures.blocked(
                    self.script, statement.line, None, patience.tries + 1, engine.limits.max_wait, names
                ) from None
            except Failure as failure:
                patience.tries += 1
                try:
                    engine.again(patience, self.script, statement.line, failure, math.inf)
                except (Failure, MigrationError):
                    self._drop_leftover(statement)
                    raise
            else:
                break
        self._limit(None, None)
        self._record(index + 1, None)

    def _watch_waits(self) -> float:
        pause = self.engine.watch()
        if self.engine.observer.waiting > self.engine.limits.max_wait:
            raise _WaitedTooLongError
        return pause

    def _drop_invalid(self, statement: Statement) -> None:
        """A build that failed leaves an INVALID index of its name, which IF NOT EXISTS would take for the real one."""
        for name in indexes.invalid(self.engine.connection, statement.words):
            self.engine.screen.note(f"dropping the invalid index {name}, left by a build that failed")
            send(self.engine.connection, f"DROP INDEX CONCURRENTLY {name}", self._watch_waits)

    def _drop_leftover(self, statement: Statement) -> None:
        """Try to tidy up before giving up; if that has to wait as well, the next run does it."""
        connection = self.engine.connection
        if connection.closed or connection.broken:
            return
        self._limit(round(self.engine.limits.lock_timeout * 1000), 0)
        try:
            for name in indexes.invalid(connection, statement.words):
                connection.execute(f"DROP INDEX {name}".encode())
        except psycopg.Error as problem:
            self.engine.screen.note(f"the invalid index stays until the next run: SQLSTATE {problem.sqlstate}")

    def _limit(self, lock_timeout: int | None, statement_timeout: int | None) -> None:
        """Session-wide limits in milliseconds; None for the session's own."""
        for name, value in (("lock_timeout", lock_timeout), ("statement_timeout", statement_timeout)):
            self.engine.connection.execute((f"RESET {name}" if value is None else f"SET {name} = '{value}ms'").encode())

    def _record(self, done: int, started: int | None) -> None:
        history.record_progress(self.engine.connection, self.migration, self.script, done, started)

    def _line(self, statement: Statement, index: int, failure: Failure) -> int | None:
        if failure.index == BEYOND:
            return statement.line
        return failures.line_of(self.script, failure, statement.offset, index)


def _is_setting(statement: Statement) -> bool:
    """SET and RESET of the session."""
    return statement.words[:1] in (("SET",), ("RESET",)) and statement.words[1:2] not in (
        ("LOCAL",),
        ("TRANSACTION",),
        ("CONSTRAINTS",),
    )
