from __future__ import annotations

from prometheus_client import generate_latest

from locktender.api.status import Outcome, moment
from locktender.core import summary
from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import METRICS
from tests.builders import NOON, a_migration, a_pod
from tests.builders import ended as ended_container
from tests.unit.core.test_decide import migrated


def test_every_metric_of_the_table_is_exposed_with_its_help() -> None:
    text = generate_latest(Metrics().registry).decode()
    for metric in METRICS:
        assert f"# HELP {metric.name}" in text
        assert metric.name.startswith("locktender_")


def test_a_run_is_counted_once_however_often_its_status_is_stored() -> None:
    metrics, world = Metrics(), a_migration().holds("web", "shop:v2")
    for _ in range(2):
        while True:
            before = world.observation()
            decision = world.step()
            metrics.status_stored(before, decision.status)
            if decision.requeue != 0.0:
                break
        if world.created == ["Backup"]:
            world.backup_ends_well()
    migrated_world = world.migration_ends(0)
    for _ in range(6):
        before = migrated_world.observation()
        metrics.status_stored(before, migrated_world.step().status)
    text = generate_latest(metrics.registry).decode()
    assert 'locktender_runs_total{outcome="Succeeded"} 1.0' in text
    assert 'locktender_step_duration_seconds_count{outcome="Succeeded",step="Migrate"} 1.0' in text


def test_the_series_of_a_deleted_resource_are_removed() -> None:
    metrics = Metrics()
    world = migrated(a_migration().holds("web", "shop:v2"))
    metrics.show(world.observation(), world.status)
    assert 'migration="shop-db"' in generate_latest(metrics.registry).decode()
    metrics.forget("shop", "shop-db")
    assert 'migration="shop-db"' not in generate_latest(metrics.registry).decode()


def test_held_deployments_and_since_when_are_shown() -> None:
    metrics, world = Metrics(), a_migration().holds("web", "shop:v2")
    world.settle()
    metrics.show(world.observation(), world.status)
    text = generate_latest(metrics.registry).decode()
    assert 'locktender_held_deployments{migration="shop-db",namespace="shop"} 1.0' in text
    assert 'locktender_step{migration="shop-db",namespace="shop",state="Running",step="Backup"} 1.0' in text


def test_the_step_under_way_is_shown_with_its_start_and_only_that_step() -> None:
    metrics, world = Metrics(), a_migration().holds("web", "shop:v2")
    world.settle()
    metrics.show(world.observation(), world.status)
    world.backup_ends_well().settle()
    metrics.show(world.observation(), world.status)
    run = world.status.run
    assert run is not None
    began = run.step("Migrate").start_time
    assert began is not None
    shown = series(metrics, "locktender_step_start_timestamp_seconds")
    assert shown == {'migration="shop-db",namespace="shop",step="Migrate"': moment(began).timestamp()}
    world.migration_ends(0).settle()
    metrics.show(world.observation(), world.status)
    assert series(metrics, "locktender_step_start_timestamp_seconds") == {}


def test_the_reason_why_a_person_is_needed_is_shown_until_none_is() -> None:
    metrics, world = Metrics(), a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(1).settle()
    metrics.show(world.observation(), world.status)
    assert series(metrics, "locktender_stalled_reason") == {'migration="shop-db",namespace="shop",reason="Failed"': 1.0}
    migrated(world.holds("web", "shop:v3"))
    metrics.show(world.observation(), world.status)
    assert series(metrics, "locktender_stalled_reason") == {}


def test_a_reason_that_a_pod_has_made_up_is_no_label() -> None:
    metrics, world = Metrics(), a_migration().holds("web", "shop:v2")
    world.settle()
    status = summary.stalled(world.observation(), world.status, "MadeUp4711", "It was so.", NOON)
    metrics.show(world.observation(), status)
    assert series(metrics, "locktender_stalled_reason") == {'migration="shop-db",namespace="shop",reason="Other"': 1.0}


def test_the_time_of_the_last_proved_backup_outlives_a_backup_that_fails() -> None:
    metrics, world = Metrics(), migrated(a_migration().holds("web", "shop:v2"))
    assert world.status.run is not None
    ended = world.status.run.step("Backup").end_time
    assert ended is not None
    metrics.show(world.observation(), world.status)
    world.holds("web", "shop:v3").settle()
    world.pod_of("Backup", a_pod(ended_container("backup", 1)), failed=True).settle()
    metrics.show(world.observation(), world.status)
    labels = 'migration="shop-db",namespace="shop"'
    assert world.condition("BackupReady")[0] == "False"
    assert series(metrics, "locktender_last_backup_timestamp_seconds") == {labels: moment(ended).timestamp()}
    assert series(metrics, "locktender_lock_budget_seconds") == {labels: 2.0}


def test_every_outcome_of_a_run_is_counted_from_nought() -> None:
    shown = series(Metrics(), "locktender_runs_total")
    assert shown == {f'outcome="{outcome}"': 0.0 for outcome in Outcome}


def series(metrics: Metrics, name: str) -> dict[str, float]:
    """The series of one metric, by their labels."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    found = (line.removeprefix(f"{name}{{").rpartition("} ") for line in lines if line.startswith(f"{name}{{"))
    return {labels: float(value) for labels, _, value in found}
