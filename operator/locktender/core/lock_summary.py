"""What an agent's last word says about locks, read back. Called by `core/reports.py`.

A pod's words are untrusted input, and an application_name is chosen by whoever connects: each field is read on its own, a number that is
none counts as 0, and a text is cut, put on one line and masked. So nothing that a pod prints can do more than be wrong.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from locktender.core import messages

MOST = 10**9  # of anything that is counted here, and of seconds (31 years): more is nonsense
MAX_BLOCKERS = 3
_NAME, _STATEMENT = 130, 200  # characters: schema.table at PostgreSQL's 63 each, and the head of a statement
# The agent has removed literals already; once more costs nothing, and what is shown here did not have to come from an agent.
_LITERALS = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)|(?<![\w.\"])\d[\d.]*", re.DOTALL)


@dataclass(frozen=True)
class Blocker:
    """A session that was in the migration's way; `age` in seconds, of its transaction. `kind` is session, autovacuum or prepared."""

    pid: int = 0
    user: str = ""
    application: str = ""
    state: str = ""
    age: float = 0.0
    kind: str = ""


@dataclass(frozen=True)
class LockSummary:
    """The measured whole of one attempt; times in seconds. `mode` to `application` describe the longest wait of another session."""

    budget: float = 0.0
    worst_wait: float = 0.0
    blocked_seconds: float = 0.0
    waits: int = 0
    queue: int = 0
    mode: str = ""
    relation: str = ""
    statement: str = ""
    application: str = ""
    own_wait: float = 0.0
    blockers: tuple[Blocker, ...] = ()
    cancelled: int = 0
    terminated: int = 0
    cause: str = ""
    deadlocks: int = 0
    recovered: bool = False
    """The session that was stopped last has worked on after that."""
    lock_timeout_seen: bool = False
    """A session of the migration waited for a lock, and lost its statement when the wait ended."""


def read(raw: Any) -> LockSummary | None:
    """The summary in the field `locks` of a termination message; None when there is none."""
    if not isinstance(raw, dict):
        return None
    worst, blockers = raw.get("worst"), raw.get("blockers")
    worst = worst if isinstance(worst, dict) else {}
    blockers = blockers if isinstance(blockers, list) else []
    return LockSummary(
        budget=_seconds(raw.get("budget")),
        worst_wait=_seconds(raw.get("worstWait")),
        blocked_seconds=_seconds(raw.get("blockedSeconds")),
        waits=_count(raw.get("waits")),
        queue=_count(raw.get("queue")),
        mode=_word(worst.get("mode")),
        relation=_text(worst.get("relation"), _NAME),
        statement=without_literals(_text(worst.get("statement"), _STATEMENT)),
        application=_text(worst.get("application"), _NAME),
        own_wait=_seconds(raw.get("ownWait")),
        blockers=tuple(_blocker(item) for item in blockers[:MAX_BLOCKERS] if isinstance(item, dict)),
        cancelled=_count(raw.get("cancelled")),
        terminated=_count(raw.get("terminated")),
        cause=_word(raw.get("cause")),
        deadlocks=_count(raw.get("deadlocks")),
        recovered=raw.get("recovered") is True,
        lock_timeout_seen=raw.get("lockTimeoutSeen") is True,
    )


def without_literals(statement: str) -> str:
    """A statement with each quoted text and number replaced by `?`."""
    return _LITERALS.sub("?", statement)


def _blocker(raw: dict[str, Any]) -> Blocker:
    return Blocker(
        pid=_count(raw.get("pid")),
        user=_text(raw.get("user"), 63),
        application=_text(raw.get("application"), 63),
        state=_text(raw.get("state"), 40),
        age=_seconds(raw.get("age")),
        kind=_word(raw.get("kind")),
    )


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    if isinstance(value, int):
        return float(min(max(value, 0), MOST))
    return min(max(value, 0.0), float(MOST)) if math.isfinite(value) else 0.0


def _count(value: Any) -> int:
    return min(max(value, 0), MOST) if isinstance(value, int) and not isinstance(value, bool) else 0


def _text(value: Any, limit: int) -> str:
    return messages.one_line(value[: messages.LOOKED_AT], limit) if isinstance(value, str) else ""


def _word(value: Any) -> str:
    """An identifier such as AccessExclusiveLock; anything else is dropped."""
    return value if isinstance(value, str) and value.isascii() and value.isalnum() and len(value) <= 63 else ""
