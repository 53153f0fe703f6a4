"""The small lines below the lanes of the picture."""

from dataclasses import dataclass

from locktender.cli.story import Story
from locktender.cli.units import bytes_for_people


@dataclass(frozen=True)
class Curve:
    """Points of time and value, and the value at its top."""

    name: str
    look: str
    highest: str
    top: float
    points: tuple[tuple[float, float], ...]


def curves(story: Story) -> list[Curve]:
    """Those that have anything to show."""
    made = []
    waiting = tuple((point.at, float(point.blocked)) for point in story.points)
    if _top(waiting):
        made.append(
            Curve("Waiting sessions", "waiting", f"at most {_top(waiting):.0f}", _top(waiting), _stepped(waiting))
        )
    log = tuple((point.at, float(point.wal_bytes)) for point in story.points)
    if _top(log):
        made.append(Curve("Write-ahead log", "log", bytes_for_people(int(_top(log))), _top(log), log))
    lag = tuple((point.at, float(point.lag_bytes)) for point in story.points)
    if _top(lag):
        made.append(Curve("Replica behind", "lag", f"up to {bytes_for_people(int(_top(lag)))}", _top(lag), lag))
    done = tuple((point.at, point.done / point.total if point.total else 0.0) for point in story.points)
    if _top(done):
        phase = next(point.phase for point in reversed(story.points) if point.total)
        made.append(Curve("Progress", "progress", phase if len(phase) <= 28 else f"{phase[:27]}…", 1.0, done))
    return made


def _top(points: tuple[tuple[float, float], ...]) -> float:
    return max((value for _, value in points), default=0.0)


def _stepped(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """A number of sessions stays what it is until the next point."""
    made: list[tuple[float, float]] = []
    for at, value in points:
        if made:
            made.append((at, made[-1][1]))
        made.append((at, value))
    return tuple(made)
