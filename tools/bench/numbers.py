"""The few statistics that the benches use, with no surprises: every result is a value that was observed, or a difference of two."""

import math
import random
from collections.abc import Sequence

RUN = 50  # pairs that are drawn together: about half a second of dry runs, longer than a garbage collection of an API server


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def difference(with_it: Sequence[float], without: Sequence[float], share: float) -> float:
    """How far the percentile moves: that of `with_it` minus that of `without`.

    It is the shift of the distribution at that point, not the percentile of single differences: two requests are never the same one
    with and without, so a difference of a pair would mostly be noise.
    """
    return percentile(with_it, share) - percentile(without, share)


def interval(
    with_it: Sequence[float], without: Sequence[float], share: float, *, draws: int = 400, seed: int = 1
) -> tuple[float, float]:
    """Where 95 of 100 repetitions of `difference` would lie (block bootstrap, repeatable by its seed). The values were taken in pairs.

    Whole runs of neighbours are drawn, and the same ones of both: what slows one value down (a garbage collection, another program)
    also hits those beside it, so single values would promise a narrower interval than there is.
    """
    chance, count = random.Random(seed), len(with_it)  # noqa: S311  # statistics, no secret
    if count != len(without):
        raise ValueError("the values are not pairs")
    run = min(RUN, count)
    one, other = ([*values, *values[:run]] for values in (with_it, without))  # the last value's neighbour is the first

    def once() -> float:
        starts = [chance.randrange(count) for _ in range(math.ceil(count / run))]
        drawn, beside = ([value for start in starts for value in ring[start : start + run]] for ring in (one, other))
        return difference(drawn, beside, share)

    found = sorted(once() for _ in range(draws))
    return found[round(0.025 * (draws - 1))], found[round(0.975 * (draws - 1))]
