"""Pod logs as lines. What pods print is untrusted input: a line has a bounded length, a longer one is no line."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from locktender.core.agent_lines import LINE_LIMIT
from locktender.kube import paths
from locktender.kube.client import Client
from locktender.settings import LOG_LIMIT, LOG_SILENCE, REQUEST_TIMEOUT

AGENT = "agent"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ")
_REMEMBERED = 20_000  # lines of one second that can be recognised when they come again: far more than are read in one


@dataclass
class Splitter:
    """Bytes in, whole lines out."""

    limit: int = LINE_LIMIT
    _rest: bytes = b""
    _too_long: bool = False

    def feed(self, some: bytes) -> list[str]:
        """The lines that are complete now."""
        *whole, rest = some.split(b"\n")
        lines = []
        for part in whole:
            line, self._rest = self._rest + part, b""
            if not self._too_long and len(line) <= self.limit:
                lines.append(line.decode(errors="replace").rstrip("\r"))
            self._too_long = False
        if len(self._rest) + len(rest) > self.limit:
            self._rest, self._too_long = b"", True
        elif not self._too_long:
            self._rest += rest
        return lines


@dataclass
class Position:
    """How far a log has been read. The API server resumes by whole seconds, so what is known of the last second is skipped."""

    since: str = ""
    _seen: set[int] = field(default_factory=set)

    def is_new(self, line: str) -> bool:
        """Whether the line, with its timestamp, has not been given yet. It has from now on."""
        found = _STAMP.match(line)
        if found is None:
            return False
        second = f"{found[1]}{found[2]}"
        if second != self.since:
            if self.since and second < self.since and second[19:] == self.since[19:]:
                return False  # the server has gone further back than it was asked to
            self.since, self._seen = second, set()
        known = hash(line)
        if known in self._seen or len(self._seen) >= _REMEMBERED:
            return False
        self._seen.add(known)
        return True


async def follow(client: Client, namespace: str, pod: str, position: Position) -> AsyncGenerator[str, None]:
    """The agent's lines from `position` on, as they are written, each once. Ends with its container; raises ApiError."""
    query = {"container": AGENT, "follow": "true", "timestamps": "true"}
    if position.since:
        query["sinceTime"] = position.since
    splitter = Splitter()
    async for some in client.stream(f"{paths.log(namespace, pod)}?{urlencode(query)}", LOG_SILENCE, "*/*"):
        for line in splitter.feed(some):
            if position.is_new(line):
                yield line


async def read(client: Client, namespace: str, pod: str, *, previous: bool = False) -> AsyncGenerator[str, None]:
    """All lines that the agent has written; with `previous` those of its container's life before. Raises ApiError."""
    query = {"container": AGENT, "timestamps": "true", "limitBytes": str(LOG_LIMIT)}
    if previous:
        query["previous"] = "true"
    splitter = Splitter()
    async for some in client.stream(f"{paths.log(namespace, pod)}?{urlencode(query)}", REQUEST_TIMEOUT, "*/*"):
        for line in splitter.feed(some):
            yield line
