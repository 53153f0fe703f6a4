"""Runs one file: as one transaction that is tried again while locks are taken, or, if the file says so, statement by statement."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from locktender.runner.connect import Connection
from locktender.runner.errors import is_lost
from locktender.runner.settings import CANCELS_RETRIED
from locktender.runner.sql import failures
from locktender.runner.sql.files import Script
from locktender.runner.sql.locks import Limits, Observer, Patience
from locktender.runner.sql.screen import Screen
from locktender.runner.sql.session import Failure, send

ROLLED_BACK = "The file was rolled back."
UNSURE = "Unless it was committing just then, the file was rolled back."
BEYOND = 1 << 30  # an index beyond every statement: the failure belongs to COMMIT or to our own row


@dataclass(frozen=True)
class Engine:
    """What running a file needs. One session runs, `observer` looks on, `screen` tells."""

    connection: Connection
    limits: Limits
    observer: Observer
    screen: Screen

    def transaction(self, script: Script, finish: Callable[[], None]) -> None:
        """The whole file and `finish` (our row) in one transaction. Raises MigrationError; then nothing of it is kept."""

        def body() -> None:
            send(self.connection, script.text, self.watch)

        try:
            self.retried(script, None, body, finish)
        except Failure as failure:
            kept = UNSURE if is_lost(failure.error) else ROLLED_BACK
            raise failures.refused(script, failure, failures.line_of(script, failure), kept=kept) from None

    def retried(self, script: Script, line: int | None, body: Callable[[], None], finish: Callable[[], None]) -> None:
        """`body` and `finish` in a transaction, again and again while locks are not free.

        Raises MigrationError/LockTimeout when the patience is spent, Failure for anything else.
        """
        patience = Patience(self.limits)
        while True:
            try:
                self._once(patience.next_lock_timeout(), body, finish)
            except Failure as failure:
                self.roll_back()
                where = line or failures.line_of(script, failure)
                self.again(patience, script, where, failure, self.limits.statement_timeout)
            except BaseException:
                self.roll_back()
                raise
            else:
                return

    def _once(self, lock_timeout: int, body: Callable[[], None], finish: Callable[[], None]) -> None:
        """One try. The limits are set in it, since a rolled-back SET is lost."""
        self.observer.reset()
        execute = self.connection.execute
        try:
            execute("BEGIN READ WRITE")
            execute("SELECT set_config('lock_timeout', %s, true)", (f"{lock_timeout}ms",))
            execute(
                "SELECT set_config('statement_timeout', %s, true)",
                (f"{round(self.limits.statement_timeout * 1000)}ms",),
            )
            body()
            execute("RESET SESSION AUTHORIZATION")
            execute("RESET ROLE")
            finish()
            execute("COMMIT")
        except psycopg.Error as problem:
            raise Failure(problem, BEYOND, None) from problem

    def again(
        self, patience: Patience, script: Script, line: int | None, failure: Failure, statement_timeout: float
    ) -> None:
        """Returns when another try is due. Raises `failure` if no lock was its cause, MigrationError when the patience is spent."""
        waited = self.observer.waited
        if not failures.is_lock_failure(failure, waited=waited):
            if not failures.is_cancelled(failure, time.monotonic() - patience.tried, statement_timeout):
                raise failure
            patience.cancels += 1
            if patience.cancels > CANCELS_RETRIED:
                raise failures.cancelled(script, line, patience.cancels) from None
        self.pause(patience, script, line, failure)

    def pause(self, patience: Patience, script: Script, line: int | None, failure: Failure) -> None:
        """Let the application's queue drain, or give up. Raises MigrationError/LockTimeout."""
        pause = patience.pause()
        names = self.observer.names()
        if pause is None:
            state = failure.error.sqlstate
            raise failures.blocked(script, line, state, patience.tries, self.limits.max_wait, names) from None
        self.screen.retry(patience.tries, names, pause)
        time.sleep(pause)

    def watch(self) -> float:
        """Called while a statement runs."""
        return self.observer.look(self.connection.info.backend_pid)

    def roll_back(self) -> None:
        """End a failed transaction; a lost session has none."""
        if not self.connection.closed and self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            try:
                self.connection.execute("ROLLBACK")
            except psycopg.Error:
                self.connection.close()

    def clean_session(self) -> None:
        """What a file set for its session must not reach the next one."""
        self.connection.execute("RESET SESSION AUTHORIZATION")
        self.connection.execute("RESET ROLE")
        self.connection.execute("RESET ALL")
