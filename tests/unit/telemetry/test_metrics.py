from __future__ import annotations

from prometheus_client import generate_latest

from locktender.telemetry.metrics import METRICS, Metrics
from tests.builders import a_migration
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
