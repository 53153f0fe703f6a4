"""What a person sees: a line for each file with its time, a line for each wait; colours only on a terminal."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from locktender.runner import redact

_WIDTH = 56  # columns of a file's name: most names and a time fit into a terminal's 80
_COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2"}
_STATES = {"applied": "green", "pending": "yellow", "half-done": "red", "changed": "red", "no file": "dim"}


@dataclass(frozen=True)
class Screen:
    """Standard output."""

    colours: bool

    @staticmethod
    def of_this_process() -> "Screen":
        """Colours on a terminal, unless NO_COLOR is set (no-color.org)."""
        return Screen(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    def head(self, text: str) -> None:
        """What is about to happen."""
        self._print(text)

    def done(self, verb: str, label: str, milliseconds: int) -> None:
        """One file is complete."""
        self._print(f"  {self._paint(verb, 'green')}  {label:<{_WIDTH}} {_time(milliseconds):>9}")

    def failed(self, label: str) -> None:
        """One file was refused; the message follows."""
        self._print(f"  {self._paint('failed ', 'red')}  {label}")

    def retry(self, tries: int, blockers: str, pause: float) -> None:
        """A lock was not free."""
        self._print(self._paint(f"    lock not free (try {tries}): {blockers}; again in {pause:.1f} s", "yellow"))

    def resumed(self, file: str, done: int, total: int) -> None:
        """A no-transaction file goes on."""
        self._print(
            self._paint(f"    {file}: {done} of {total} statements were done before; going on from there", "yellow")
        )

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._print(self._paint(f"    {text}", "dim"))

    def table(self, database: str, files: Sequence[dict[str, Any]]) -> None:
        """The status as text."""
        self._print(database)
        for file in files:
            state = self._paint(f"{file['state']:<9}", _STATES[file["state"]])
            when = f"{file['appliedAt']}  {_time(file['durationMs'])}" if file["appliedAt"] else ""
            self._print(f"  {state}  {file['version']}_{file['name']}  {when}".rstrip())
        pending = sum(file["state"] in ("pending", "half-done") for file in files)
        self._print(f"{len(files)} files, {pending} to apply")

    def document(self, content: dict[str, Any]) -> None:
        """The status as JSON."""
        print(json.dumps(redact.anything(content), indent=2), flush=True)

    def _paint(self, text: str, colour: str) -> str:
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self.colours else text

    def _print(self, text: str) -> None:
        print(redact.text(text), flush=True)


def _time(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
