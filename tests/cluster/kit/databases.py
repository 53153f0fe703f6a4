"""Databases for tests: two shared servers (PostgreSQL 14 and 18), a fresh database with its own role for each test."""

import secrets
from dataclasses import dataclass

from tests.cluster.kit import manifests
from tools.demo.stage import Stage

NAMESPACE = "locktender-test-databases"
MAJORS = (14, 18)
NEWEST = 18


@dataclass(frozen=True)
class Database:
    """One database and the role that owns it."""

    stage: Stage
    name: str
    password: str
    major: int = NEWEST

    @property
    def host(self) -> str:
        """The server's name in the cluster."""
        return f"pg{self.major}.{NAMESPACE}.svc"

    @property
    def url(self) -> str:
        """The URL that goes into the Secret."""
        return f"postgresql://{self.name}:{self.password}@{self.host}:5432/{self.name}"

    def query(self, sql: str, database: str = "") -> list[str]:
        """The rows of a statement run by the superuser, one string each."""
        return psql(self.stage, self.major, sql, database or self.name)


def psql(stage: Stage, major: int, sql: str, database: str = "postgres") -> list[str]:
    """Run SQL on a shared server as its superuser."""
    command = ("psql", "-h", "/tmp", "-U", "postgres", "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1")
    done = stage.run("kubectl", "-n", NAMESPACE, "exec", "-i", f"deploy/pg{major}", "--", *command, text=sql)
    return done.stdout.splitlines()


def create(stage: Stage, name: str, major: int = NEWEST, *, owner: bool = True) -> Database:
    """A database and its role; without `owner` the role may connect and nothing else."""
    made = Database(stage, name.replace("-", "_"), secrets.token_hex(12), major)
    psql(stage, major, f"CREATE ROLE \"{made.name}\" LOGIN PASSWORD '{made.password}'")
    psql(stage, major, f'CREATE DATABASE "{made.name}"' + (f' OWNER "{made.name}"' if owner else ""))
    if major == 14 and owner:
        psql(stage, major, f'ALTER SCHEMA public OWNER TO "{made.name}"', made.name)
    if not owner and major == 14:
        psql(stage, major, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", made.name)
    return made


def drop(database: Database) -> None:
    """Remove it, whoever is connected."""
    psql(database.stage, database.major, f'DROP DATABASE IF EXISTS "{database.name}" WITH (FORCE)')
    psql(database.stage, database.major, f'DROP ROLE IF EXISTS "{database.name}"')


def servers() -> list[dict[str, object]]:
    """The manifests of the shared servers; whoever may read them sees only throw-away data."""
    found: list[dict[str, object]] = []
    for major in MAJORS:
        found += manifests.postgres(f"pg{major}", major, secrets.token_hex(12))
    return found
