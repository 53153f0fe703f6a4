"""Builds the lines that an agent prints: `a_log().baseline().sample(1.0, blocked=2).wait(0.5, 1.2)`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from locktender.core.errors import ApiError

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


class LogServer:
    """Serves one pod's log as an API server does, `sinceTime` in whole seconds included. Takes the place of `kube.client.Client`.

    `breaks` are numbers of bytes after which one answer each breaks off; the answers after them run to the log's end. With `holds` a
    followed log stays open at its end until somebody calls `end`.
    """

    def __init__(self, log: Log, breaks: tuple[int, ...] = (), *, holds: bool = False) -> None:
        self.log, self.asked = log, list[dict[str, str]]()
        self._breaks, self._holds = list(breaks), holds
        self._news = asyncio.Event()
        self._ended = False

    def say(self) -> None:
        """There are new lines in the log."""
        self._news.set()

    def end(self) -> None:
        """The container has ended."""
        self._ended = True
        self._news.set()

    async def stream(self, url: str, silence: float, accept: str = "") -> AsyncGenerator[bytes, None]:  # noqa: ARG002
        asked = dict(parse_qsl(urlsplit(url).query))
        self.asked.append(asked)
        if asked.get("previous"):
            raise ApiError(400, "BadRequest", "previous terminated container not found")
        given = 0
        while True:
            lines = [line for line in self.log.lines if line[:19] >= asked.get("sinceTime", "")[:19]]
            whole = "".join(f"{line}\n" for line in lines).encode()
            if self._breaks and len(whole) > self._breaks[0]:
                yield whole[given : self._breaks.pop(0)]
                raise ApiError(0, "Unreachable", "the connection was reset")
            if given < len(whole):
                yield whole[given:]
                given = len(whole)
            if not (self._holds and asked.get("follow")) or self._ended:
                return
            self._news.clear()
            await self._news.wait()
