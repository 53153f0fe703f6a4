"""What is applied, as `locktender.schema_migrations` knows it, and what is therefore to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from locktender.runner.connect import Connection
from locktender.runner.errors import MigrationError, Reason
from locktender.runner.settings import Identity
from locktender.runner.sql.files import Direction, Migration, Script

_SELECT = """
    SELECT version, name, checksum, applied_at IS NOT NULL AS applied, duration_ms,
           coalesce(to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '') AS applied_at,
           resume_direction, resume_checksum, resume_done, resume_started
    FROM locktender.schema_migrations ORDER BY version
"""
_APPLIED = """
    INSERT INTO locktender.schema_migrations (version, name, checksum, applied_at, duration_ms, run_id, release)
    VALUES (%s, %s, %s, clock_timestamp(), %s, %s, %s)
    ON CONFLICT (version) DO UPDATE SET name = excluded.name, checksum = excluded.checksum, applied_at = excluded.applied_at,
        duration_ms = excluded.duration_ms, run_id = excluded.run_id, release = excluded.release,
        resume_direction = NULL, resume_checksum = NULL, resume_done = NULL, resume_started = NULL
"""
_PROGRESS = """
    INSERT INTO locktender.schema_migrations (version, name, checksum, resume_direction, resume_checksum, resume_done, resume_started)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (version) DO UPDATE SET resume_direction = excluded.resume_direction,
        resume_checksum = excluded.resume_checksum, resume_done = excluded.resume_done, resume_started = excluded.resume_started
"""


@dataclass(frozen=True)
class Row:
    """One row. The `resume_*` columns are set while a no-transaction file is between two of its statements:
    `resume_done` statements are complete, the one of index `resume_started` may have run.
    """

    version: str
    name: str
    checksum: str
    applied: bool
    duration_ms: int
    applied_at: str
    resume_direction: str | None
    resume_checksum: str | None
    resume_done: int | None
    resume_started: int | None

    @property
    def label(self) -> str:
        """`20260102030405_name`."""
        return f"{self.version}_{self.name}"


def read(connection: Connection) -> dict[str, Row]:
    """All rows by version, in order."""
    with connection.cursor(row_factory=class_row(Row)) as cursor:
        return {row.version: row for row in cursor.execute(_SELECT.encode())}


def record_applied(connection: Connection, migration: Migration, milliseconds: int) -> None:
    """The row of a complete up file; belongs into the file's own transaction."""
    owner = Identity()
    values = (
        migration.version,
        migration.name,
        migration.up.checksum,
        milliseconds,
        owner.run or None,
        owner.release or None,
    )
    connection.execute(_APPLIED.encode(), values)


def record_undone(connection: Connection, version: str) -> None:
    """No row any more; belongs into the down file's own transaction."""
    connection.execute("DELETE FROM locktender.schema_migrations WHERE version = %s", (version,))


def record_progress(
    connection: Connection, migration: Migration, script: Script, done: int, started: int | None
) -> None:
    """How far a no-transaction file has come."""
    direction = Direction.DOWN if script is migration.down else Direction.UP
    values = (migration.version, migration.name, migration.up.checksum, direction, script.prefix(done), done, started)
    connection.execute(_PROGRESS.encode(), values)


def check(migrations: Sequence[Migration], rows: dict[str, Row], *, allow_out_of_order: bool) -> None:
    """Raises MigrationError when the files contradict what was applied."""
    newest = max((version for version, row in rows.items() if row.applied), default="")
    for migration in migrations:
        row = rows.get(migration.version)
        if row is None or not row.applied:
            if migration.version < newest and not allow_out_of_order:
                said = f"{migration.up.file} is not applied, but the newer {rows[newest].label} is."
                advice = "Give it a version newer than that, or apply it with `sql up --allow-out-of-order`."
                raise MigrationError(Reason.OUT_OF_ORDER, f"{said} {advice}", file=migration.up.file)
        elif row.checksum != migration.up.checksum:
            said = f"{migration.up.file} was changed after it was applied on {row.applied_at}."
            advice = "Restore its text, and put the change into a new file."
            raise MigrationError(Reason.CHECKSUM_MISMATCH, f"{said} {advice}", file=migration.up.file)
        if row is not None and row.resume_direction:
            _check_resumed(migration, row)


def _check_resumed(migration: Migration, row: Row) -> None:
    """What has run of a no-transaction file must not change; what has not may be mended."""
    script = migration.up if row.resume_direction == Direction.UP else migration.down
    if script is None or script.prefix(row.resume_done or 0) != row.resume_checksum:
        file = script.file if script else f"{migration.label}.down.sql"
        said = f"The first {row.resume_done} statements of {file} have run and were changed since. Restore their text; the rest may change."
        raise MigrationError(Reason.CHECKSUM_MISMATCH, said, file=file)


def check_direction(rows: dict[str, Row], direction: Direction) -> None:
    """Raises MigrationError when a no-transaction file stopped half-way in the other direction."""
    for row in rows.values():
        if row.resume_direction and row.resume_direction != direction:
            said = f"{row.label}.{row.resume_direction}.sql stopped after {row.resume_done} statements."
            advice = f"Finish it with `sql {row.resume_direction}` first; what has not run of it may be mended."
            raise MigrationError(
                Reason.OUT_OF_ORDER, f"{said} {advice}", file=f"{row.label}.{row.resume_direction}.sql"
            )


def to_apply(migrations: Sequence[Migration], rows: dict[str, Row], to: str | None) -> list[Migration]:
    """The pairs that `up` runs, oldest first. Raises MigrationError when `to` names none of them."""
    if to is not None and to not in {migration.version for migration in migrations}:
        raise MigrationError(
            Reason.MIGRATIONS_MISSING, f"No file has the version {to}. Give one of those that `sql status` lists."
        )
    return [
        migration
        for migration in migrations
        if (to is None or migration.version <= to)
        and not ((row := rows.get(migration.version)) and row.applied and row.resume_direction is None)
    ]


def to_undo(migrations: Sequence[Migration], rows: dict[str, Row], to: str | None, steps: int) -> list[Migration]:
    """The pairs that `down` runs, newest first. Raises MigrationError when one of them has no down file here."""
    versions = [version for version in sorted(rows, reverse=True) if to is None or version > to]
    known = {migration.version: migration for migration in migrations}
    chosen = versions if to is not None else versions[:steps]
    for version in chosen:
        if version not in known or known[version].down is None:
            said = f"{rows[version].label} is applied, but there is no {rows[version].label}.down.sql. Nothing was undone; add the file."
            raise MigrationError(Reason.MIGRATIONS_MISSING, said, file=f"{rows[version].label}.down.sql")
    return [known[version] for version in chosen]
