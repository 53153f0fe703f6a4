"""`locktender runner sql up|down|status`: connect, take the engine's lock, compare files with history, run, tell."""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from locktender.runner import ledger, settings
from locktender.runner.connect import Connection, connect, parse, require_direct
from locktender.runner.errors import FenceError, MigrationError, Reason, RunnerError
from locktender.runner.sql import files, history
from locktender.runner.sql.engine import Engine
from locktender.runner.sql.files import Direction, Migration
from locktender.runner.sql.history import Row
from locktender.runner.sql.locks import Limits, Observer, application_name
from locktender.runner.sql.screen import Screen
from locktender.runner.sql.stepwise import Steps


def main(options: argparse.Namespace) -> dict[str, Any]:
    """Run one action; the successful report. Raises RunnerError or psycopg.Error."""
    folder = settings.path("LOCKTENDER_MIGRATIONS_DIR", settings.MIGRATIONS_DIR)
    migrations = _load(folder if options.path is None else Path(options.path))
    if options.action == "status":
        return _status(migrations, options.output)
    with _engine() as (engine, database):
        rows = history.read(engine.connection)
        up = options.action == "up"
        history.check_direction(rows, Direction.UP if up else Direction.DOWN)
        if up:
            history.check(migrations, rows, allow_out_of_order=options.allow_out_of_order)
            todo = history.to_apply(migrations, rows, options.to)
        else:
            todo = history.to_undo(migrations, rows, options.to, options.steps or 1)
        return _run(engine, database, todo, rows, up=up)


def _load(folder: Path) -> list[Migration]:
    """The files. Raises MigrationError also for what the file system refuses."""
    try:
        return files.load(folder)
    except OSError as problem:
        said = f"{problem.filename or folder} cannot be read: {problem.strerror}. Let the runner's user (65532 in a pod) read it."
        raise MigrationError(Reason.MIGRATIONS_MISSING, said) from None


def _run(engine: Engine, database: str, todo: Sequence[Migration], rows: dict[str, Row], *, up: bool) -> dict[str, Any]:
    """The files in order; what is complete is told also when a later one fails."""
    past = "applied" if up else "undone "
    if not todo:
        said = f"Nothing to {'apply' if up else 'undo'}: {database} has {sum(row.applied for row in rows.values())} files applied."
        engine.screen.head(said)
        return {"reason": Reason.NOTHING_TO_DO, "message": said, **_facts(engine, [])}
    engine.screen.head(
        f"{database}: {len(todo)} {'file' if len(todo) == 1 else 'files'} to {'apply' if up else 'undo'}"
    )
    done: list[str] = []
    for migration in todo:
        begun = time.monotonic()
        try:
            _one(engine, migration, rows.get(migration.version), up=up)
        except RunnerError as problem:
            engine.screen.failed(migration.label)
            problem.facts |= {"applied": done[: settings.APPLIED_LISTED], "appliedCount": len(done)}
            raise
        done.append(migration.label)
        engine.screen.done(past, migration.label, round((time.monotonic() - begun) * 1000))
    said = f"{past.strip().capitalize()} {len(done)} of {len(todo)} files, the last one {done[-1]}."
    return {"reason": Reason.SUCCEEDED, "message": said, **_facts(engine, done)}


def _one(engine: Engine, migration: Migration, row: Row | None, *, up: bool) -> None:
    """One file and its record."""
    script = migration.up if up else migration.down
    if script is None:
        raise ValueError(f"{migration.label} has no down file")
    begun = time.monotonic()

    def record() -> None:
        if up:
            history.record_applied(engine.connection, migration, round((time.monotonic() - begun) * 1000))
        else:
            history.record_undone(engine.connection, migration.version)

    if script.transactional:
        engine.transaction(script, record)
    else:
        Steps(engine, migration, script).run(row)
        record()
    engine.clean_session()


def _facts(engine: Engine, done: Sequence[str]) -> dict[str, Any]:
    applied = [version for version, row in history.read(engine.connection).items() if row.applied]
    newest = max(applied, default="")
    return {"applied": list(done[: settings.APPLIED_LISTED]), "appliedCount": len(done), "version": newest}


@contextmanager
def _engine() -> Iterator[tuple[Engine, str]]:
    """The engine, alone in its database, and the database's name for people."""
    target, limits, screen = parse(), Limits.from_environment(), Screen.of_this_process()
    connection = connect(target, application_name())
    observer = Observer(target)
    try:
        require_direct(connection)
        _alone(connection, limits.max_wait, screen)
        ledger.ensure(connection, "schema_migrations")
        yield Engine(connection, limits, observer, screen), target.label
    finally:
        observer.close()
        connection.close()


def _alone(connection: Connection, max_wait: float, screen: Screen) -> None:
    """Take the engine's own advisory lock (the agent beside us holds another). Raises FenceError/DatabaseBusy."""
    end, told = time.monotonic() + max_wait, False
    while True:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, %s)", (settings.LOCK_CLASS, settings.LOCK_SQL)
        ).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() >= end:
            said = (
                f"Another run of SQL files has held this database for {max_wait:g} s. Run this again when it has ended."
            )
            raise FenceError(Reason.DATABASE_BUSY, said)
        if not told:
            screen.note("another run of SQL files holds this database; waiting for it")
            told = True
        time.sleep(settings.LOCK_POLL)


def _status(migrations: Sequence[Migration], output: str) -> dict[str, Any]:
    """Files beside rows. Changes nothing, needs no lock and no table."""
    target = parse()
    with connect(target, application_name()) as connection:
        row = connection.execute("SELECT to_regclass('locktender.schema_migrations') IS NOT NULL").fetchone()
        rows = history.read(connection) if row is not None and row[0] else {}
    known = {migration.version: migration for migration in migrations}
    listed = [_listed(version, known.get(version), rows.get(version)) for version in sorted({*known, *rows})]
    screen = Screen.of_this_process()
    if output == "json":
        screen.document({"database": target.database, "files": listed})
    else:
        screen.table(target.label, listed)
    pending = sum(file["state"] in ("pending", "half-done") for file in listed)
    return {"reason": Reason.SUCCEEDED, "message": f"{len(listed)} files, {pending} to apply."}


def _listed(version: str, migration: Migration | None, row: Row | None) -> dict[str, Any]:
    if row is not None and row.resume_direction:
        state = "half-done"
    elif row is None or not row.applied:
        state = "pending"
    elif migration is None:
        state = "no file"
    else:
        state = "applied" if row.checksum == migration.up.checksum else "changed"
    return {
        "version": version,
        "name": migration.name if migration else (row.name if row else ""),
        "state": state,
        "appliedAt": row.applied_at if row and row.applied else None,
        "durationMs": row.duration_ms if row and row.applied else None,
    }
