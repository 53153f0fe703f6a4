"""The controller's loop on a real API server: one good run, one bad, and a death at every single call."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from locktender.core.errors import JobRefused, Stale, UnreadableStatus
from locktender.kube import paths
from locktender.runtime.reconciler import Reconciler
from tests.apiserver.stage import Crash, Stage, dying, interfered, stage

pytestmark = pytest.mark.apiserver


async def test_a_release_is_backed_up_migrated_and_let_through(controller_server: Path) -> None:
    async with stage(controller_server, "good") as scene:
        await scene.set_up()
        await scene.hold("web", "shop:v2")
        found = await scene.settle(scene.reconciler())
        assert found["status"]["run"]["outcome"] == "Succeeded"
        deployment = await scene.client.get(paths.deployments("good", "web"))
        assert deployment is not None
        assert "paused" not in deployment["spec"]
        assert deployment["metadata"]["annotations"]["locktender.dev/released"] == f"{found['status']['run']['id']}@1"
        assert "locktender.dev/held" not in deployment["metadata"]["annotations"]
        backups = await scene.client.list(paths.backups("good"))
        assert [item["status"]["verification"] for item in backups] == ["Decoded"]


async def test_a_failed_migration_leaves_the_gate_closed(controller_server: Path) -> None:
    async with stage(controller_server, "bad") as scene:
        await scene.set_up(migration={"framework": "Command", "command": ["./migrate"]})
        await scene.hold("web", "shop:v2")
        found = await scene.settle(scene.reconciler(), migrate_code=1)
        assert found["status"]["run"]["outcome"] == "Failed"
        deployment = await scene.client.get(paths.deployments("bad", "web"))
        assert deployment is not None
        assert deployment["spec"]["paused"] is True


async def test_a_stale_verdict_cannot_release_another_image(controller_server: Path) -> None:
    """The image changes between the verdict and the release: the guarded patch fails, the next pass sees the truth."""
    async with stage(controller_server, "race") as scene:
        await scene.set_up()
        await scene.hold("web", "shop:v2")
        async with interfered(controller_server, "race") as client:
            reconciler = scene.reconciler(client)
            with pytest.raises(Stale, match="not what was judged"):
                await _until_refused(scene, reconciler)
            assert client.done
        found = await scene.client.get(paths.migrations("race", "shop-db"))
        assert found is not None
        assert [verdict["image"] for verdict in found["status"]["verdicts"]] == ["shop:v2"]
        deployment = await scene.client.get(paths.deployments("race", "web"))
        assert deployment is not None
        assert deployment["spec"]["paused"] is True


async def _until_refused(scene: Stage, reconciler: Reconciler) -> None:
    for _ in range(40):
        await reconciler.reconcile((scene.namespace, "shop-db"))
        await scene.kubelet()


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
async def test_a_death_at_any_call_repeats_nothing_and_loses_nothing(controller_server: Path, after: bool) -> None:
    """Enumerates every API call of a whole run; at each one the process dies, and a fresh one takes over."""
    calls = await _calls_of_a_run(controller_server, after=after)
    assert calls > 30, "a whole run takes more calls than that"
    at_once = asyncio.Semaphore(6)

    async def one(point: int) -> None:
        async with at_once:
            await _survives_a_death_at(controller_server, point, after=after)

    async with asyncio.TaskGroup() as group:
        for point in range(1, calls + 1):
            group.create_task(one(point))


async def _calls_of_a_run(kubeconfig: Path, *, after: bool) -> int:
    """How many API calls a whole run takes when nobody dies."""
    async with stage(kubeconfig, f"crash-none-{after}".lower()) as scene, dying(kubeconfig, 0, after=after) as client:
        await scene.set_up()
        await scene.hold("web", "shop:v2")
        await scene.settle(scene.reconciler(client))
        return client.calls


async def _survives_a_death_at(kubeconfig: Path, point: int, *, after: bool) -> None:
    async with stage(kubeconfig, f"crash-{after}-{point}".lower()) as scene:
        await scene.set_up()
        await scene.hold("web", "shop:v2")
        async with dying(kubeconfig, point, after=after) as client:
            # A run that takes fewer calls than the counted one ends without a death; that is fine too.
            with contextlib.suppress(Crash):
                await scene.settle(scene.reconciler(client))
        found = await scene.settle(scene.reconciler())
        assert len(await scene.jobs("backup")) == 1, point
        assert len(await scene.jobs("migrate")) == 1, point
        assert found["status"]["run"]["outcome"] == "Succeeded", point
        assert found["status"]["run"]["attempt"] == 1, point
        assert len(found["status"]["history"]) == 1, point
        deployment = await scene.client.get(paths.deployments(scene.namespace, "web"))
        assert deployment is not None
        assert "paused" not in deployment["spec"], point
        events = await scene.client.list(f"/apis/events.k8s.io/v1/namespaces/{scene.namespace}/events")
        ours = [event["reason"] for event in events if event.get("reportingController") == "locktender.dev/controller"]
        assert len(ours) == len(set(ours)), (point, sorted(ours))


async def test_a_job_that_the_server_refuses_is_told_and_tried_again(controller_server: Path) -> None:
    async with stage(controller_server, "quota") as scene:
        await scene.set_up()
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"count/jobs.batch": "0"}},
        }
        await scene.client.create("/api/v1/namespaces/quota/resourcequotas", quota)
        where = "/api/v1/namespaces/quota/resourcequotas/none"
        for _ in range(200):  # a quota holds once its controller has counted
            if ((await scene.client.get(where)) or {}).get("status", {}).get("hard"):
                break
            await asyncio.sleep(0.05)
        await scene.hold("web", "shop:v2")
        reconciler = scene.reconciler()
        with pytest.raises(JobRefused, match="exceeded quota"):
            await _turn(reconciler, "quota", 10)
        found = await scene.client.get(paths.migrations("quota", "shop-db"))
        assert found is not None
        ready = next(item for item in found["status"]["conditions"] if item["type"] == "Ready")
        assert ready["reason"] == "JobRefused"
        assert "exceeded quota" in ready["message"]
        template = {"template": {"spec": {"containers": [{"name": "app", "image": "shop:v3"}]}}}
        await scene.client.patch(paths.deployments("quota", "web"), {"spec": template}, "merge")
        await scene.client.delete(where)
        found = await scene.settle(scene.reconciler())
        assert found["status"]["run"]["outcome"] == "Succeeded"
        assert found["status"]["run"]["image"] == "shop:v3", "a newer version overtakes a run whose Job was refused"


async def test_a_foreign_job_with_our_label_ends_nothing(controller_server: Path) -> None:
    async with stage(controller_server, "foreign") as scene:
        await scene.set_up()
        container = {"name": "main", "image": "x"}
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "theirs", "labels": {"app.kubernetes.io/managed-by": "locktender"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        }
        await scene.client.create(paths.jobs("foreign"), body)
        reconciler = scene.reconciler()
        await reconciler.list_all()
        assert len(reconciler.queue) >= 1


async def test_a_status_of_a_newer_version_is_neither_guessed_nor_overwritten(controller_server: Path) -> None:
    async with stage(controller_server, "newer") as scene:
        await scene.set_up()
        strange = {"status": {"observedGeneration": 1, "run": {"id": "x-1"}}}
        await scene.client.patch(paths.migrations("newer", "shop-db", "status"), strange, "merge")
        with pytest.raises(UnreadableStatus, match="newer version"):
            await _turn(scene.reconciler(), "newer", 1)
        found = await scene.client.get(paths.migrations("newer", "shop-db"))
        assert found is not None
        assert found["status"]["run"] == {"id": "x-1"}


async def _turn(reconciler: Reconciler, namespace: str, times: int) -> None:
    for _ in range(times):
        await reconciler.reconcile((namespace, "shop-db"))
