"""The row in `locktender.db_backups`: an index for people and programs with SQL. Written after the manifest, rebuilt from it."""

from typing import Any

from locktender.runner.connect import Connection

_INSERT = """
    INSERT INTO locktender.db_backups (id, file_name, created_at, size_bytes, sha256, raw_bytes, raw_sha256, directory, database_name,
        server_version, client_version, started_at, verification, tables, migration, run_id, release)
    VALUES (%(id)s, %(file)s, %(finishedAt)s, %(sizeBytes)s, %(sha256)s, %(rawBytes)s, %(rawSha256)s, %(directory)s, %(database)s,
        %(serverVersion)s, %(clientVersion)s, %(startedAt)s, %(verification)s, %(tables)s, %(migration)s, %(run)s, %(release)s)
    ON CONFLICT (id) DO NOTHING
"""


def record(connection: Connection, facts: dict[str, Any], owner: dict[str, Any]) -> None:
    """Insert the row of a published backup, once. `facts` is the report's `backup`, `owner` the manifest's."""
    owned = {"migration": owner.get("migration"), "run": owner.get("run"), "release": owner.get("release")}
    with connection.transaction():
        connection.execute("SET TRANSACTION READ WRITE")
        connection.execute(_INSERT.encode(), {**facts, **owned})
