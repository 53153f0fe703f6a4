"""A migration that stands in the application's way, on a real API server: who is told what, when it is tried again, and when no more."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest

from locktender.core.retry import wait_for_locks
from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import Shop
from tests.builders import report
from tools.kube import facts

pytestmark = pytest.mark.apiserver

ROUNDED = 1.5  # seconds: times of the API server are whole, at both ends of a pause
OVER_BUDGET: dict[str, Any] = {
    "budget": 2.0,
    "worstWait": 2.04,
    "blockedSeconds": 20.3,
    "waits": 14,
    "queue": 9,
    "worst": {"mode": "AccessExclusive", "relation": "public.orders", "statement": "ALTER TABLE orders ...", "application": "web"},
    "ownWait": 2.1,
    "blockers": [{"pid": 7, "user": "app", "application": "web", "state": "idle in transaction", "age": 40.2, "kind": "session"}],
    "cancelled": 1,
    "terminated": 0,
    "cause": "LockBudgetExceeded",
    "deadlocks": 0,
}  # fmt: skip
STORED: dict[str, Any] = {
    "budget": "2.0 s",
    "worstWait": "2.0 s",
    "blockedSeconds": "20 s",
    "waits": 14,
    "queue": 9,
    "worst": "a wait of application web for AccessExclusiveLock on public.orders, behind: ALTER TABLE orders ...",
    "ownWait": "2.1 s",
    "blockers": ["pid 7: user app, application web, idle in transaction for 40 s"],
    "cancelled": 1,
    "terminated": 0,
    "cause": "LockBudgetExceeded",
    "deadlocks": 0,
}


def agent_says(**locks: Any) -> str:
    return report("Succeeded", "Succeeded", kind="agent", locks=locks)


def migrate(shop: Shop) -> dict[str, Any]:
    """The record of the step."""
    steps = (shop.dbm() or {}).get("status", {}).get("run", {}).get("steps", [])
    return next((dict(step) for step in steps if step["name"] == "Migrate"), {})


def stands(shop: Shop, status: str, reason: str) -> str:
    """Ready's message once it stands so."""
    return shop.wait(
        lambda: found[2] if (found := shop.ready())[:2] == (status, reason) else "", f"Ready is {status}, {reason}"
    )


def begun(shop: Shop) -> list[float]:
    """When each Job of the migration was made."""
    return [
        datetime.fromisoformat(job.object["metadata"]["creationTimestamp"]).timestamp()
        for job in sorted(shop.jobs(), key=lambda job: job.version)
    ]


def test_over_its_budget_it_waits_longer_each_time_and_then_fails_with_names_and_what_to_type(
    shop: Shop, operator: Operator
) -> None:
    shop.kubelet.migrate, shop.kubelet.agent = Fate.FAILS, agent_says(**OVER_BUDGET)
    shop.migration(locks={"retries": 2})
    operator.start()
    shop.deploy("web", "shop:v1")

    waiting = stands(shop, "Unknown", "LockBudgetExceeded")
    assert "Try 1 of 3 ended because of locks; the next begins in about" in waiting
    assert "In its way: pid 7: user app, application web, idle in transaction for 40 s." in waiting
    assert {name: migrate(shop)[name] for name in ("state", "attempt", "lockFailures", "locks")} == {
        "state": "Waiting",
        "attempt": 1,
        "lockFailures": 1,
        "locks": {"attempt": 1, **STORED},
    }
    shop.assert_explained()

    failed = stands(shop, "False", "Failed")
    run = (shop.dbm() or {})["status"]["run"]["id"]
    first, second, third = begun(shop)
    assert second - first > wait_for_locks(run, 1) - ROUNDED
    assert third - second > wait_for_locks(run, 2) - ROUNDED
    for words in (
        "It was tried 3 times.",
        "It made another session wait for 2.0 s and was stopped: spec.locks.budget is 2.0 s.",
        "In its way: pid 7: user app, application web, idle in transaction for 40 s.",
        f'kubectl -n {shop.namespace} patch dbm shop-db --type=merge -p \'{{"spec":{{"locks":{{"budget":"4s"}}}}}}\'',
        f"kubectl -n {shop.namespace} annotate dbm shop-db locktender.dev/retry=$(date +%s) --overwrite",
    ):
        assert words in failed
    step = migrate(shop)
    assert (step["state"], step["reason"], step["attempt"], step["lockFailures"]) == (
        "Failed",
        "LockBudgetExceeded",
        3,
        3,
    )
    assert step["locks"] == {"attempt": 3, **STORED}
    told = [event["message"] for event in shop.events_about((shop.dbm() or {})["metadata"]["uid"])]
    assert sum("ended because of locks" in message for message in told) == 2
    assert shop.is_held("web")

    shop.kubelet.migrate, shop.kubelet.agent = Fate.SUCCEEDS, agent_says(**{**OVER_BUDGET, "cancelled": 0, "cause": ""})
    shop.change(locks={"budget": "4s"})
    shop.wait(lambda: shop.runs("shop:v1", "web"), "the message's own advice leads out")


def test_a_success_opens_the_gate_before_its_agent_has_ended_and_what_it_measured_follows(
    shop: Shop, operator: Operator
) -> None:
    shop.kubelet.agent = ""
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web"), "the gate opens")
    stands(shop, "True", "Succeeded")
    assert "locks" not in migrate(shop)
    shop.kubelet.agent = agent_says(**{**OVER_BUDGET, "cancelled": 0, "cause": ""})
    shop.wait(lambda: "locks" in migrate(shop), "what the agent measured is stored")
    harmless = {name: value for name, value in STORED.items() if name != "cause"}
    assert migrate(shop)["locks"] == {"attempt": 1, **harmless, "cancelled": 0}
    assert migrate(shop)["state"] == "Succeeded"


def test_an_agent_that_never_ends_holds_up_no_verdict_for_more_than_ten_seconds(shop: Shop, operator: Operator) -> None:
    shop.kubelet.migrate, shop.kubelet.agent = Fate.FAILS, ""
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: migrate(shop).get("reason") == "NonZeroExit", "the failure is seen")
    seen = time.monotonic()
    assert migrate(shop)["state"] == "Running"
    assert "boom" in stands(shop, "False", "Failed")
    assert 8 < time.monotonic() - seen < 12


@pytest.mark.parametrize(
    "words",
    [
        "[" * 4096,
        '{"kind":"agent","outcome":"Succeeded","reason":"Succeeded","message":"x","locks":{"worstWait":1e999,"waits":-1}}',
        agent_says(
            budget=[1],
            worstWait=10**300,
            waits="canary",
            queue={},
            worst={"mode": "x y", "relation": "\x1b[31mcanary=1\n" * 50, "statement": "SELECT 'canary'" * 90},
            blockers=[{"pid": 10**30, "user": "\x00" * 300, "application": "password=canary"}, 7, None, []] * 20,
            cancelled=True,
            cause="<b>canary</b>",
        ),
    ],
    ids=["brackets", "numbers", "everything"],
)
def test_a_hostile_last_word_is_harmless(shop: Shop, operator: Operator, words: str) -> None:
    shop.kubelet.migrate, shop.kubelet.agent = Fate.FAILS, words
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1")
    assert "boom" in stands(shop, "False", "Failed")
    assert (migrate(shop)["state"], migrate(shop)["reason"]) == ("Failed", "NonZeroExit")
    dbm = shop.dbm() or {}
    shown = json.dumps([dbm["status"], shop.events_about(dbm["metadata"]["uid"])])
    assert "password=canary" not in shown
    assert "'canary'" not in shown
    assert "<b>" not in shown
    assert "\\u001b" not in shown
    operator.assert_rests(20)
    assert facts.is_held(shop.live("web") or {})
