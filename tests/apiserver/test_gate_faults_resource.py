"""DatabaseMigrations that go, come, move and contradict each other while a Deployment is held; and a person's own pause."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import MIGRATION, Shop, refused
from tools.kube import facts

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]
COMMAND: dict[str, Any] = {"framework": "Command", "command": ["./migrate"]}


def hold_v2(shop: Shop, operator: Operator, **spec: Any) -> None:
    """v1 runs, v2 is held and its migration is running."""
    shop.deploy("web", "shop:v1", gate=None)
    shop.wait(lambda: shop.runs("shop:v1", "web"), "v1 runs")
    shop.migration(**spec)
    shop.deploy("web", "shop:v1")
    operator.start()
    shop.wait(lambda: shop.ready()[0] == "True", "v1 is the baseline")
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:v2")
    shop.wait(lambda: [pod for pod in shop.recorder.objects("pods") if facts.step(pod) == facts.MIGRATE], "it migrates")


def test_a_resource_that_is_deleted_and_made_again_while_a_deployment_is_held(shop: Shop, operator: Operator) -> None:
    hold_v2(shop, operator)
    shop.delete("databasemigrations", MIGRATION)
    shop.wait(lambda: (shop.dbm() or {"metadata": {}})["metadata"].get("deletionTimestamp"), "it is on its way out")
    assert shop.is_held("web"), "the running migration is finished first"
    shop.kubelet.migrate = Fate.FAILS
    shop.wait(lambda: shop.dbm() is None, "it is gone once the migration has ended")
    shop.assert_explained()
    assert shop.is_held("web"), "spec.gate.onDelete is Hold"
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.migration()
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.ready()[0] == "True", "the new resource migrates v2")
    assert len(shop.jobs()) == 2, "what the old one did not finish is a run of the new one"


def test_a_gate_that_is_renamed(shop: Shop, operator: Operator) -> None:
    """While held a Deployment cannot change its gate; the message says what it waits for. Once it is through, it can."""
    hold_v2(shop, operator)
    shop.migration("orders-db", migration=COMMAND)
    words = refused(lambda: shop.deploy("web", "shop:v2", gate="orders-db"))
    assert "cannot leave its gate" in words
    assert f"kubectl describe dbm {MIGRATION}" in words
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.runs("shop:v2", "web"), "v2 runs")
    shop.deploy("web", "shop:v2", gate="orders-db")
    shop.wait(lambda: shop.ready("orders-db")[0] == "True", "what runs is the baseline of the new gate")
    shop.wait(lambda: shop.ready()[1] == "AwaitingDeployment", "the old gate has noticed that it left")
    shop.deploy("web", "shop:v3", gate="orders-db")
    shop.wait(lambda: shop.runs("shop:v3", "web") and shop.ready("orders-db")[0] == "True", "the new gate migrates v3")


def test_a_deployment_under_a_name_that_nobody_has(shop: Shop, operator: Operator) -> None:
    operator.start()
    shop.deploy("web", "shop:v1", gate="nobody")
    shop.wait(lambda: shop.is_held("web"), "it is held whether or not there is a resource")
    shop.assert_explained()
    operator.assert_rests()
    shop.migration("nobody")
    shop.wait(lambda: shop.runs("shop:v1", "web"), "the resource that the Event asks for lets it through")


def test_only_the_label_decides_whose_a_deployment_is(shop: Shop, operator: Operator) -> None:
    """Two resources claim the web: the one whose label it carries migrates it, the other says so and runs nothing."""
    shop.migration("orders-db", migration={**COMMAND, "from": {"deployment": "web"}})
    shop.migration(migration={**COMMAND, "from": {"deployment": "web"}})
    operator.start()
    shop.deploy("orders", "orders:v1", gate="orders-db")
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web") and shop.ready()[0] == "True", "the web is through its own gate")
    shop.wait(
        lambda: f"behind another gate, locktender.dev/gate={MIGRATION}" in shop.ready("orders-db")[2],
        "the other resource says that the web is not at its gate",
    )
    shop.assert_explained()
    assert shop.is_held("orders")
    assert {event.object["metadata"]["labels"]["locktender.dev/migration"] for event in shop.jobs()} == {MIGRATION}
    shop.change("orders-db", migration={"from": {"deployment": "orders"}})
    shop.wait(lambda: shop.runs("orders:v1", "orders"), "the advice leads through")


def test_a_persons_own_pause_is_theirs_until_a_hold_and_a_release_resumes(shop: Shop, operator: Operator) -> None:
    """docs/decisions: the way to freeze releases is spec.suspend."""
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web") and shop.ready()[0] == "True", "v1 runs")
    shop.patch("web", {"spec": {"paused": True}})
    shop.deploy("web", "shop:v1", env="red")  # no new key: nobody holds it, the pause stays a person's
    operator.assert_rests()
    assert (shop.live("web") or {})["spec"]["paused"] is True
    assert not shop.is_held("web")
    shop.deploy("web", "shop:v2")
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.ready()[0] == "True", "v2 is migrated, released and resumed")
    assert "paused" not in (shop.live("web") or {})["spec"]


def test_a_freeze_by_suspend_holds_for_as_long_as_it_lasts(shop: Shop, operator: Operator) -> None:
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web") and shop.ready()[0] == "True", "v1 runs")
    shop.change(suspend=True)
    shop.deploy("web", "shop:v2")
    shop.wait(lambda: shop.ready()[1] == "Suspended", "it is said")
    shop.assert_explained()
    operator.assert_rests()
    assert shop.is_held("web")
    shop.change(suspend=False)
    shop.wait(lambda: shop.runs("shop:v2", "web"), "v2 runs")
