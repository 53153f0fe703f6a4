"""v1 to v2 by plain `kubectl apply`, in every order: the new version never runs before its migration has ended well."""

import time

import pytest

from tests.cluster.kit.manifests import deployment, migration


def deployment_first(world, release):
    world.apply(deployment(release))
    world.apply(migration())


def migration_first(world, release):
    world.apply(migration())
    world.apply(deployment(release))


def one_file(world, release):
    world.apply(migration(), deployment(release))


def one_file_the_other_way_round(world, release):
    world.apply(deployment(release), migration())


@pytest.mark.parametrize("order", [deployment_first, migration_first, one_file, one_file_the_other_way_round])
def test_a_release_waits_for_its_migration_whatever_is_applied_first(a_world, order):
    world = a_world(order.__name__.replace("_", "-")[:12].strip("-"))
    order(world, "one")
    world.wait_rolled_out("one")
    order(world, "two")
    world.wait_rolled_out("two")
    for release in ("one", "two"):
        world.never_too_early(release)
    assert len(world.migrations_started()) == 2
    assert world.database.query("SELECT count(price_cents) FROM items") == ["3"]


def test_a_migration_that_comes_a_minute_later(a_world):
    world = a_world()
    world.apply(deployment("one"))
    world.wait(world.is_held, "held at once", 10)
    time.sleep(60)
    assert world.is_held()
    world.never_ran("one")
    world.apply(migration())
    world.wait_rolled_out("one")
    world.never_too_early("one")


def test_what_is_already_running_is_not_migrated_again_when_it_gets_its_label(a_world):
    world = a_world()
    world.apply(deployment("one", gated=False))
    world.wait_rolled_out("one")
    world.apply(migration())
    world.apply(deployment("one"))
    world.wait_condition("Ready", "True")
    assert world.jobs("migrate") == []
    world.apply(deployment("two"))
    world.wait_rolled_out("two")
    world.never_too_early("two")
