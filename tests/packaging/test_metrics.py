"""The metrics as Prometheus' own linter sees them."""

from __future__ import annotations

import subprocess

import pytest
from prometheus_client import generate_latest

from locktender.core.agent_facts import Sample, Stop
from locktender.telemetry.metrics import Metrics
from tests.packaging import promtool
from tests.unit.core.test_decide import a_migration, migrated

pytestmark = pytest.mark.packaging


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    metrics = Metrics()
    world = a_migration().holds("web", "shop:v2")
    before = world.observation()
    status = migrated(world).status
    metrics.status_stored(before, status)
    metrics.show(world.observation(), status)
    running = metrics.locks("shop", "shop-db")
    running.sample(Sample(blocked=2, waits=(("AccessShareLock", 2),), blocked_seconds=1.5, deadlocks=1))
    running.stopped(Stop("cancel", 40, "LockBudgetExceeded", 2.0, "AccessExclusiveLock", "public.orders", "", 2))
    metrics.api_call("GET", "200", 0.01)
    metrics.failed("api")
    checked = subprocess.run(
        [promtool.program("promtool"), "check", "metrics"],
        input=generate_latest(metrics.registry),
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
    assert checked.stderr == b""
