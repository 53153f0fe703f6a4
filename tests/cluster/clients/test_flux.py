"""Flux's kustomize-controller: `wait` ends when the release is out or failed, and nothing is written while nothing changes."""

from contextlib import ExitStack

import pytest

from tests.cluster.clients import flux as fluxes
from tests.cluster.kit.manifests import deployment, image, migration
from tests.cluster.kit.writes import but_status

NO_BACKUP = {"policy": "Skip", "reason": "the test throws the database away"}
RECONCILIATIONS = 50
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after"}, "data": {"release": "one"}}


@pytest.fixture
def a_flux(tmp_path):
    with ExitStack() as opened:
        yield lambda world: opened.enter_context(fluxes.flux(world, tmp_path))


def release(name):
    return migration(backup=NO_BACKUP, release=name), deployment(name)


def test_a_kustomization_waits_and_what_depends_on_it_is_applied_only_when_the_release_is_out(a_world, a_flux):
    world = a_world()
    flux = a_flux(world)
    first = flux.publish("app", *release("one"))
    after = flux.publish("after", CONFIG)
    flux.kustomization("app")
    flux.kustomization("after", dependsOn=[{"name": "app"}])
    world.wait(world.is_held, "the release is held")
    assert flux.ready("app").get("status") != "True"
    flux.wait_ready("app", first)
    assert_out(world, "one")
    world.never_too_early("one")
    flux.wait_ready("after", after)
    dependent = world.api.get(f"/api/v1/namespaces/{world.name}/configmaps/after")
    let_go = next(
        event.version for event in world.recorder.events("deployments") if not event.object["spec"].get("paused")
    )
    assert int(dependent["metadata"]["resourceVersion"]) > let_go

    mark = world.recorder.mark()
    second = flux.publish("app", *release("two"))
    flux.wait_ready("app", second)
    assert_out(world, "two")
    world.never_too_early("two")
    assert len(world.migrations_started(mark)) == 1


def test_a_failed_migration_is_told_at_once_and_drift_of_a_held_deployment_is_corrected_without_a_fight(
    a_world, a_flux
):
    world = a_world()
    flux = a_flux(world)
    flux.kustomization("app")
    flux.wait_ready("app", flux.publish("app", *release("two")))
    assert_no_writes(world, flux, "released")

    bad = flux.publish("app", *release("bad"))
    told = flux.wait_ready("app", bad, "False")
    assert told["reason"] == "HealthCheckFailed"
    assert "DatabaseMigration" in told["message"]
    assert "Failed" in told["message"], told
    assert world.is_held()
    assert_no_writes(world, flux, "held")

    world.kubectl("set", "env", "deployment/web", "DRIFT=yes")
    flux.reconcile("app")
    live = world.api.get(f"/apis/apps/v1/namespaces/{world.name}/deployments/web")
    assert "DRIFT" not in str(live["spec"])
    assert live["spec"]["paused"] is True
    world.never_ran("bad")

    back = flux.publish("app", *release("two"))
    flux.wait_ready("app", back)
    assert_out(world, "two")


def test_force_recreates_the_deployment_and_the_new_one_is_held_like_any_other(a_world, a_flux):
    world = a_world()
    flux = a_flux(world)
    flux.kustomization("app", force=True)
    flux.wait_ready("app", flux.publish("app", *release("one")))
    before = world.deployment()["metadata"]["uid"]
    resource, other = release("two")
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    revision = flux.publish("app", resource, other)
    world.wait(lambda: world.deployment()["metadata"].get("uid") not in (None, before), "it was recreated")
    flux.wait_ready("app", revision)
    assert_out(world, "two")
    world.never_too_early("two")


def assert_out(world, wanted):
    live = world.api.get(f"/apis/apps/v1/namespaces/{world.name}/deployments/web")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == image(wanted)
    assert "paused" not in live["spec"]
    assert live["status"]["updatedReplicas"] == live["status"]["availableReplicas"] == 1


def assert_no_writes(world, flux, state):
    """RECONCILIATIONS in a row write neither object."""
    before = versions(world)
    for _ in range(RECONCILIATIONS):
        flux.reconcile("app")
    assert versions(world) == before, f"{RECONCILIATIONS} reconciliations wrote while {state}"


def versions(world):
    where = f"namespaces/{world.name}"
    objects = (
        world.api.get(f"/apis/apps/v1/{where}/deployments/web"),
        world.api.get(f"/apis/locktender.dev/v1alpha1/{where}/databasemigrations/app-db"),
    )
    return [but_status(item) for item in objects]
