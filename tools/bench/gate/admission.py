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

# Requests of each kind after every round of tries: 10,500 in a run of 30. With 2,000 the p99 came out at anything from 3 to 12 ms, in parts
# of one and the same run on a busy machine.
PER_ROUND = 350
WARM_UP = 20  # requests before the first that counts: connections and caches of the API server
PAIR_PAUSE = 0.002  # seconds between two pairs: the API server is asked, not besieged


@dataclass
class Admission:
    """The seconds of every request."""

    gated: list[float] = field(default_factory=list)
    ungated: list[float] = field(default_factory=list)
    collections: int = 0  # of the API server's garbage, meanwhile

    def rows(self) -> dict[str, float]:
        """What the gate adds, in milliseconds; beside the p99 where 95 of 100 repetitions would put it."""
        low, high = numbers.interval(self.gated, self.ungated, 0.99)
        return {
            "admission_added_p50_ms": self.added(0.5),
            "admission_added_p99_ms": self.added(0.99),
            "admission_added_p99_low_ms": 1000 * low,
            "admission_added_p99_high_ms": 1000 * high,
        }

    def conditions(self) -> dict[str, str]:
        """Under which the rows hold."""
        return {
            "admission": f"{len(self.gated)} dry runs of each kind in pairs, one client, {1000 * PAIR_PAUSE:g} ms between two pairs; "
            "a row is percentile with the gate minus percentile without, low and high are its 95 % interval (block bootstrap)",
            "admission_garbage_collections": f"{self.collections} in the API server meanwhile",
            **{
                f"admission_p99_{kind}_ms": f"{1000 * numbers.percentile(values, 0.99):.1f}"
                for kind, values in (("gated", self.gated), ("ungated", self.ungated))
            },
        }

    def added(self, share: float) -> float:
        """Milliseconds that the gate adds at this percentile."""
        return 1000 * numbers.difference(self.gated, self.ungated, share)


def measure(api: Api, asked: Admission, pairs: int = PER_ROUND) -> None:
    """Ask more; which of a pair comes first is left to chance, so that neither profits from the other."""
    chance = random.Random(len(asked.gated))  # noqa: S311  # an order, no secret
    for _ in range(WARM_UP):
        _dry_run(api, manifests.PLAIN, held=False)
        _dry_run(api, manifests.GATED, held=True)
    before = _collections(api)
    for _ in range(pairs):
        pair = [(manifests.PLAIN, asked.ungated), (manifests.GATED, asked.gated)]
        chance.shuffle(pair)
        for name, into in pair:
            into.append(_dry_run(api, name, held=name == manifests.GATED))
        time.sleep(PAIR_PAUSE)
    asked.collections += _collections(api) - before


def _collections(api: Api) -> int:
    """How often the API server has collected its garbage."""
    lines: list[str] = api.call("GET", "/metrics").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("go_gc_duration_seconds_count "))


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
