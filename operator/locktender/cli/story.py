"""A MigrationReport read for showing. The object may come out of any file, so a field that is missing or strange has its default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from locktender.core.agent_facts import Blocked, Blocker, Hold, Stop, Wait
from locktender.core.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

CANCEL_TAKES = 0.1  # seconds after the budget within which a wait is over
TEXT_LIMIT = 512  # characters of any one text that is shown


class NoReport(ValueError):
    """What was read is no MigrationReport. `str()` says why."""


@dataclass(frozen=True)
class Point:
    """How things stood at one moment."""

    at: float
    blocked: int
    wal_bytes: int
    lag_bytes: int
    done: int
    total: int
    phase: str


@dataclass(frozen=True)
class Story:
    """One attempt of a migration, as a MigrationReport tells it. Seconds, counted from `began`."""

    name: str
    namespace: str
    migration: str
    run: str
    attempt: int
    image: str
    release: str
    budget: float | None
    began: str
    seconds: float
    complete: bool
    cause: str
    server: str
    worst_wait: float
    blocked_seconds: float
    queue: int
    wait_count: int
    own_wait: float
    deadlocks: int
    wal_bytes: int
    lag_bytes: int
    waits: tuple[Wait, ...]
    holds: tuple[Hold, ...]
    blocked: tuple[Blocked, ...]
    stops: tuple[tuple[float, Stop], ...]
    marks: tuple[tuple[float, str], ...]
    points: tuple[Point, ...]
    left: int

    def over_budget(self, seconds: float) -> bool:
        """Whether a wait was longer than the budget allows, with the 100 ms that a cancel may take."""
        return self.budget is not None and seconds > self.budget + CANCEL_TAKES

    @property
    def end(self) -> float:
        """The last moment that anything is told of, above 0."""
        spans: tuple[Wait | Hold | Blocked, ...] = (*self.waits, *self.holds, *self.blocked)
        return max((self.seconds, 0.1, *(item.start + item.seconds for item in spans), *(at for at, _ in self.stops)))

    @property
    def worst_waits(self) -> tuple[Wait, ...]:
        """The waits of others, longest first."""
        return tuple(sorted(self.waits, key=lambda wait: -wait.seconds))

    @property
    def worst_blocked(self) -> tuple[Blocked, ...]:
        """The migration's own waits, longest first."""
        return tuple(sorted(self.blocked, key=lambda wait: -wait.seconds))


def read(raw: Any) -> Story:
    """The story of a MigrationReport object. Raises NoReport."""
    if not isinstance(raw, dict) or raw.get("kind") != "MigrationReport" or not isinstance(raw.get("report"), dict):
        raise NoReport("this is no MigrationReport: get one with kubectl get dmr NAME -o json")
    meta, spec, told = _Part(raw.get("metadata")), _Part(raw.get("spec")), _Part(raw["report"])
    summary, server = told.part("summary"), told.part("server")
    return Story(
        name=meta.text("name"),
        namespace=meta.text("namespace"),
        migration=spec.part("migration").text("name"),
        run=spec.text("run"),
        attempt=spec.count("attempt"),
        image=spec.text("image"),
        release=spec.text("release"),
        budget=spec.number("budget") if "budget" in spec.raw else None,
        began=told.text("began"),
        seconds=told.number("seconds"),
        complete=told.raw.get("complete") is True,
        cause=told.text("cause"),
        server=server.text("version"),
        worst_wait=summary.number("worstWait"),
        blocked_seconds=summary.number("blockedSeconds"),
        queue=summary.count("queue"),
        wait_count=summary.count("waits"),
        own_wait=summary.number("ownWait"),
        deadlocks=summary.count("deadlocks"),
        wal_bytes=summary.count("walBytes"),
        lag_bytes=summary.count("lagBytes"),
        waits=tuple(_wait(item) for item in told.parts("waits")),
        holds=tuple(Hold(**_span(item)) for item in told.parts("holds")),
        blocked=tuple(_blocked(item) for item in told.parts("blocked")),
        stops=tuple((item.number("at"), _stop(item)) for item in told.parts("stops")),
        marks=tuple((item.number("at"), item.text("what")) for item in told.parts("marks")),
        points=tuple(_point(item) for item in told.parts("samples")),
        left=sum(told.part("left").count(name) for name in ("waits", "holds", "blocked", "stops")),
    )


class _Part:
    """A JSON object whose fields are asked for by type."""

    def __init__(self, raw: Any) -> None:
        self.raw: Mapping[str, Any] = raw if isinstance(raw, dict) else {}

    def number(self, name: str) -> float:
        value = self.raw.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return 0.0
        return min(max(float(value), 0.0), 1e15)

    def count(self, name: str) -> int:
        return int(self.number(name))

    def text(self, name: str) -> str:
        value = self.raw.get(name)
        return one_line(value, TEXT_LIMIT) if isinstance(value, str) else ""

    def part(self, name: str) -> _Part:
        return _Part(self.raw.get(name))

    def parts(self, name: str) -> list[_Part]:
        value = self.raw.get(name)
        return [_Part(item) for item in value[:1000]] if isinstance(value, list) else []


def _span(item: _Part) -> dict[str, Any]:
    return {
        "start": item.number("start"),
        "seconds": item.number("seconds"),
        "pid": item.count("pid"),
        "mode": item.text("mode"),
        "relation": item.text("relation"),
    }


def _wait(item: _Part) -> Wait:
    return Wait(
        **_span(item),
        user=item.text("user"),
        application=item.text("application"),
        query=item.text("query"),
        behind=item.count("behind"),
    )


def _blocked(item: _Part) -> Blocked:
    return Blocked(**_span(item), blockers=tuple(_blocker(blocker) for blocker in item.parts("blockers")))


def _blocker(item: _Part) -> Blocker:
    return Blocker(
        pid=item.count("pid"),
        user=item.text("user"),
        application=item.text("application"),
        state=item.text("state"),
        age=item.number("age"),
        query=item.text("query"),
        kind=item.text("kind"),
    )


def _stop(item: _Part) -> Stop:
    return Stop(
        what=item.text("what"),
        pid=item.count("pid"),
        why=item.text("why"),
        seconds=item.number("seconds"),
        mode=item.text("mode"),
        relation=item.text("relation"),
        statement=item.text("statement"),
        waiting=item.count("waiting"),
    )


def _point(item: _Part) -> Point:
    progress = item.part("progress")
    return Point(
        at=item.number("at"),
        blocked=item.count("blocked"),
        wal_bytes=item.count("walBytes"),
        lag_bytes=item.count("lagBytes"),
        done=progress.count("done"),
        total=progress.count("total"),
        phase=progress.text("phase"),
    )
