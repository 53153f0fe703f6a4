"""A migration under guard: the agent as a process, an application beside it, and clients that measure what they feel."""

import json
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from tests.postgres.programs import Program, until

RUN = "run-1"


@dataclass
class Guard(Program):
    """One agent. `lines` are there after `stop`."""

    lines: list = field(default_factory=list)

    @property
    def held(self):
        return (self.folder / "run" / "fence-held").exists()

    def begin(self, **variables):
        process = self.start(**variables)
        until(lambda: self.held or process.poll() is not None, "the fence")
        assert self.held, self.end(process)
        return process

    def stop(self, process):
        """End it; its summary."""
        ended = self.end(process, signal.SIGTERM)
        assert (ended.code, ended.errors) == (0, "")
        self.lines = [json.loads(line) for line in ended.output.splitlines()]
        assert all(len(line.encode()) <= 2048 for line in ended.output.splitlines())
        return ended.report["locks"]

    def of(self, *kinds):
        return [line for line in self.lines if line["kind"] in kinds]


def guard(server, database, folder, url=None, **variables):
    """An agent for run RUN; `variables` are environment variables without LOCKTENDER_."""
    (folder / "run").mkdir(parents=True)
    told = {"RUN_DIR": str(folder / "run"), "RUN": RUN, "STEP": "migrate", "POD_UID": "pod", **variables}
    environment = {f"LOCKTENDER_{name}": value for name, value in told.items()}
    return Guard(folder, url or server.url(database), ("agent",), environment)


@contextmanager
def guarding(agent):
    """The agent while it guards; its summary is added to the list at the end."""
    summary = []
    process = agent.begin()
    yield summary
    summary.append(agent.stop(process))


class Client:
    """A session with a thread of its own. `do` starts; `error` (SQLSTATE or "") and `seconds` tell how it went."""

    def __init__(self, server, database, application, **options):
        self.session = server.connect(database, application_name=application, **options)
        self.pid = self.session.info.backend_pid
        self.error, self.seconds = None, None
        self._thread = None

    def run(self, *statements):
        for statement in statements:
            self.session.execute(statement)
        return self

    def do(self, *statements):
        self.error = self.seconds = None
        self._thread = threading.Thread(target=self._do, args=statements)
        self._thread.start()
        return self

    def _do(self, *statements):
        begun = time.monotonic()
        try:
            self.run(*statements)
        except psycopg.Error as problem:
            self.error = problem.sqlstate or "lost"
        else:
            self.error = ""
        self.seconds = time.monotonic() - begun

    def wait(self):
        self._thread.join(30)
        assert self.error is not None, "it still waits"
        return self.error

    def close(self):
        with suppress(psycopg.Error):
            self.session.close()
        if self._thread is not None:
            self._thread.join(30)


def waits(server, pid):
    """Until the session waits for a lock."""
    until(
        lambda: server.run(f"SELECT 1 FROM pg_locks WHERE NOT granted AND pid = {pid}"),
        f"session {pid} to wait for a lock",
    )


def holds(server, pid):
    """Until the session holds a lock that keeps everybody out."""
    query = f"SELECT 1 FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND locktype = 'relation' AND pid = {pid}"
    until(lambda: server.run(query), f"session {pid} to hold a lock")
