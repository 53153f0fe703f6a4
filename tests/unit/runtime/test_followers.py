"""A running migration's log as metrics: while it runs, each line once, and gone with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from prometheus_client import generate_latest

from locktender.core.observation import ContainerState
from locktender.kube.client import Client
from locktender.runtime.followers import Followers
from locktender.settings import LOG_LINES
from locktender.telemetry.metrics import Metrics
from tests.agent_log import Log, LogServer, a_log
from tests.builders import World, a_migration, a_pod

HERE = ('migration="shop-db"', 'namespace="shop"')
DEADLINE = 5.0  # seconds


def migrating(pod: str = "pod") -> World:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    agent, main = ContainerState("agent", running=True), ContainerState("migrate", running=True)
    return world.pod_of("Migrate", replace(a_pod(agent, main), name=pod))


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


def followers(server: LogServer, metrics: Metrics) -> Followers:
    return Followers(cast("Client", server), metrics, sleep=no_wait, farewell=0.5)


def shown(metrics: Metrics, name: str) -> dict[str, float]:
    """The series of a metric by their labels, without those that name the resource."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith(f"{name}{{")]
    return {_others(labels.removeprefix(name)): float(value) for labels, value in found}


def _others(labels: str) -> str:
    return ",".join(label for label in labels.strip("{}").split(",") if label not in HERE)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def a_busy_log() -> Log:
    log = a_log().baseline().sample(0.5)
    log.sample(
        1.0, blocked=3, longestWait=1.5, worstWait=1.6, blockedSeconds=3.5, waits={"AccessShareLock": 3}, ownWait=0.4,
        blockers=2, walBytes=4096, lagBytes=512, lagSeconds=0.5, deadlocks=1,
    )  # fmt: skip
    return log.cancel(1.0)


async def test_lines_become_metrics_while_the_migration_runs() -> None:
    metrics, server, world = Metrics(), LogServer(a_busy_log(), holds=True), migrating()
    async with followers(server, metrics) as following:
        following.see(world.observation(), world.status)
        await until(lambda: shown(metrics, "locktender_cancellations_total") != {})
        values = {
            "locktender_blocked_sessions": {"": 3.0},
            "locktender_longest_wait_seconds": {"": 1.6},
            "locktender_waiting_sessions": {'mode="AccessShareLock"': 3.0},
            "locktender_blocked_seconds_total": {"": 3.5},
            "locktender_own_wait_seconds": {"": 0.4},
            "locktender_blockers": {"": 2.0},
            "locktender_wal_bytes": {"": 4096.0},
            "locktender_replication_lag_bytes": {"": 512.0},
            "locktender_replication_lag_seconds": {"": 0.5},
            "locktender_deadlocks_total": {"": 1.0},
            "locktender_cancellations_total": {'why="LockBudgetExceeded"': 1.0},
        }
        assert {name: shown(metrics, name) for name in values} == values
        server.log.sample(2.0, blocked=0, blockedSeconds=4.0, deadlocks=1)
        server.say()
        await until(lambda: shown(metrics, "locktender_blocked_seconds_total") == {"": 4.0})
        assert shown(metrics, "locktender_waiting_sessions") == {'mode="AccessShareLock"': 0.0}


async def test_the_last_lines_count_and_then_the_gauges_go() -> None:
    metrics, server, world = Metrics(), LogServer(a_busy_log(), holds=True), migrating()
    async with followers(server, metrics) as following:
        following.see(world.observation(), world.status)
        await until(lambda: shown(metrics, "locktender_blocked_sessions") != {})
        world.migration_ends(0).settle()
        following.see(world.observation(), world.status)
        server.log.sample(3.0, blockedSeconds=5.0, deadlocks=2).ended(3.1)
        server.end()
        await until(lambda: shown(metrics, "locktender_blocked_sessions") == {})
    assert shown(metrics, "locktender_waiting_sessions") == {}
    assert shown(metrics, "locktender_blocked_seconds_total") == {"": 5.0}
    assert shown(metrics, "locktender_deadlocks_total") == {"": 2.0}


async def test_a_log_that_never_ends_does_not_keep_a_follower() -> None:
    metrics, server, world = Metrics(), LogServer(a_busy_log(), holds=True), migrating()
    async with followers(server, metrics) as following:
        following.see(world.observation(), world.status)
        await until(lambda: shown(metrics, "locktender_blocked_sessions") != {})
        following.gone(("shop", "shop-db"))
        await until(lambda: shown(metrics, "locktender_blocked_sessions") == {})


async def test_broken_streams_and_a_controller_that_takes_over_count_everything_once() -> None:
    whole = len("".join(a_busy_log().lines))
    for _ in range(2):  # the second time in a process that has seen nothing yet
        metrics, server, world = Metrics(), LogServer(a_busy_log(), (whole // 3, whole - 20), holds=True), migrating()
        async with followers(server, metrics) as following:
            following.see(world.observation(), world.status)
            await until(lambda: shown(metrics, "locktender_cancellations_total") != {})  # noqa: B023
            assert shown(metrics, "locktender_cancellations_total") == {'why="LockBudgetExceeded"': 1.0}
            assert shown(metrics, "locktender_blocked_seconds_total") == {"": 3.5}
            assert len(server.asked) == 3


async def test_the_next_attempts_pod_is_followed_after_the_one_before() -> None:
    metrics, server, world = Metrics(), LogServer(a_busy_log(), holds=True), migrating()
    async with followers(server, metrics) as following:
        following.see(world.observation(), world.status)
        await until(lambda: shown(metrics, "locktender_blocked_sessions") != {})
        following.see(migrating("another").observation(), world.status)
        await until(lambda: len(server.asked) == 2)
        await until(lambda: shown(metrics, "locktender_blocked_sessions") == {"": 3.0})


async def test_a_flood_of_lines_is_slowed_down() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    log, metrics, world = a_log(), Metrics(), migrating()
    for n in range(2 * LOG_LINES + 1):
        log.sample(n / 10_000, blocked=n)
    following = Followers(cast("Client", LogServer(log, holds=True)), metrics, sleep=sleep, clock=lambda: 0.0)
    async with following:
        following.see(world.observation(), world.status)
        await until(lambda: shown(metrics, "locktender_blocked_sessions") == {"": 2.0 * LOG_LINES})
    assert slept == [1.0, 1.0]


async def test_a_migration_that_does_not_run_is_not_followed() -> None:
    metrics, server = Metrics(), LogServer(a_busy_log())
    async with followers(server, metrics) as following:
        for world in (a_migration(), migrating().migration_ends(0)):
            world.settle()
            following.see(world.observation(), world.status)
        await asyncio.sleep(0)
    assert server.asked == []
