"""The report of an attempt: made once, after everything that people wait for, and given up when its log stays out of reach."""

from __future__ import annotations

from dataclasses import replace

from locktender.core.actions import StoreReport
from locktender.core.observation import ContainerState
from locktender.settings import REPORT_PATIENCE, REPORT_RETRY, TTL_SUCCEEDED
from tests.builders import World, a_migration, a_pod, ended

RUNNING_AGENT = ContainerState("agent", running=True)


def migrating() -> World:
    """A run whose migration is about to end."""
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    return world


def agent_ends(world: World, code: int = 0, *, restarts: int = 0) -> World:
    agent = replace(ended("agent", 0), restarts=restarts)
    return world.pod_of("Migrate", a_pod(agent, ended("migrate", code), phase="Succeeded"), complete=code == 0)


def of_the_migration(world: World) -> str | None:
    assert world.status.run is not None
    return world.status.run.step("Migrate").report


def test_the_gate_opens_while_the_agent_still_runs_and_the_report_comes_after_it() -> None:
    world = migrating().migration_ends(0)
    world.settle()
    assert (world.released, world.reports) == ([("web", ("shop:v2",))], [])
    agent_ends(world).settle()
    job = world.job("Migrate")
    assert world.reports == [StoreReport(job.name, "pod", job.run_id, 1, "shop:v2", "", 2.0, restarted=False)]
    assert of_the_migration(world) == job.name


def test_one_report_is_made_of_an_attempt_and_only_then_its_job_may_go() -> None:
    world = agent_ends(migrating().migration_ends(0))
    world.logs_can_be_read = False
    world.settle()
    assert world.job("Migrate").ttl is None
    world.logs_can_be_read = True
    made = len(world.reports)
    world.step()
    world.step()
    assert world.job("Migrate").ttl == TTL_SUCCEEDED
    for _ in range(3):
        world.step(1.0)
    assert len(world.reports) == made + 1


def test_a_log_that_stays_out_of_reach_delays_no_verdict_and_is_given_up_after_a_minute() -> None:
    world = agent_ends(migrating().migration_ends(0))
    world.logs_can_be_read = False
    decision = world.settle()
    assert world.condition("Ready") is not None
    assert world.released == [("web", ("shop:v2",))]
    assert decision.requeue == REPORT_RETRY
    world.step(REPORT_PATIENCE - 1)
    assert world.job("Migrate").ttl is None
    asked = len(world.reports)
    decision = world.step(2.0)
    assert (len(world.reports), world.job("Migrate").ttl, of_the_migration(world)) == (asked, TTL_SUCCEEDED, None)
    assert world.step().requeue is None


def test_an_agent_that_does_not_end_is_looked_at_again_when_the_patience_is_over() -> None:
    world = migrating().migration_ends(0)
    decision = world.settle()
    assert decision.requeue is not None
    assert REPORT_RETRY < decision.requeue <= REPORT_PATIENCE
    world.step(REPORT_PATIENCE + 1)
    assert (world.reports, world.step().requeue) == ([], None)


def test_the_report_of_a_run_that_another_has_followed_at_once_is_made_too() -> None:
    world = migrating().migration_ends(0)
    world.settle()
    first = world.job("Migrate").name
    world.holds("web", "shop:v3").settle()
    assert world.status.run is not None
    assert world.status.run.image == "shop:v3"
    job = world.jobs[first]
    world.jobs[first] = replace(job, pod=a_pod(ended("agent", 0), ended("migrate", 0)), complete=True)
    world.settle()
    assert [action.name for action in world.reports] == [first]
    assert world.jobs[first].ttl == TTL_SUCCEEDED


def test_without_a_migration_that_was_started_there_is_no_report() -> None:
    world = migrating()
    refused = a_pod(ended("agent", 75, "it waits"), ContainerState("migrate", waiting_reason="PodInitializing"))
    world.pod_of("Migrate", refused, failed=True)
    world.settle()
    assert world.reports == []


def test_an_agent_that_was_restarted_has_an_earlier_log() -> None:
    world = agent_ends(migrating().migration_ends(0), restarts=1)
    world.settle()
    assert [action.restarted for action in world.reports] == [True]
