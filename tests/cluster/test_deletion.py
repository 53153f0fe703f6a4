"""What happens to a held Deployment when its DatabaseMigration is deleted."""

import time

from tests.cluster.kit.manifests import MIGRATION, deployment, image, migration
from tools.kube import facts


def held_and_failed(world, on_delete):
    world.apply(migration(gate={"onDelete": on_delete}), deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False")
    world.kubectl("delete", "dbm", MIGRATION, "--timeout=30s")


def test_with_hold_it_stays_held_and_a_new_migration_takes_over(a_world):
    world = a_world()
    held_and_failed(world, "Hold")
    time.sleep(5)
    assert world.is_held()
    world.never_ran("bad")
    world.apply(migration(), deployment("mended"))
    world.wait_rolled_out("mended")
    world.never_too_early("mended")


def test_with_release_it_is_let_through(a_world):
    world = a_world()
    held_and_failed(world, "Release")
    world.wait_rolled_out("bad")


def test_a_running_migration_is_finished_before_the_resource_goes(a_world):
    world = a_world()
    world.apply(migration("Command", migration={"command": ["sh", "-c", "sleep 6"]}), deployment("one"))
    world.wait(world.migrations_started, "the migration runs")
    world.kubectl("delete", "dbm", MIGRATION, "--wait=false")
    world.wait(lambda: world.dbm is None, "the resource is gone", 60)
    assert facts.verdict_version(world.recorder, image("one")), "the migration was killed"
