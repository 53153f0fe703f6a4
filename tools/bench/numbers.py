"""The few statistics that the benches use, with no surprises: every result is a value that was observed, or a difference of two."""

import math
import random
from collections.abc import Sequence


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
    """Where 95 of 100 repetitions of `difference` would lie (bootstrap, repeatable by its seed)."""
    chance = random.Random(seed)  # noqa: S311  # statistics, no secret
    found = sorted(
        difference(chance.choices(with_it, k=len(with_it)), chance.choices(without, k=len(without)), share)
        for _ in range(draws)
    )
    return found[round(0.025 * (draws - 1))], found[round(0.975 * (draws - 1))]
