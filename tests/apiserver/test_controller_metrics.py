"""What a controller at work on a real API server exposes: the series that the alerts and dashboards ask for, with their labels."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from locktender.api.status import moment
from locktender.runtime.http import Health, serve
from tests.apiserver.stage import stage
from tests.apiserver.webhook import free_port

pytestmark = pytest.mark.apiserver
SHOWN = (
    "locktender_last_backup_timestamp_seconds",
    "locktender_lock_budget_seconds",
    "locktender_stalled",
    "locktender_stalled_reason",
    "locktender_step_start_timestamp_seconds",
)
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Series:
    """The series of an exposition, by name and labels."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def scraped(health: Health) -> Series:
    port = free_port()
    runner = await serve(health, port)
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return read(await answer.text())
    finally:
        await runner.cleanup()


async def test_a_failed_release_is_exposed_as_the_alerts_want_it(controller_server: Path) -> None:
    async with stage(controller_server, "exposed") as scene:
        await scene.set_up()
        await scene.hold("web", "shop:v2")
        reconciler = scene.reconciler()
        found = await scene.settle(reconciler, migrate_code=1)
        backup = next(step for step in found["status"]["run"]["steps"] if step["name"] == "Backup")
        series = await scraped(Health(reconciler.metrics, leading=True))

    name = found["metadata"]["name"]
    resource = frozenset({("namespace", "exposed"), ("migration", name)})
    assert {key: value for key, value in series.items() if key[0] in SHOWN} == {
        ("locktender_last_backup_timestamp_seconds", resource): moment(backup["endTime"]).timestamp(),
        ("locktender_lock_budget_seconds", resource): 2.0,
        ("locktender_stalled", resource): 1.0,
        ("locktender_stalled_reason", resource | {("reason", "Failed")}): 1.0,
    }
    assert series["locktender_runs_total", frozenset({("outcome", "Failed")})] == 1.0
    assert series["locktender_runs_total", frozenset({("outcome", "Succeeded")})] == 0.0
    assert series["locktender_leader", frozenset()] == 1.0
