"""One text to the server, watched while it runs: which statement it is at, and who keeps it waiting.

psycopg's own `execute` neither tells how many statements of a text are complete nor lets us look around meanwhile, so this
speaks libpq's asynchronous calls.
"""

import select
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import errors, pq

from locktender.runner.connect import Connection
from locktender.runner.errors import MigrationError, Reason
from locktender.runner.settings import CANCEL_TIMEOUT, SAMPLE_FIRST

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY, pq.ExecStatus.SINGLE_TUPLE)


class Failure(Exception):
    """The server refused statement number `index` (from 0) of the text; `position` counts characters of the text from 1."""

    def __init__(self, error: psycopg.Error, index: int, position: int | None) -> None:
        super().__init__(str(error))
        self.error, self.index, self.position = error, index, position


def send(connection: Connection, text: str, watch: Callable[[], float]) -> None:
    """Run `text`, one or many statements. `watch` is called while it runs on and returns the seconds until its next call.

    Raises Failure. Whatever else is raised meanwhile (a signal, or by `watch`) cancels the statement first.
    """
    try:
        _send(connection, text, watch)
    except Failure:
        raise
    except BaseException:
        with suppress(Exception):
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        with suppress(Exception):
            _drain(connection.pgconn)
        raise


def _send(connection: Connection, text: str, watch: Callable[[], float]) -> None:
    pgconn = connection.pgconn
    try:
        pgconn.send_query(text.encode())
        complete = 0
        while True:
            _wait(pgconn, watch)
            result = pgconn.get_result()
            if result is None:
                return
            if result.status in _DONE:
                complete += 1
            elif result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
                connection.close()
                raise MigrationError(
                    Reason.INVALID_MIGRATION_FILE, "COPY from or to the client needs psql; write INSERT statements."
                )
            else:
                error = errors.error_from_result(result, connection.info.encoding)
                _drain(pgconn)
                raise Failure(
                    error, complete, int(error.diag.statement_position) if error.diag.statement_position else None
                )
    except psycopg.OperationalError as lost:
        raise Failure(lost, 0, None) from lost


def _wait(pgconn: pq.abc.PGconn, watch: Callable[[], float]) -> None:
    """Until a result is complete. Requests are small enough for one write, so only reading is waited for."""
    pgconn.flush()
    pause = SAMPLE_FIRST
    while pgconn.is_busy():
        ready, _, _ = select.select([pgconn.socket], [], [], pause)
        if ready:
            pgconn.consume_input()
        else:
            pause = watch()


def _drain(pgconn: pq.abc.PGconn) -> None:
    while pgconn.status == pq.ConnStatus.OK and pgconn.get_result() is not None:
        pass
