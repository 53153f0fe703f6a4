"""Client programs: started with their errors collected, and never left behind."""

import fcntl
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from locktender.runner import redact
from locktender.runner.settings import CHUNK, KILL_PATIENCE, STDERR_LINES


class Child:
    """A running client program; `errors()` are the last lines of its stderr, redacted."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self._lines: deque[str] = deque(maxlen=STDERR_LINES)
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        for line in _stream(self.process.stderr):
            self._lines.append(redact.text(line.decode(errors="replace").rstrip()))

    def errors(self) -> str:
        """What it said on stderr."""
        self._reader.join(KILL_PATIENCE)
        return "\n".join(self._lines)

    def wait(self) -> int:
        """Its exit code; negative for a signal."""
        return self.process.wait()

    def end(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code is not None and code < 0:
            hint = ", perhaps for want of memory" if code == -9 else ""
            return f"{self.name} was killed by signal {-code}{hint}"
        return f"{self.name} ended with exit code {code}"

    @property
    def stdin(self) -> IO[bytes]:
        """Its input."""
        return _stream(self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """Its output."""
        return _stream(self.process.stdout)


@contextmanager
def running(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, feeds: bool, reads: bool
) -> Iterator[Child]:
    """Run a program for the time of the block. `feeds`: we write its stdin; `reads`: we read its stdout."""
    process = subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
        stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # a user's share of pipe memory may be spent; a smaller pipe is only slower
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, CHUNK)
    child = Child(name, process)
    try:
        yield child
    finally:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait()
        child.errors()
        _stream(process.stderr).close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("this stream was not asked for")
    return stream
