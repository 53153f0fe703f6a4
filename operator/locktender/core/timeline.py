"""The story of one attempt of a migration, put together from its agent's lines: bounded, redacted, the worst of everything kept.

    line, line, line ... --add--> Timeline --content--> JSON of at most 200 KiB (the field `report` of a MigrationReport)

Whatever the lines say, the size of what is kept has a bound: the longest waits, holds and own waits, and a thinned curve that keeps its peaks.
"""

import heapq
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from locktender.api.duration import readable
from locktender.core import agent_lines
from locktender.core.agent_facts import LARGEST, Baseline, Blocked, Fact, Hold, Line, Mark, Sample, Stop, Wait

SIZE_LIMIT = 200 * 1024  # bytes of the content as JSON: a seventh of what etcd takes, ten of them in one list answer
KEPT_WAITS, KEPT_HOLDS, KEPT_BLOCKED, KEPT_STOPS, KEPT_MARKS = 200, 100, 100, 100, 50
KEPT_SAMPLES = 240  # points of the curve: four pixels each in the picture
ANOTHER_CLOCK = 2.0  # seconds by which `at` and `time` must part until the agent counts as restarted


@dataclass
class Timeline:
    """Takes lines in the order in which they were written. `whole` says that nothing of the log was missing."""

    began: datetime | None = None
    whole: bool = True
    _shift: float = 0.0
    _last: float = 0.0
    _first_seen: bool = False
    _restarted: bool = False
    _baseline: Baseline = field(default_factory=lambda: Baseline("", 0))
    _before: Sample = field(default_factory=Sample)
    _now: Sample = field(default_factory=Sample)
    _queue: int = 0
    _waits: "_Worst" = field(default_factory=lambda: _Worst(KEPT_WAITS))
    _holds: "_Worst" = field(default_factory=lambda: _Worst(KEPT_HOLDS))
    _blocked: "_Worst" = field(default_factory=lambda: _Worst(KEPT_BLOCKED))
    _stops: list[tuple[float, Stop]] = field(default_factory=list)
    _stopped: dict[str, int] = field(default_factory=dict)
    _cause: str = ""
    _marks: list[tuple[float, Mark]] = field(default_factory=list)
    _curve: "list[_Point]" = field(default_factory=list)

    def add(self, text: str) -> None:
        """One line of the log; one that says nothing to us is passed over."""
        line = agent_lines.parse(text)
        if line is not None:
            self._take(line)

    def _take(self, line: Line) -> None:
        if line.at is not None and line.time is not None:
            self._clock(line.time, line.at)
        at = self._when(line)
        self._last = max(self._last, at)
        match line.fact:
            case Baseline() as fact:
                self._first_seen = True
                if not self._baseline.server_version:
                    self._baseline = fact
            case Sample() as fact:
                self._sample(at, fact)
            case Wait() as fact:
                self._waits.add(self._shifted(fact))
            case Hold() as fact:
                self._holds.add(self._shifted(fact))
            case Blocked() as fact:
                self._blocked.add(self._shifted(fact))
            case Stop() as fact:
                self._cause = fact.why
                self._stopped[fact.what] = self._stopped.get(fact.what, 0) + 1
                if len(self._stops) < KEPT_STOPS:
                    self._stops.append((at, fact))
            case Mark() as fact if len(self._marks) < KEPT_MARKS:
                self._marks.append((at, fact))

    def _clock(self, time: datetime, at: float) -> None:
        """An agent that was restarted counts `at` anew; the wall clock says by how much."""
        if self.began is None:
            self.began = time - timedelta(seconds=min(at, 10.0**7))
        apart = (time - self.began).total_seconds() - at
        if abs(apart - self._shift) > ANOTHER_CLOCK:
            self._shift = max(0.0, round(apart, 3))
            self._before = _sum(self._before, self._now)
            self._now = Sample()

    def _when(self, line: Line) -> float:
        """Seconds since the beginning, by the wall clock where the line does not count."""
        if line.at is not None:
            return round(line.at + self._shift, 3)
        if line.time is None or self.began is None:
            return self._last
        return max(0.0, round((line.time - self.began).total_seconds(), 3))

    def _shifted(self, fact: Any) -> Any:
        return replace(fact, start=round(fact.start + self._shift, 3)) if self._shift else fact

    def _sample(self, at: float, sample: Sample) -> None:
        self._now = sample
        self._queue = max(self._queue, sample.blocked)
        self._curve.append(_Point(at, _sum(self._before, sample)))
        if len(self._curve) > 2 * KEPT_SAMPLES:
            self._curve = _thinned(self._curve, KEPT_SAMPLES)

    def content(self) -> dict[str, Any]:
        """What is kept, as JSON of at most SIZE_LIMIT bytes: of the shortest waits and holds less is kept until it fits."""
        for share in (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.0):
            made = self._content(share)
            if len(json.dumps(made, ensure_ascii=False).encode()) <= SIZE_LIMIT:
                return made
        raise AssertionError("an empty timeline is small")

    def _content(self, share: float) -> dict[str, Any]:
        total = _sum(self._before, self._now)
        waits, holds, blocked = (worst.kept(share) for worst in (self._waits, self._holds, self._blocked))
        worst = max((total.worst_wait, *(item.seconds for item in waits[:1])))
        stops = self._stops[: max(1, int(KEPT_STOPS * share))]
        return {
            **(
                {"began": self.began.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
                if self.began
                else {}
            ),
            "seconds": self._last,
            "complete": self.whole and self._first_seen and any(mark.what == "ended" for _, mark in self._marks),
            "worstWait": readable(worst),
            "cause": self._cause,
            "server": {"version": self._baseline.server_version, "databaseBytes": self._baseline.database_bytes},
            "summary": {
                "worstWait": worst,
                "blockedSeconds": total.blocked_seconds,
                "queue": self._queue,
                "waits": self._waits.seen,
                "ownWait": max((item.seconds for item in blocked), default=0.0),
                "cancelled": self._stopped.get("cancel", 0),
                "terminated": self._stopped.get("terminate", 0),
                "deadlocks": total.deadlocks,
                "walBytes": total.wal_bytes,
                "tempBytes": total.temp_bytes,
                "lagBytes": max((point.sample.lag_bytes for point in self._curve), default=0),
            },
            "waits": _as_json(sorted(waits, key=_start)),
            "holds": _as_json(sorted(holds, key=_start)),
            "blocked": _as_json(sorted(blocked, key=_start)),
            "stops": [{"at": at, **_camel(asdict(stop))} for at, stop in stops],
            "marks": [{"at": at, "what": mark.what} for at, mark in self._marks],
            "samples": [point.content() for point in _thinned(self._curve, max(1, int(KEPT_SAMPLES * share)))],
            "left": {
                "waits": self._waits.seen - len(waits),
                "holds": self._holds.seen - len(holds),
                "blocked": self._blocked.seen - len(blocked),
                "stops": sum(self._stopped.values()) - len(stops),
            },
        }


@dataclass
class _Worst:
    """The longest of what was added, at most `limit` of them."""

    limit: int
    seen: int = 0
    _heap: list[tuple[float, int, Any]] = field(default_factory=list)

    def add(self, item: Any) -> None:
        self.seen += 1
        entry = (item.seconds, -self.seen, item)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def kept(self, share: float) -> list[Any]:
        """That share of the limit, longest first."""
        return [item for _, _, item in heapq.nlargest(int(self.limit * share), self._heap)]


@dataclass(frozen=True)
class _Point:
    """One point of the curve."""

    at: float
    sample: Sample

    def content(self) -> dict[str, Any]:
        """What the picture needs of it."""
        sample = self.sample
        shown = {
            "at": self.at,
            "blocked": sample.blocked,
            "longestWait": sample.longest_wait,
            "ownWait": sample.own_wait,
            "walBytes": sample.wal_bytes,
            "lagBytes": sample.lag_bytes,
            "statement": sample.statement,
        }
        if sample.progress:
            shown["progress"] = asdict(sample.progress)
        return {name: value for name, value in shown.items() if name == "at" or value}


def _thinned(points: "list[_Point]", limit: int) -> "list[_Point]":
    """At most `limit` points: of two neighbours the one with the longest wait, and then the most blocked sessions, stays."""
    while len(points) > limit:
        pairs = (points[n : n + 2] for n in range(0, len(points), 2))
        points = [max(pair, key=_height) for pair in pairs]
    return points


def _height(point: _Point) -> tuple[float, int, float, float]:
    return (point.sample.longest_wait, point.sample.blocked, point.sample.own_wait, point.at)


def _sum(before: Sample, now: Sample) -> Sample:
    """`now`, with what had been counted before the agent was restarted."""
    return replace(
        now,
        worst_wait=max(before.worst_wait, now.worst_wait),
        blocked_seconds=round(min(before.blocked_seconds + now.blocked_seconds, LARGEST), 3),
        wal_bytes=min(before.wal_bytes + now.wal_bytes, LARGEST),
        temp_bytes=min(before.temp_bytes + now.temp_bytes, LARGEST),
        deadlocks=min(before.deadlocks + now.deadlocks, LARGEST),
    )


_start: Callable[[Any], float] = attrgetter("start")


def _as_json(facts: Iterable[Fact]) -> list[dict[str, Any]]:
    return [_camel(asdict(fact)) for fact in facts]


def _camel(raw: dict[str, Any]) -> dict[str, Any]:
    """Without empty values; the names of these facts are single words already."""
    return {
        name: [_camel(item) for item in value] if isinstance(value, tuple | list) else value
        for name, value in raw.items()
        if value not in ("", ())
    }
