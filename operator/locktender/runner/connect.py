"""From a URL to a session: `parse` -> Target -> `connect` -> psycopg connection in autocommit.

The password travels in memory and in libpq's environment variables only, never in an argument list.
"""

import os
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from locktender.runner import redact
from locktender.runner.errors import ConnectionRefused, Reason, classify, is_lost, refusal
from locktender.runner.settings import (
    CONNECT_PATIENCE,
    CONNECT_PAUSE,
    CONNECT_TIMEOUT,
    KEEPALIVES,
    SUPPORTED_MAJORS,
    TCP_USER_TIMEOUT,
)

URL_VARIABLE = "LOCKTENDER_DATABASE_URL"
_SCHEME = re.compile(r"^(postgres|postgresql)(\+\w+)?://")
_RETRIED = frozenset({Reason.DATABASE_UNREACHABLE, Reason.DATABASE_STARTING_UP, Reason.TOO_MANY_CONNECTIONS})
_SECRETS = ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Target:
    """A database, as libpq's parameters. `password` is apart and never shown."""

    parameters: dict[str, str]
    password: str = field(repr=False)

    @property
    def database(self) -> str:
        """The database's name; libpq's default is the user's."""
        return self.parameters.get("dbname") or self.parameters.get("user", "postgres")

    @property
    def label(self) -> str:
        """`database at host:port`, for people."""
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "local socket"
        return f"{self.database} at {host}:{self.parameters.get('port', '5432')}"

    def url(self) -> str:
        """The URL without its password, for programs that take one as an argument."""
        apart = ("user", "host", "port", "dbname", *_SECRETS)
        rest = {key: value for key, value in self.parameters.items() if key not in apart}
        host = self.parameters.get("host", "")
        if host.startswith("/"):
            rest["host"], host = host, ""
        user, port = self.parameters.get("user", ""), self.parameters.get("port", "")
        authority = (quote(user, safe="") + "@" if user else "") + host + (f":{port}" if port else "")
        query = f"?{urlencode(rest)}" if rest else ""
        return f"postgres://{authority}/{quote(self.database, safe='')}{query}"


def parse(url: str | None = None) -> Target:
    """The Target of `url`, by default that of the environment. Raises ConnectionRefused/InvalidUrl, which never quotes the URL."""
    given = os.environ.get(URL_VARIABLE, "") if url is None else url
    if not given.strip():
        raise ConnectionRefused(
            Reason.INVALID_URL, f"No database URL: set {URL_VARIABLE}, or the Secret it is read from."
        )
    match = _SCHEME.match(given.strip())
    if match is None:
        said = "The database URL does not begin with postgres:// or postgresql://. Correct the value in the Secret."
        raise ConnectionRefused(Reason.INVALID_URL, said)
    plain = "postgresql://" + given.strip()[match.end() :]
    literal = re.match(r"^[^/?#]*?:([^@/?#]*)@", plain.removeprefix("postgresql://"))
    redact.learn(literal.group(1) if literal else None)
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(plain).items() if value is not None}
    except psycopg.Error as problem:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(problem))
        what = f"its parameter {unknown.group(1)} is not one of libpq's" if unknown else "it is malformed"
        advice = (
            "Percent-encode special characters of the password (@ is %40, / is %2F), and leave only libpq's parameters."
        )
        raise ConnectionRefused(Reason.INVALID_URL, f"The database URL cannot be used: {what}. {advice}") from None
    password = parameters.pop("password", "") or os.environ.get("PGPASSWORD", "")
    redact.learn(password)
    for name in _SECRETS:
        redact.learn(parameters.get(name))
    return Target(parameters, password)


def connect(target: Target, name: str, patience: float = CONNECT_PATIENCE) -> Connection:
    """A session in autocommit, named `name`. A refused connection is tried again for `patience` seconds.

    Raises ConnectionRefused.
    """
    keywords: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "tcp_user_timeout": TCP_USER_TIMEOUT,
        **KEEPALIVES,
        **target.parameters,
        "application_name": name,
        "client_encoding": "UTF8",
    }
    if target.password:
        keywords["password"] = target.password
    end = time.monotonic() + patience
    while True:
        try:
            return psycopg.connect(autocommit=True, **keywords)
        except psycopg.OperationalError as problem:
            refused = refusal(str(problem)) if is_lost(problem) else classify(problem)
        if refused.reason not in _RETRIED or time.monotonic() + CONNECT_PAUSE >= end:
            raise refused
        time.sleep(CONNECT_PAUSE)


def require_direct(connection: Connection) -> None:
    """Raises ConnectionRefused/PoolerRefused when a pooler is in between: it invents the process id it tells at the start."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is not None and row[0] != connection.info.backend_pid:
        advice = "Session locks and snapshots do not survive it: give Locktender the URL of the server itself."
        raise ConnectionRefused(Reason.POOLER_REFUSED, f"A connection pooler answers at this URL. {advice}")


def require_supported(connection: Connection) -> int:
    """The server's major. Raises ConnectionRefused/UnsupportedServer when there are no client programs for it."""
    major = connection.info.server_version // 10_000
    if major not in SUPPORTED_MAJORS:
        supported = f"{SUPPORTED_MAJORS[0]} to {SUPPORTED_MAJORS[-1]}"
        raise ConnectionRefused(
            Reason.UNSUPPORTED_SERVER, f"The server is PostgreSQL {major}; Locktender supports {supported}."
        )
    return major


def client_environment(target: Target, connection: Connection) -> dict[str, str]:
    """The environment of a client program that must reach the same server as `connection`: libpq's own variables."""
    environment = {key: value for key, value in os.environ.items() if key not in (URL_VARIABLE, "DATABASE_URL")}
    variables = _variables()
    for key, value in target.parameters.items():
        if key in variables:
            environment[variables[key]] = value
    environment |= {"PGDATABASE": target.database, "PGHOST": connection.info.host, "PGPORT": str(connection.info.port)}
    if connection.info.hostaddr:
        environment["PGHOSTADDR"] = connection.info.hostaddr
    environment |= {"PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT), "PGAPPNAME": "locktender backup", "LC_ALL": "C"}
    if target.password:
        environment["PGPASSWORD"] = target.password
    return environment


def client_conninfo(target: Target) -> str:
    """What no environment variable can carry, as a connection string for `--dbname`. Raises ConnectionRefused for a secret in it."""
    variables = _variables()
    rest = {key: value for key, value in target.parameters.items() if key not in variables}
    if secret := next((key for key in rest if key in _SECRETS), None):
        said = f"{secret} would show in pg_dump's arguments, and no environment variable carries it. Leave it out of the URL."
        raise ConnectionRefused(Reason.INVALID_URL, said)
    return make_conninfo(**{**rest, "dbname": target.database})


def _variables() -> dict[str, str]:
    """The environment variable that libpq reads for each parameter that has one."""
    return {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None
    }
