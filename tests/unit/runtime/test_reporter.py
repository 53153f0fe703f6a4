"""Reports are made beside the passes: none waits for a log, and none is lost because one try failed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from locktender.core.actions import StoreReport
from locktender.core.errors import ApiError
from locktender.core.observation import Observation
from locktender.kube.act import Actor
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reporter import Reporter
from tests.builders import a_migration


@dataclass
class Acting:
    """Stands in for the actor: each try ends as the test says."""

    ends: list[asyncio.Future[str]] = field(default_factory=list)

    async def perform(self, _: Observation, __: StoreReport) -> str:
        self.ends.append(asyncio.get_running_loop().create_future())
        return await self.ends[-1]


def an_attempt() -> tuple[Observation, StoreReport]:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    job = world.job("Migrate")
    return world.observation(), StoreReport(job.name, "pod", job.run_id, 1, "shop:v2", "")


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_pass_does_not_wait_and_the_next_one_finds_the_report_made() -> None:
    acting, queue = Acting(), WorkQueue(lambda: 0.0)
    observation, action = an_attempt()
    async with Reporter(cast("Actor", acting), queue) as reporter:
        assert [reporter.made(observation, action) for _ in range(3)] == ["", "", ""]
        await rest()
        assert (len(acting.ends), len(queue)) == (1, 0)
        acting.ends[0].set_result(action.name)
        await rest()
        assert (await queue.get())[0] == ("shop", "shop-db")
        assert reporter.made(observation, action) == action.name


async def test_a_log_that_cannot_be_read_is_asked_for_again_by_a_later_pass() -> None:
    for failure in (ApiError(500, "InternalError", "the node does not answer"), RuntimeError("a bug")):
        acting, queue = Acting(), WorkQueue(lambda: 0.0)
        observation, action = an_attempt()
        async with Reporter(cast("Actor", acting), queue) as reporter:
            reporter.made(observation, action)
            await rest()
            acting.ends[0].set_exception(failure)
            await rest()
            assert len(queue) == 0, "no hot loop: the resource asks for its own next pass"
            assert reporter.made(observation, action) == ""
            await rest()
            assert len(acting.ends) == 2


async def test_what_is_unfinished_ends_with_the_process() -> None:
    acting = Acting()
    observation, action = an_attempt()
    async with Reporter(cast("Actor", acting), WorkQueue(lambda: 0.0)) as reporter:
        reporter.made(observation, action)
        await rest()
    assert acting.ends[0].cancelled()
