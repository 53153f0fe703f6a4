"""Our own tables in the database, in the schema `locktender`. Made when missing; what a role may not do is told as SQL to run.

db_backups         a row for each published backup         (an index; the manifests are the truth)
runs               a row for each attempt of a migration   (the fence)
schema_migrations  a row for each applied SQL file         (restored together with the schema it describes)
"""

from psycopg import errors as pg
from psycopg import sql

from locktender.runner.connect import Connection
from locktender.runner.errors import Reason, RunnerError
from locktender.runner.settings import LOCK_CLASS, LOCK_SCHEMA

NOT_DUMPED = ("locktender.db_backups", "locktender.runs")  # a restore must not turn the clock of these back
TABLES = {
    "db_backups": """CREATE TABLE locktender.db_backups (
        id text PRIMARY KEY, file_name text NOT NULL, created_at timestamptz NOT NULL,
        size_bytes bigint NOT NULL, sha256 text NOT NULL, raw_bytes bigint NOT NULL, raw_sha256 text NOT NULL,
        directory text NOT NULL, database_name text NOT NULL, server_version text NOT NULL, client_version text NOT NULL,
        started_at timestamptz NOT NULL, verification text NOT NULL, tables integer NOT NULL,
        migration text, run_id text, release text)""",
    "runs": """CREATE TABLE locktender.runs (
        run_id text NOT NULL, step text NOT NULL, attempt integer NOT NULL, pod_uid text NOT NULL,
        state text NOT NULL CHECK (state IN ('running', 'ended', 'overridden')),
        started_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz, backend_pid integer,
        migration text, release text,
        PRIMARY KEY (run_id, step, attempt, pod_uid))""",
    "schema_migrations": """CREATE TABLE locktender.schema_migrations (
        version text PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
        applied_at timestamptz, duration_ms bigint NOT NULL DEFAULT 0, run_id text, release text,
        resume_direction text, resume_checksum text, resume_done integer, resume_started integer)""",
}


def ensure(connection: Connection, table: str) -> None:
    """Make the schema and `table` if missing. Raises RunnerError/SchemaPermission with the SQL that a superuser should run."""
    if _usable(connection, table):
        return
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ WRITE")
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, LOCK_SCHEMA))
            if not _exists(connection, "SELECT to_regnamespace('locktender') IS NOT NULL"):
                connection.execute("CREATE SCHEMA locktender")
            if not _exists(connection, "SELECT to_regclass(%s) IS NOT NULL", f"locktender.{table}"):
                connection.execute(TABLES[table].encode())
    except pg.InsufficientPrivilege as problem:
        raise _missing_permission(connection) from problem
    if not _usable(connection, table):
        raise _missing_permission(connection)


def _usable(connection: Connection, table: str) -> bool:
    query = """SELECT has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                  AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
                  AND has_schema_privilege(n.oid, 'USAGE')
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'locktender' AND c.relname = %s"""
    return _exists(connection, query, table)


def _exists(connection: Connection, query: str, *arguments: str) -> bool:
    row = connection.execute(query.encode(), arguments).fetchone()
    return row is not None and bool(row[0])


def _missing_permission(connection: Connection) -> RunnerError:
    role = sql.Identifier(connection.info.user).as_string(connection)
    statements = (
        "CREATE SCHEMA IF NOT EXISTS locktender; "
        f"GRANT USAGE, CREATE ON SCHEMA locktender TO {role}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA locktender TO {role};"
    )
    said = f"The role {role} may not keep its records in the schema locktender. Run this in the database as its owner: {statements}"
    return RunnerError(Reason.SCHEMA_PERMISSION, said, sql=statements)
