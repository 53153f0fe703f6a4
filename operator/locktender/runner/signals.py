"""SIGTERM and SIGINT as an exception in the main thread, once: whatever cleans up afterwards is not interrupted again."""

import signal
from types import FrameType

from locktender.runner.errors import Interrupted


def raise_on_termination() -> None:
    """From now on the first SIGTERM or SIGINT raises Interrupted; further ones are ignored."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(f"Stopped by {signal.Signals(number).name} before the work was complete; start it again.")
