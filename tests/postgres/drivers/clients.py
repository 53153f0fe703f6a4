"""The client programs of other languages, built once into the cache under the hash of what went in; each is an argument list to run.

node     npm ci from package-lock.json           pgx   go build from go.sum
jdbc     the jar by its SHA-256, then javac      psycopg, libpq   what is here already
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import cache, golang
from tools.cluster.postgres_binaries import install
from tools.cluster.progress import Progress
from tools.cluster.settings import ClusterError

HERE = Path(__file__).parent
JDBC = "org.postgresql:postgresql:42.7.14"
JDBC_SHA256 = "73914527305a40cce504b0d3d90b23caf565136912d607ae8ae7c5895512332c"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
NAMES = ("libpq", "psycopg", "node-postgres", "pgx", "pgJDBC")
PSQL = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate")


@dataclass(frozen=True)
class Driver:
    """How to run one client. `answer` is its standard output; psql tells its errors elsewhere, and sleeps by another word."""

    name: str
    command: tuple[str, ...]

    def arguments(self, url, *words):
        """The whole argument list and the environment that has the URL in the driver's own form."""
        if self.name == "libpq":
            told = [part for word in words for part in ("-c", _for_psql(word))]
            return [*self.command, "-d", url, *told], {}
        form = url.replace("postgresql://postgres@", "jdbc:postgresql://") + "?user=postgres"
        return [*self.command, *words], {"DATABASE_URL": form if self.name == "pgJDBC" else url}


def _for_psql(word):
    return rf"\! {word}" if word.startswith("sleep ") else word


def driver(name):
    """The Driver called `name`, one of NAMES. ClusterError when its language is missing."""
    return Driver(name, _COMMANDS[name]())


def _libpq():
    return (str(install(18) / "bin" / "psql"), *PSQL)


def _psycopg():
    return sys.executable, str(HERE / "psycopg" / "client.py")


def _node():
    lock, manifest, program = (HERE / "node" / name for name in ("package-lock.json", "package.json", "client.js"))

    def make(folder):
        for file in (lock, manifest, program):
            shutil.copy2(file, folder)
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", folder=folder)

    folder = cache.entry("drivers", f"node-{cache.key_of(lock, manifest, program)}", make)
    return _program("node"), str(folder / "client.js")


def _pgx():
    stage = golang.Stage("driver-pgx", str(HERE / "pgx"), (".",), 15)
    return (str(golang.built((stage,), Progress())["driver-pgx"]),)


def _jdbc():
    source = HERE / "jdbc" / "Client.java"

    def make(folder):
        _run("mvn", "-B", "-q", MAVEN_COPY, f"-Dartifact={JDBC}", f"-DoutputDirectory={folder}", folder=folder)
        jar = next(folder.glob("*.jar"))
        if hashlib.sha256(jar.read_bytes()).hexdigest() != JDBC_SHA256:
            raise ClusterError(f"{jar.name} is not the file that was pinned: its SHA-256 differs.")
        jar.rename(folder / "postgresql.jar")
        _run("javac", "-d", str(folder), str(source), folder=folder)

    folder = cache.entry("drivers", f"jdbc-{cache.key_of(source, JDBC, JDBC_SHA256, _java())}", make)
    options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it lives for a second: a quick start is all that counts
    return _program("java"), *options, "-cp", f"{folder}:{folder / 'postgresql.jar'}", "Client"


def _java():
    return subprocess.run((_program("javac"), "-version"), capture_output=True, text=True, check=True).stdout


def _program(name):
    found = shutil.which(name)
    if found is None:
        raise ClusterError(f"{name} is not on PATH: run `make bootstrap` as root.")
    return found


def _run(program, *arguments, folder):
    done = subprocess.run(
        (_program(program), *arguments), cwd=folder, env=os.environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"{program} failed:\n{(done.stdout + done.stderr)[-2000:]}")


_COMMANDS = {"libpq": _libpq, "psycopg": _psycopg, "node-postgres": _node, "pgx": _pgx, "pgJDBC": _jdbc}
