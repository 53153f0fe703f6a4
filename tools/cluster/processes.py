"""Starts programs that outlive the command, and finds and stops them again by their recorded process id.

start   the child writes pids/NAME.json about itself, then becomes the program: no moment without a record
find    the record counts only while /proc agrees on the process's start time and command line
stop    SIGTERM, SIGKILL after the grace time, then the record goes
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.cache import key_of
from tools.cluster.settings import ClusterError

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """A command line to keep running; `configuration` are the files whose change asks for a restart."""

    name: str
    command: tuple[str, ...]
    configuration: tuple[Path, ...] = ()
    path: str = ""

    def digest(self) -> str:
        """Changes when the command line or a configuration file does."""
        return key_of("\0".join(self.command), *self.configuration)


@dataclass(frozen=True)
class Running:
    """A process that was started and still is the one that was started."""

    name: str
    pid: int
    digest: str
    record: Path


# Daemons outlive this process on purpose; keeping their handles spares a warning that they are still running.
_STARTED: list[subprocess.Popen[bytes]] = []


def start(state: Path, program: Program, *, die_with_parent: bool = False) -> None:
    """Start `program` in its own session, its output appended to `state/logs/NAME.log`."""
    record = state / "pids" / f"{program.name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    log = state / "logs" / f"{program.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    digest = program.digest()

    def write_record() -> None:
        if die_with_parent:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        pid = os.getpid()
        content = {"pid": pid, "started": _started(pid), "program": program.command[0], "digest": digest}
        draft = record.with_suffix(f".{pid}")
        draft.write_text(json.dumps(content))
        draft.replace(record)

    environment = {**os.environ, "PATH": f"{program.path}:{os.environ['PATH']}"} if program.path else None
    with log.open("ab") as output:
        child = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=state,
            start_new_session=True,
            preexec_fn=write_record,  # noqa: PLW1509 (no thread runs while programs are started)
        )
    _STARTED.append(child)


def running(state: Path, name: str) -> Running | None:
    """The process recorded as `name` under `state`, if it still runs; None otherwise."""
    record = state / "pids" / f"{name}.json"
    try:
        content = json.loads(record.read_text())
    except (FileNotFoundError, ValueError):
        return None
    pid = int(content["pid"])
    if _started(pid) != content["started"] or content["program"] not in command_line(pid):
        return None
    return Running(name, pid, str(content["digest"]), record)


def ensure(state: Path, program: Program, *, die_with_parent: bool = False) -> bool:
    """Have `program` running as described: nothing if it is, a restart if it runs otherwise. True when started."""
    present = running(state, program.name)
    if present and present.digest == program.digest():
        return False
    if present:
        stop(present)
    start(state, program, die_with_parent=die_with_parent)
    return True


def stop(process: Running, grace: float = 5.0) -> None:
    """End `process` with SIGTERM, after `grace` seconds with SIGKILL. ClusterError when the kernel cannot end it."""
    stop_pid(process.pid, grace)
    process.record.unlink(missing_ok=True)


def stop_pid(pid: int, grace: float) -> None:
    """End the process `pid`, whose identity the caller has checked."""
    started = _started(pid)
    if started == 0:
        return  # it ended meanwhile; nobody may have collected it yet, and a dead process cannot be ended again
    for sent, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            return
        if _gone(pid, started, patience):
            return
    raise ClusterError(f"Process {pid} ({command_line(pid)[:80]}) does not end, even by SIGKILL.")


def command_line(pid: int) -> str:
    """The command line of `pid`, its arguments separated by blanks; empty for a process that is gone or ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def log_tail(state: Path, name: str, lines: int = 12) -> str:
    """The last lines of the log of `name`."""
    try:
        return "\n".join((state / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def _gone(pid: int, started: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        _reap(pid)
        if _started(pid) != started:
            return True
        time.sleep(0.02)
    return False


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by an earlier command: init collects it


def _started(pid: int) -> int:
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat; 0 for no process or a dead one (zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])
