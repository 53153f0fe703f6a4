"""The runner's programs as processes of their own, as in a pod, and what they left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "operator"
started: list[subprocess.Popen[str]] = []
PATIENCE = 30.0  # seconds until a test that waits for something fails


@dataclass(frozen=True)
class Ended:
    """How a program ended; `report` is its termination message."""

    code: int
    report: dict[str, Any]
    output: str
    errors: str

    @property
    def reason(self):
        return self.report.get("reason")

    @property
    def message(self):
        return self.report.get("message", "")


@dataclass
class Program:
    """One way to call the runner; `environment` on top of a bare one. Each call has its own termination log."""

    folder: Path
    url: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @property
    def log(self):
        return self.folder / "termination-log"

    def start(self, *more, **variables):
        self.log.unlink(missing_ok=True)
        told = {"LOCKTENDER_DATABASE_URL": self.url, "LOCKTENDER_TERMINATION_LOG": str(self.log)}
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "locktender", "runner", *self.arguments, *more],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **told, **self.environment, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    def end(self, process, number=None):
        """Wait for the end, after a signal if one is given."""
        if number is not None:
            process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE)
        text = self.log.read_text() if self.log.exists() else ""
        assert len(text.encode()) <= 4096
        return Ended(process.returncode, json.loads(text) if text else {}, output, errors)

    def run(self, *more, **variables):
        return self.end(self.start(*more, **variables))

    def kill(self, process):
        return self.end(process, signal.SIGKILL)


def end_all():
    """Kill what a failed test has left running."""
    while started:
        process = started.pop()
        if process.poll() is None:
            process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def until(condition, what):
    """The first true value of `condition()`; fails after PATIENCE, saying `what` was waited for."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def children(pid):
    """Process ids of the children of `pid`."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def child_with(pid, name, argument):
    """The child of `pid` that runs the program `name` with `argument`; the same program is also asked for its version."""

    def find():
        for child in children(pid):
            try:
                program, *given = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if Path(program).name == name and any(word.startswith(argument) for word in given):
                return child
        return None

    return until(find, f"{name} {argument} to start")


def arguments_of(pid):
    """The argument lists of `pid` and its children."""
    found = ""
    for each in (pid, *children(pid)):
        try:
            found += Path(f"/proc/{each}/cmdline").read_text().replace("\0", " ") + "\n"
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def everything_in(folder):
    """The bytes of all files below `folder`."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def wrapper(root, target, major, name, body):
    """A copy of the clients of `major` in `target`, in which `name` is a shell script; $REAL is the real program."""
    real = (root / str(major) / "bin").resolve()
    folder = target / str(major) / "bin"
    folder.mkdir(parents=True)
    for program in ("pg_dump", "pg_restore"):
        if program != name:
            (folder / program).symlink_to(real / program)
    script = folder / name
    script.write_text(f'#!/bin/sh\nREAL="{real / name}"\n[ "$1" = --version ] && exec "$REAL" --version\n{body}\n')
    script.chmod(0o755)
    return target


def safe(text):
    """Fails if `text` looks as if it carried a password of a URL."""
    assert not re.search(r"://[^\s:/@]+:[^\s@*]+@", text)
    return text
