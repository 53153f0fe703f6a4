"""Writes the demo's lines: calm, with the time, in colour only on a terminal that wants it."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

COLOURS = {"title": "1", "good": "32", "bad": "31", "held": "33", "quiet": "2", "type": "36", "plain": "0"}
MARKS = {"good": "+", "bad": "!", "held": "=", "quiet": " ", "type": "$", "plain": "-", "title": "#"}
TICK_SECONDS = 2.0  # nothing on the screen stands still for longer


class Screen:
    """A context manager; lines may come from several threads."""

    def __init__(self, transcript: Path | None = None, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._colours = out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._terminal = out.isatty()
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._status = ""
        self._transcript = transcript.open("w") if transcript else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        if self._transcript:
            self._transcript.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._begun

    def title(self, text: str) -> None:
        """A heading."""
        self._write("title", f"\n{text}", time_too=False)

    def say(self, kind: str, text: str) -> None:
        """A line with the time: good, bad, held, plain or quiet."""
        self._write(kind, text, time_too=True)

    def text(self, text: str, kind: str = "plain") -> None:
        """A line without the time."""
        self._write(kind, text, time_too=False)

    def status(self, text: str) -> None:
        """What goes on at the moment, on a line of its own that the next one replaces; nothing without a terminal."""
        with self._lock:
            self._clear()
            if self._terminal and text:
                width = os.get_terminal_size(self._out.fileno()).columns - 1
                self._status = f"         {text}"[:width]
                self._out.write(self._painted("quiet", self._status))
                self._out.flush()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show `what` with the seconds it has taken; a line every ten seconds where there is no terminal."""
        done = threading.Event()
        began = time.monotonic()

        def tick() -> None:
            told = 0
            while not done.wait(TICK_SECONDS if self._terminal else 10.0):
                took = time.monotonic() - began
                told += 1
                if self._terminal:
                    self.status(f"{what} ... {took:.0f} s")
                else:
                    self.say("quiet", f"{what} ... {took:.0f} s")

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.status("")

    def _write(self, kind: str, text: str, *, time_too: bool) -> None:
        with self._lock:
            self._clear()
            head = f"{self.elapsed:6.1f}s {MARKS[kind]} " if time_too else ""
            shown = (
                self._painted("quiet", head[:8]) + self._painted(kind, head[8:] + text)
                if head
                else self._painted(kind, text)
            )
            print(shown, file=self._out, flush=True)
            if self._transcript:
                line = {"at": round(self.elapsed, 2), "kind": kind, "text": text.strip("\n"), "timed": time_too}
                self._transcript.write(json.dumps(line) + "\n")
                self._transcript.flush()

    def _painted(self, kind: str, text: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self._colours and kind != "plain" else text

    def _clear(self) -> None:
        if self._status:
            self._out.write("\r\x1b[K")
            self._status = ""
