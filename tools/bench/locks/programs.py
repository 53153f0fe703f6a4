"""The two programs of a migration pod, as processes: the agent, and the migration itself (psql, with no time-out of its own)."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[3] / "operator"
PATIENCE = 30.0  # seconds a program may take to begin or to end
POLL = 0.01  # seconds
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds of processor time in one unit of /proc


@dataclass(frozen=True)
class Ended:
    """What an agent left: its exit code, its termination message, its lines."""

    code: int
    report: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]

    def acted(self) -> tuple[str, ...]:
        """What it did to the migration, in order, such as `cancel LockBudgetExceeded`."""
        return tuple(f"{one['kind']} {one['why']}" for one in self.lines if one.get("kind") in ("cancel", "terminate"))


@dataclass
class Agent:
    """A running agent that holds the fence."""

    process: Process
    folder: Path
    reading: "asyncio.Task[bytes]"

    async def end(self) -> Ended:
        """As when the migration's container has ended: SIGTERM."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        lines = tuple(json.loads(line) for line in (await self.reading).splitlines())
        log = self.folder / "termination-log"
        return Ended(code, json.loads(log.read_text()) if log.exists() else {}, lines)


async def agent(url: str, folder: Path, run: str, budget: float, **more: str) -> Agent:
    """Start one with the environment of a migration pod; returns when it holds the fence. Raises AssertionError when it does not."""
    folder.mkdir(parents=True)  # noqa: ASYNC240  # microseconds, before anything is measured
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "LOCKTENDER_DATABASE_URL": url,
        "LOCKTENDER_TERMINATION_LOG": str(folder / "termination-log"),
        "LOCKTENDER_RUN_DIR": str(folder / "run"),
        "LOCKTENDER_RUN": run,
        "LOCKTENDER_STEP": "migrate",
        "LOCKTENDER_ATTEMPT": "1",
        "LOCKTENDER_POD_UID": run,
        "LOCKTENDER_LOCK_BUDGET": f"{round(budget * 1000)}ms",
        **more,
    }
    arguments = (sys.executable, "-m", "locktender", "runner", "agent")
    process = await asyncio.create_subprocess_exec(*arguments, env=environment, stdin=DEVNULL, stdout=PIPE)
    assert process.stdout is not None  # noqa: S101  # PIPE was asked for
    started = Agent(process, folder, asyncio.create_task(process.stdout.read()))
    async with asyncio.timeout(PATIENCE):
        while not (folder / "run" / "fence-held").exists():
            if process.returncode is not None:
                raise AssertionError(f"the agent of {run} ended early: {await started.end()}")
            await asyncio.sleep(POLL)
    return started


@dataclass(frozen=True)
class Migrated:
    """How a migration ended."""

    code: int
    errors: str

    @property
    def outcome(self) -> str:
        """In a word."""
        if self.code == 0:
            return "done"
        known = {
            "canceling statement": "cancelled",
            "terminating connection": "terminated",
            "closed the connection": "terminated",
            "deadlock detected": "deadlock",
        }
        return next((word for text, word in known.items() if text in self.errors), "failed")


async def migration(psql: Path, url: str, run: str, commands: tuple[str, ...]) -> Migrated:
    """Run `commands` in one session of psql, one after the other, until the first that fails."""
    arguments = [word for command in commands for word in ("-c", command)]
    environment = {"PATH": os.environ["PATH"], "PGAPPNAME": f"locktender/{run}"}
    process = await asyncio.create_subprocess_exec(
        psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments,
        env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    return Migrated(process.returncode or 0, errors.decode())


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and kernel mode; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK
