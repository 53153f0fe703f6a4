"""Very many held Deployments: none is forgotten, and none is written more often than its release needs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import Shop

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]
MANY = 200
AT_ONCE = 4  # clients that apply beside each other
WRITES_EACH = 3  # of the operator, for one Deployment of a shared gate: its release, and the Events Held and Released
WRITES_OF_A_RUN = 14  # claim, Job, statuses, time to live, Events
PATIENCE = 150.0  # seconds on 2 cores that others use too; seen: a tenth of that


def hold_all(shop: Shop, gates: list[str]) -> None:
    """One Deployment for each entry, without replicas: it is the gate that is at work here."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        applied = [
            pool.submit(shop.deploy, f"web-{number}", "shop:v1", gate=gate, replicas=0)
            for number, gate in enumerate(gates)
        ]
        for one in applied:
            one.result()
    shop.wait(lambda: len(shop.held()) == MANY, "all are held", PATIENCE)


def all_released(shop: Shop, operator: Operator, what: str, most: int) -> None:
    """Wait for the release of all, print how long it took, and count what was written."""
    started, written = time.monotonic(), operator.writes
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: not shop.held(), "all are released", PATIENCE)
    took = time.monotonic() - started
    operator.assert_rests(60)
    writes = operator.writes - written
    print(f"\n{MANY} Deployments of {what} released in {took:.1f} s, {writes} writes")
    assert writes <= most
    words = [
        item["metadata"]["annotations"].get("locktender.dev/released") for item in shop.recorder.objects("deployments")
    ]
    assert (len(words), None in words) == (MANY, False), "each was released by a word"


def test_two_hundred_deployments_of_one_gate(shop: Shop, operator: Operator) -> None:
    shop.migration()
    operator.start()
    shop.kubelet.migrate = Fate.RUNS
    hold_all(shop, ["shop-db"] * MANY)
    shop.assert_explained(60)
    all_released(shop, operator, "one gate", MANY * WRITES_EACH + WRITES_OF_A_RUN)
    assert len(shop.jobs()) == 1
    shop.wait(lambda: shop.ready()[0] == "True", "Ready")
