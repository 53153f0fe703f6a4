"""Real servers of every supported major on this machine, started once for the test session."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
from psycopg import sql

from tools.cluster import postgres_server

MAJORS = (14, 15, 16, 17, 18)
HBA = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
SETTINGS = {
    **postgres_server.NO_DISK,
    "shared_buffers": "32MB",
    "max_connections": "40",
    "autovacuum": "off",
    "log_min_messages": "warning",
}
_names = count(1)


class Server(postgres_server.Server):
    """A running server, with what tests ask of it."""

    def connect(self, database="postgres", user="postgres", password="", **options):
        return psycopg.connect(self.url(database, user, password), autocommit=True, **options)

    def database(self, owner=None):
        """A fresh database's name."""
        name = f"db{next(_names)}"
        self.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if owner:
            self.run(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(owner)))
        return name

    def role(self, password, options=""):
        """A fresh login role's name."""
        name = f"role{next(_names)}"
        self.run(f"CREATE ROLE {name} LOGIN {options} PASSWORD '{password}'")
        return name

    def run(self, statement, database="postgres"):
        with self.connect(database) as connection:
            return _rows(connection.execute(statement))


def _rows(cursor):
    return cursor.fetchall() if cursor.description else []


@contextmanager
def serving(major: int, *, hba: str = HBA, **settings: str) -> Iterator[Server]:
    """A server for the time of the block, without fsync, as an unprivileged user."""
    with postgres_server.serving(major, Server, {**SETTINGS, **settings}, hba) as server:
        yield server
