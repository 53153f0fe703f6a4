"""Versions that arrive in the wrong moment, and releases that arrive in parts: nothing is let through on an old verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from locktender.core.actions import Action, ReleaseDeployment
from locktender.core.observation import Observation
from locktender.kube.act import Actor
from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import Shop
from tools.kube import facts

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]
BY_KEY: dict[str, Any] = {
    "migration": {"framework": "Command", "command": ["./migrate"], "from": {"deployment": "web"}}
}
OWN_IMAGE: dict[str, Any] = {"migration": {"framework": "Command", "command": ["./migrate"], "image": "migrations:v1"}}


def running(shop: Shop, operator: Operator, **spec: Any) -> None:
    """Version 1 of the web runs behind its gate."""
    shop.deploy("web", "shop:v1", gate=None, key=spec.pop("key", ""))
    shop.wait(lambda: shop.runs("shop:v1", "web"), "v1 runs")
    shop.migration(**spec)
    operator.start()
    shop.deploy("web", "shop:v1", key=(key_now(shop)))
    shop.wait(lambda: shop.ready()[0] == "True", "v1 is the baseline")


def key_now(shop: Shop) -> str:
    """The key that the web's template has."""
    meta = (shop.live("web") or {})["spec"]["template"]["metadata"]
    return str((meta.get("annotations") or {}).get("locktender.dev/key", ""))


def migrating(shop: Shop, image: str) -> Callable[[], bool]:
    """Whether the migration of an image is running."""

    def look() -> bool:
        run = (shop.dbm() or {}).get("status", {}).get("run", {})
        pods = [pod for pod in shop.recorder.objects("pods") if facts.step(pod) == facts.MIGRATE]
        at_work = any(pod["status"].get("phase") == "Running" for pod in pods)
        return run.get("image") == image and not run.get("outcome") and at_work

    return look


def images_migrated(shop: Shop) -> list[str]:
    """The images of the runs that have ended, oldest first."""
    history = (shop.dbm() or {}).get("status", {}).get("history", ())
    return [f"{entry['image']} {entry['outcome']}" for entry in reversed(history)]


def test_a_version_that_arrives_during_a_run_waits_for_its_own(shop: Shop, operator: Operator) -> None:
    running(shop, operator)
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:v2")
    shop.wait(migrating(shop, "shop:v2"), "v2 is migrated")
    shop.deploy("web", "shop:v3")
    shop.assert_explained()
    shop.kubelet.images["shop:v2"] = Fate.SUCCEEDS
    shop.wait(migrating(shop, "shop:v3"), "v3 is migrated after v2")
    assert shop.is_held("web"), "the verdict on v2 does not open the gate for v3"
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.runs("shop:v3", "web"), "v3 runs")
    shop.wait(lambda: shop.ready()[0] == "True", "Ready")
    assert images_migrated(shop) == ["shop:v2 Succeeded", "shop:v3 Succeeded"]
    assert "shop:v2" not in [facts.image(event.object) for event in shop.recorder.events("replicasets")]


@pytest.mark.parametrize("fate", [Fate.SUCCEEDS, Fate.FAILS])
def test_the_first_version_again_after_the_second(shop: Shop, operator: Operator, fate: Fate) -> None:
    running(shop, operator)
    shop.kubelet.migrate = fate
    shop.deploy("web", "shop:v2")
    shop.wait(lambda: shop.ready()[0] == ("True" if fate is Fate.SUCCEEDS else "False"), "v2 is judged")
    shop.assert_explained()
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web") and shop.ready()[0] == "True", "v1 runs again")
    assert len(shop.jobs()) == 1, "v1 counts as migrated; it passes at once"
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.deploy("web", "shop:v3")
    shop.wait(lambda: shop.runs("shop:v3", "web"), "the next version is not in the way of the failed one")


def test_a_version_that_comes_back_while_the_next_one_is_migrated(shop: Shop, operator: Operator) -> None:
    running(shop, operator)
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:v2")
    shop.wait(migrating(shop, "shop:v2"), "v2 is migrated")
    shop.deploy("web", "shop:v1")
    shop.wait(lambda: shop.runs("shop:v1", "web"), "v1 needs no run: its verdict is stored")
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.ready()[0] == "True", "Ready")
    assert images_migrated(shop) == ["shop:v2 Succeeded"]


def test_a_version_that_arrives_between_the_verdict_and_the_release(
    shop: Shop, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict on v2 is stored and its release is about to be sent: just then v3 is applied."""
    running(shop, operator)
    perform = Actor.perform
    arrived: list[str] = []

    async def late(self: Actor, observation: Observation, action: Action) -> str | None:
        if isinstance(action, ReleaseDeployment) and not arrived:
            arrived.append("v3")
            await asyncio.to_thread(shop.deploy, "web", "shop:v3")
        return await perform(self, observation, action)

    monkeypatch.setattr(Actor, "perform", late)
    shop.deploy("web", "shop:v2")
    shop.wait(lambda: shop.runs("shop:v3", "web") and shop.ready()[0] == "True", "v3 runs")
    assert arrived
    assert images_migrated(shop) == ["shop:v2 Succeeded", "shop:v3 Succeeded"]
    assert "shop:v2" not in [facts.image(event.object) for event in shop.recorder.events("replicasets")]


def test_the_worker_before_the_web(shop: Shop, operator: Operator) -> None:
    shop.deploy("worker", "worker:v1", key="r1", gate=None)
    running(shop, operator, key="r1", **BY_KEY)
    shop.deploy("worker", "worker:v1", key="r1")
    shop.deploy("worker", "worker:v2", key="r2")
    shop.wait(lambda: shop.ready()[1] == "GateMismatch", "the worker's half alone is not enough")
    shop.assert_explained()
    assert shop.is_held("worker")
    assert not shop.jobs()
    shop.deploy("web", "shop:v2", key="r2")
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.runs("worker:v2", "worker"), "both halves run")
    assert len(shop.jobs()) == 1


def test_the_image_without_the_key_and_the_key_without_the_image(shop: Shop, operator: Operator) -> None:
    shop.deploy("worker", "worker:v1", key="r1", gate=None)
    running(shop, operator, key="r1", **BY_KEY)
    shop.deploy("worker", "worker:v1", key="r1")
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:v2", key="r1")  # the image without the key
    shop.wait(migrating(shop, "shop:v2"), "a new image under an old key is a release of its own")
    shop.assert_explained()
    assert shop.is_held("web")
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.runs("shop:v2", "web"), "v2 runs")
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:v2", key="r3")  # the key without the image
    shop.wait(lambda: len(shop.jobs()) == 2, "a new key is a release of its own, whatever its image")
    shop.assert_explained()
    assert shop.is_held("web")
    shop.deploy("worker", "worker:v2", key="r1")  # the worker's new image under the old key, whose release is migrated
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.ready()[0] == "True", "everything is through")


@pytest.mark.parametrize("first", ["deployment", "resource"])
def test_half_a_release_with_migrations_of_their_own(shop: Shop, operator: Operator, first: str) -> None:
    """With an explicit image the Deployment's key and spec.release tie the two; whichever comes first waits for the other."""
    shop.migration(release="r1", **OWN_IMAGE)
    operator.start()
    shop.deploy("web", "shop:v1", key="r1")
    shop.wait(lambda: shop.runs("shop:v1", "web") and shop.ready()[0] == "True", "r1 runs")

    def deployment() -> None:
        shop.deploy("web", "shop:v2", key="r2")

    def resource() -> None:
        shop.change(release="r2", migration={"image": "migrations:v2"})

    halves = [deployment, resource] if first == "deployment" else [resource, deployment]
    halves[0]()
    if first == "deployment":
        shop.wait(lambda: shop.ready()[1] == "GateMismatch", "the verdict on r1 does not speak for r2")
        shop.assert_explained()
        assert shop.is_held("web")
    halves[1]()
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.ready()[0] == "True", "r2 runs")
    assert len(shop.jobs()) == 2


def test_a_hold_longer_than_the_progress_deadline_is_no_failed_rollout(shop: Shop, operator: Operator) -> None:
    """kube-controller-manager is real: a paused Deployment makes no progress and is not blamed for it."""
    shop.migration()
    operator.start()
    shop.deploy("web", "shop:v1", progressDeadlineSeconds=2)
    shop.wait(lambda: shop.runs("shop:v1", "web"), "v1 runs")
    shop.kubelet.migrate = Fate.RUNS
    mark = shop.recorder.mark()
    shop.deploy("web", "shop:v2", progressDeadlineSeconds=2)
    shop.wait(lambda: shop.is_held("web"), "held")

    def progress() -> dict[str, Any]:
        return facts.condition(shop.recorder.get("deployments", "web"), "Progressing")

    shop.wait(lambda: progress().get("reason") == "DeploymentPaused", "the controller has seen the pause")
    # Each write below has the controller look again, for longer than the deadline.
    for env in range(5):
        shop.recorder.since(len(shop.recorder.seen), 1.0)
        shop.deploy("web", "shop:v2", progressDeadlineSeconds=2, env=f"color-{env}")
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: shop.runs("shop:v2", "web") and shop.ready()[0] == "True", "v2 rolls out after the long hold")
    reasons = {
        facts.condition(event.object, "Progressing").get("reason")
        for event in shop.recorder.events("deployments")
        if event.version > mark
    }
    assert "ProgressDeadlineExceeded" not in reasons
