"""The bench's table: one line for each scenario and budget."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tools.bench.locks.trials import Trial

_HEAD = ("scenario", "budget", "trials", "reader", "writer", "floor", "without: reader", "writer", "ended")
_WIDTHS = (33, 8, 7, 8, 8, 7, 16, 8)


def table(trials: Sequence[Trial]) -> Iterator[str]:
    """Worst values in milliseconds, with the agent and without; `ended` is how the migrations beside the agent ended."""
    yield "".join(f"{word:<{width}}" for word, width in zip(_HEAD, (*_WIDTHS, 0), strict=True))
    for name in dict.fromkeys(one.scenario.name for one in trials):
        for budget in sorted({one.budget for one in trials}):
            chosen = [one for one in trials if one.scenario.name == name and one.budget == budget]
            if chosen:
                yield _line(name, budget, chosen)


def _line(name: str, budget: float, chosen: list[Trial]) -> str:
    with_it = [one for one in chosen if one.ended is not None]
    without = [one for one in chosen if one.ended is None]
    ends = ", ".join(f"{count} {word}" for word, count in Counter(one.migrated.outcome for one in with_it).items())
    cells = (
        name,
        f"{1000 * budget:.0f}",
        str(len(with_it)),
        _worst([one.felt.reader for one in with_it]),
        _worst([one.felt.writer for one in with_it]),
        _worst([one.felt.floor for one in chosen]),
        _worst([one.felt.reader for one in without]),
        _worst([one.felt.writer for one in without]),
    )
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)) + ends


def _worst(seconds: list[float]) -> str:
    return f"{1000 * max(seconds):.0f}" if seconds else "-"
