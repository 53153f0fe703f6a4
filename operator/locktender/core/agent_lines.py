"""The lines of a migration's agent, read back: `TIMESTAMP {json}` becomes one typed fact, or nothing.

What pods print is untrusted input. A line that is not of the expected shape is no line, a field that is not of its type has its default,
every text is short, printable and without what looks like a secret, and a query keeps no literals, whoever should have removed them.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from locktender.core.agent_facts import (
    LARGEST,
    Baseline,
    Blocked,
    Blocker,
    Fact,
    Hold,
    Line,
    Mark,
    Progress,
    Sample,
    Stop,
    Wait,
)
from locktender.core.messages import one_line

LINE_LIMIT = 4096  # bytes of a line that is read at all: twice what the agent writes
QUERY_LIMIT = 400  # characters of a statement: enough to find it in the source
NAME_LIMIT = 128  # characters of a relation, a role or an application: twice PostgreSQL's own limit
BLOCKERS = 3  # sessions that one wait is blamed on
CAUSES = ("LockBudgetExceeded", "LockTimeout", "StatementTimeout", "Timeout", "Lost")
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_MARKS = ("held", "lost", "restarted", "ended")
_LITERALS = re.compile(
    r"\$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z)"  # dollar-quoted, or cut off in the middle
    r"|'(?:[^']|'')*(?:'|\Z)"
    r"|(?<![\w$.\"])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w\"])",
    re.DOTALL,
)


def parse(text: str) -> Line | None:
    """The line's fact, None for anything else. `text` may begin with the timestamp that the kubelet puts before it."""
    if len(text) > LINE_LIMIT:
        return None
    stamp, _, rest = text.partition(" ")
    body, written = (text, "") if text.startswith("{") else (rest, stamp)
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    fact = _fact(_Fields(raw))
    if fact is None:
        return None
    at = _number(raw.get("at"))
    return Line(_time(raw.get("time")) or _time(written), None if at is None else round(at, 3), fact)


def without_literals(query: str) -> str:
    """A query without strings and numbers. Idempotent, so it does not matter who else has removed them."""
    return _LITERALS.sub("?", query)


@dataclass(frozen=True)
class _Fields:
    """The fields of a JSON object, each read as what it should be."""

    raw: Mapping[str, Any]

    def number(self, name: str) -> float:
        return round(_number(self.raw.get(name)) or 0.0, 3)

    def count(self, name: str) -> int:
        return int(_number(self.raw.get(name)) or 0)

    def name(self, name: str) -> str:
        value = self.raw.get(name)
        return one_line(value, NAME_LIMIT) if isinstance(value, str) else ""

    def word(self, name: str, known: tuple[str, ...], otherwise: str = "") -> str:
        value = self.raw.get(name)
        return value if isinstance(value, str) and value in known else otherwise

    def query(self, name: str) -> str:
        value = self.raw.get(name)
        return one_line(without_literals(value), QUERY_LIMIT) if isinstance(value, str) else ""

    def inner(self, name: str) -> "_Fields | None":
        value = self.raw.get(name)
        return _Fields(value) if isinstance(value, dict) else None

    def inners(self, name: str, limit: int) -> tuple["_Fields", ...]:
        value = self.raw.get(name)
        items = value[:limit] if isinstance(value, list) else []
        return tuple(_Fields(item) for item in items if isinstance(item, dict))


def _fact(line: _Fields) -> Fact | None:
    kind = line.raw.get("kind")
    match kind:
        case "baseline":
            return Baseline(line.name("serverVersion"), line.count("databaseBytes"))
        case "sample":
            return _sample(line)
        case "wait":
            return Wait(
                **_span(line),
                user=line.name("user"),
                application=line.name("application"),
                query=line.query("query"),
                behind=line.count("behind"),
            )
        case "hold":
            return Hold(**_span(line))
        case "blocked":
            return Blocked(**_span(line), blockers=tuple(_blocker(item) for item in line.inners("blockers", BLOCKERS)))
        case "cancel" | "terminate":
            return Stop(
                what=kind,
                pid=line.count("pid"),
                why=line.word("why", CAUSES, "Other"),
                seconds=line.number("seconds"),
                mode=_mode(line),
                relation=line.name("relation"),
                statement=line.query("statement"),
                waiting=line.count("waiting"),
            )
        case str() if kind in _MARKS:
            return Mark(kind)
        case _:
            return None


def _span(line: _Fields) -> dict[str, Any]:
    return {
        "start": line.number("start"),
        "seconds": line.number("seconds"),
        "pid": line.count("pid"),
        "mode": _mode(line),
        "relation": line.name("relation"),
    }


def _mode(line: _Fields) -> str:
    """A lock mode with or without PostgreSQL's `Lock` at its end."""
    mode = str(line.raw.get("mode", ""))
    return next((known for known in MODES if mode in (known, known.removesuffix("Lock"))), "")


def _sample(line: _Fields) -> Sample:
    own_wait = line.number("ownWait")
    waits, progress = line.inner("waits"), line.inner("progress")
    blockers = line.count("blockers") if "blockers" in line.raw else int(own_wait > 0)
    by_mode = (
        {mode: waits.count(name) for name in waits.raw if (mode := _mode(_Fields({"mode": name})))} if waits else {}
    )
    return Sample(
        blocked=line.count("blocked"),
        longest_wait=line.number("longestWait"),
        worst_wait=line.number("worstWait"),
        blocked_seconds=line.number("blockedSeconds"),
        waits=tuple(sorted(by_mode.items())),
        own_wait=own_wait,
        blockers=blockers,
        statement=line.query("statement"),
        wal_bytes=line.count("walBytes"),
        temp_bytes=line.count("tempBytes"),
        deadlocks=line.count("deadlocks"),
        lag_bytes=line.count("lagBytes"),
        lag_seconds=line.number("lagSeconds"),
        progress=Progress(
            progress.name("command"), progress.name("phase"), progress.count("done"), progress.count("total")
        )
        if progress
        else None,
    )


def _blocker(raw: _Fields) -> Blocker:
    return Blocker(
        pid=raw.count("pid"),
        user=raw.name("user"),
        application=raw.name("application"),
        state=raw.name("state"),
        age=raw.number("age"),
        query=raw.query("query"),
        kind=raw.word("kind", ("session", "autovacuum", "prepared"), "session"),
    )


def _number(value: Any) -> float | None:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= LARGEST else None


def _time(text: Any) -> datetime | None:
    """RFC 3339; a time without an offset is no time. Nanoseconds, as the kubelet writes them, are cut to microseconds."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo and 2000 <= moment.year < 9999 else None
