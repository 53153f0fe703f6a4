"""One line on stderr for each stage, with the seconds since the command began. Standard output is for results."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A clock that speaks."""

    quiet: bool = False
    begun: float = field(default_factory=time.monotonic)

    def say(self, message: str) -> None:
        """Print `message` with the elapsed time."""
        if not self.quiet:
            print(f"[{time.monotonic() - self.begun:6.1f}s] {message}", file=sys.stderr, flush=True)
