"""What a migration's agent tells: the facts behind its lines. `agent_lines.py` reads them, metrics and the report are made of them.

Seconds are floats, bytes are ints; `start` and `at` count from the moment the fence was held.
"""

from dataclasses import dataclass
from datetime import datetime

LARGEST = 2**53  # above it a JSON number is not exact any more


@dataclass(frozen=True)
class Baseline:
    """What was there before the migration."""

    server_version: str
    database_bytes: int


@dataclass(frozen=True)
class Progress:
    """What the server says of a long command: `done` of `total` in its own units."""

    command: str
    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class Sample:
    """How things stand. Seconds and bytes; those of `worst_wait`, `blocked_seconds`, `wal_bytes`, `deadlocks` count from the start."""

    blocked: int = 0
    longest_wait: float = 0.0
    worst_wait: float = 0.0
    blocked_seconds: float = 0.0
    waits: tuple[tuple[str, int], ...] = ()
    own_wait: float = 0.0
    blockers: int = 0
    statement: str = ""
    wal_bytes: int = 0
    temp_bytes: int = 0
    deadlocks: int = 0
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    progress: Progress | None = None


@dataclass(frozen=True)
class Wait:
    """Another session's wait because of the migration, over now."""

    start: float
    seconds: float
    pid: int
    user: str
    application: str
    mode: str
    relation: str
    query: str
    behind: int


@dataclass(frozen=True)
class Hold:
    """A lock of the migration that others may wait for, let go now."""

    start: float
    seconds: float
    pid: int
    mode: str
    relation: str


@dataclass(frozen=True)
class Blocker:
    """A session that the migration waited for."""

    pid: int
    user: str
    application: str
    state: str
    age: float
    query: str
    kind: str


@dataclass(frozen=True)
class Blocked:
    """The migration's own wait, over now."""

    start: float
    seconds: float
    pid: int
    mode: str
    relation: str
    blockers: tuple[Blocker, ...]


@dataclass(frozen=True)
class Stop:
    """A session of the migration that was cancelled (`what` is cancel) or terminated. `waiting` counts sessions of others."""

    what: str
    pid: int
    why: str
    seconds: float
    mode: str
    relation: str
    statement: str
    waiting: int


@dataclass(frozen=True)
class Mark:
    """Something of the agent's own life: held, lost, restarted, ended."""

    what: str


Fact = Baseline | Sample | Wait | Hold | Blocked | Stop | Mark


@dataclass(frozen=True)
class Line:
    """One line: when it was written, and how many seconds after the fence was held (None where it does not say)."""

    time: datetime | None
    at: float | None
    fact: Fact
