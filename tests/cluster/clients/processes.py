"""Programs that run on this machine against the node for the time of a test, their output in a file that a failure quotes."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

STOP_SECONDS = 15.0
TAIL = 4000  # characters of a log worth reading when something failed


@contextlib.contextmanager
def running(command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, ended with the context. Its log goes to the test's output, which pytest shows on failure."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-TAIL:]}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
