"""Builds the lines that an agent prints: `a_log().baseline().sample(1.0, blocked=2).wait(0.5, 1.2)`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass
class Log:
    """The log of one agent, with the timestamps that the kubelet puts before each line."""

    began: datetime = BEGAN
    lines: list[str] = field(default_factory=list)

    def say(self, kind: str, at: float, **facts: Any) -> Log:
        written = self.began + timedelta(seconds=at)
        line = {"time": written.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "kind": kind, "at": at}
        stamp = written.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{len(self.lines) % 1000:03d}Z"
        self.lines.append(f"{stamp} {json.dumps(line | facts)}")
        return self

    def baseline(self) -> Log:
        return self.say("held", 0.0).say("baseline", 0.0, serverVersion="18.6", databaseBytes=7_000_000)

    def sample(self, at: float, **facts: Any) -> Log:
        return self.say("sample", at, **facts)

    def wait(self, start: float, seconds: float, **facts: Any) -> Log:
        told = {
            "pid": 41, "user": "app", "application": "web", "mode": "AccessShareLock", "relation": "public.orders",
            "query": "SELECT * FROM orders WHERE id = $1", "behind": 40, **facts,
        }  # fmt: skip
        return self.say("wait", start + seconds, start=start, seconds=seconds, **told)

    def hold(self, start: float, seconds: float, **facts: Any) -> Log:
        told = {"pid": 40, "mode": "AccessExclusiveLock", "relation": "public.orders", **facts}
        return self.say("hold", start + seconds, start=start, seconds=seconds, **told)

    def blocked(self, start: float, seconds: float, **facts: Any) -> Log:
        blocker = {
            "pid": 39, "user": "report", "application": "psql", "state": "idle in transaction", "age": 40.0,
            "query": "SELECT count(*) FROM orders", "kind": "session",
        }  # fmt: skip
        told = {"pid": 40, "mode": "AccessExclusiveLock", "relation": "public.orders", "blockers": [blocker], **facts}
        return self.say("blocked", start + seconds, start=start, seconds=seconds, **told)

    def cancel(self, at: float, **facts: Any) -> Log:
        told = {
            "pid": 40, "why": "LockBudgetExceeded", "seconds": 2.0, "mode": "AccessExclusiveLock",
            "relation": "public.orders", "statement": "ALTER TABLE orders ADD COLUMN note text", "waiting": 3, **facts,
        }  # fmt: skip
        return self.say("cancel", at, **told)

    def ended(self, at: float) -> Log:
        return self.say("ended", at)


def a_log() -> Log:
    """A log without a line."""
    return Log()
