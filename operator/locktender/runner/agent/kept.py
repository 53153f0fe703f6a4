"""What the agent's summary held so far, for the agent that is started after this one in the same pod: a small file beside its marks.

A wait that goes on over the restart counts in both.
"""

from contextlib import suppress
from typing import Any

from locktender.runner.agent import marks
from locktender.runner.settings import KEEP_EVERY

_SUMS = ("seconds", "blockedSeconds", "waits", "cancelled", "terminated", "deadlocks", "waitsDropped")
_PASSING = ("seconds", "walBytes")  # change all the time; alone they are no reason to write


class Kept:
    """Adds the sums of earlier agents of this pod, and writes the whole down when it has changed, at most once in KEEP_EVERY."""

    def __init__(self, earlier: dict[str, Any] | None = None) -> None:
        self._earlier = earlier or {}
        self._written: dict[str, Any] = {}
        self._at = float("-inf")

    def due(self, at: float) -> bool:
        """Whether it may be written again."""
        return at - self._at >= KEEP_EVERY

    def keep(self, at: float, summary: dict[str, Any]) -> None:
        """Write `summary` of this agent down, with what came before. A pod without room for it is no reason to stop."""
        self._at = at
        facts = {name: value for name, value in summary.items() if name not in _PASSING}
        if facts != self._written:
            with suppress(OSError):
                marks.remember(self.whole(summary))
                self._written = facts

    def whole(self, summary: dict[str, Any]) -> dict[str, Any]:
        """`summary` of this agent and those of the ones before it as one. What cannot be read counts as nothing."""
        try:
            return summed(self._earlier, summary) if self._earlier else summary
        except (TypeError, ValueError, KeyError, AttributeError):
            return summary


def summed(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Two summaries as one. Raises KeyError or TypeError if `earlier` is none."""
    whole = dict(now)
    for name in _SUMS:
        total = now[name] + earlier[name]
        whole[name] = round(total, 3) if isinstance(total, float) else total
    whole["queue"] = max(now["queue"], earlier["queue"])
    if earlier["worstWait"] > now["worstWait"]:
        whole |= {name: earlier[name] for name in ("worstWait", "worst") if name in earlier}
    if earlier["ownWait"] > now["ownWait"]:
        whole |= {name: earlier[name] for name in ("ownWait", "blockers")}
    if not now["cause"]:
        whole |= {name: earlier[name] for name in ("cause", "recovered")}
    whole["lockTimeoutSeen"] = bool(now["lockTimeoutSeen"] or earlier["lockTimeoutSeen"])
    return whole
