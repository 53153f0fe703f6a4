"""How many calls, one after another, stand between a person and the new version. Counted, so that no clock can lie about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from locktender.kube import paths
from tests.apiserver.stage import counting, stage

pytestmark = pytest.mark.apiserver
# Asked in two rounds: the first three at once, then the other two at once.
A_LOOK = ["GET databasemigrations", "GET pods", "GET deployments", "GET jobs", "GET leases"]
NO_BACKUP = {"policy": "Skip", "reason": "a test", "storage": None}


def before_events(calls: list[str]) -> list[str]:
    """The calls up to the first Event; Events come last, when nobody waits any more."""
    return calls[: calls.index("POST events")]


async def test_from_a_held_deployment_to_its_job_there_is_one_look_and_no_event(controller_server: Path) -> None:
    async with stage(controller_server, "calls-start") as scene, counting(controller_server) as client:
        await scene.set_up(migration={"framework": "Command", "command": ["true"]}, backup=NO_BACKUP)
        await scene.hold("web", "shop:v2")
        await scene.reconciler(client).reconcile(("calls-start", "shop-db"))
        assert before_events(client.calls) == [
            *A_LOOK,
            "PATCH databasemigrations",  # the finalizer
            "PATCH databasemigrations/status",  # the run
            "PATCH databasemigrations/status",  # no backup
            "POST leases",
            "POST jobs",
            "PATCH databasemigrations/status",  # the Job
        ]
        assert set(client.calls[len(before_events(client.calls)) :]) == {"POST events"}


async def test_from_the_end_of_the_migration_to_the_open_gate_there_are_one_look_and_two_writes(
    controller_server: Path,
) -> None:
    async with stage(controller_server, "calls-end") as scene, counting(controller_server) as client:
        await scene.set_up(migration={"framework": "Command", "command": ["true"]}, backup=NO_BACKUP)
        await scene.hold("web", "shop:v2")
        reconciler = scene.reconciler(client)
        await reconciler.reconcile(("calls-end", "shop-db"))
        await scene.end_pod("migrate")
        client.calls.clear()
        await reconciler.reconcile(("calls-end", "shop-db"))
        calls = before_events(client.calls)
        assert calls[: len(A_LOOK) + 2] == [*A_LOOK, "PATCH databasemigrations/status", "PATCH deployments"]
        assert set(calls[len(A_LOOK) + 2 :]) <= {
            "PATCH databasemigrations/status",
            "PATCH databasemigrations",
            "PATCH jobs",
        }
        found = await scene.client.get(paths.deployments("calls-end", "web"))
        assert found is not None
        assert "paused" not in found["spec"]
