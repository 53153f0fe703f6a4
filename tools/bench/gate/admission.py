"""What admission adds to one write of a Deployment: the same dry run of an image change with and without the label, in turns.

A dry run passes all of admission and is not stored, so nothing starts and nothing else is measured. The gated write is one that must be held:
the dearest case.
"""

import random
import time
from dataclasses import dataclass, field
from typing import Any

from tools.bench import numbers
from tools.bench.gate import manifests
from tools.bench.gate.manifests import NAMESPACE
from tools.bench.gate.tries import JSON_PATCH
from tools.kube.api import Api

ROUNDS = 5
PER_ROUND = 400  # requests of each kind in a round
WARM_UP = 20  # requests before the first that counts: connections and caches of the API server
PAIR_PAUSE = 0.002  # seconds between two pairs: the API server is asked, not besieged


@dataclass
class Admission:
    """The seconds of every request."""

    gated: list[float] = field(default_factory=list)
    ungated: list[float] = field(default_factory=list)

    def added(self, share: float) -> float:
        """Milliseconds that the gate adds at this percentile."""
        return 1000 * numbers.difference(self.gated, self.ungated, share)

    def interval(self, share: float) -> str:
        """Where 95 of 100 repetitions would put it, in words."""
        low, high = numbers.interval(self.gated, self.ungated, share)
        return f"{1000 * low:.1f} to {1000 * high:.1f} ms"


def measure(api: Api, rounds: int, per_round: int) -> Admission:
    """Ask; which of a pair comes first is left to chance, so that neither profits from the other."""
    found, chance = Admission(), random.Random(1)  # noqa: S311  # an order, no secret
    for _ in range(WARM_UP):
        _dry_run(api, manifests.PLAIN, held=False)
        _dry_run(api, manifests.GATED, held=True)
    for _ in range(rounds * per_round):
        pair = [(manifests.PLAIN, found.ungated), (manifests.GATED, found.gated)]
        chance.shuffle(pair)
        for name, into in pair:
            into.append(_dry_run(api, name, held=name == manifests.GATED))
        time.sleep(PAIR_PAUSE)
    return found


def _dry_run(api: Api, name: str, *, held: bool) -> float:
    """Seconds of one request; AssertionError when the gate did not do what it is there for."""
    where = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}?dryRun=All"
    patch = manifests.change("localhost/locktender-bench/app:other", "other")
    begun = time.monotonic()
    answer: dict[str, Any] = api.call("PATCH", where, patch, JSON_PATCH)
    took = time.monotonic() - begun
    if bool(answer["spec"].get("paused")) != held:
        raise AssertionError(f"the gate {'did not hold' if held else 'held'} the Deployment {name}")
    return took
