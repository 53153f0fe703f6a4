"""What belongs to a release: several Deployments behind one migration, reverts, and halves that do not fit."""

from tests.cluster.kit.manifests import deployment, image, migration


def test_two_deployments_of_one_image_pass_together_after_one_migration(a_world):
    world = a_world()
    source = {"from": {"deployment": "web"}}
    world.apply(migration(migration=source), deployment("one"), deployment("one", "worker"))
    for name in ("web", "worker"):
        world.wait_rolled_out("one", name)
    world.never_too_early("one")
    mark = world.recorder.mark()

    world.apply(deployment("two"), deployment("two", "worker"))
    for name in ("web", "worker"):
        world.wait_rolled_out("two", name)
    world.never_too_early("two")
    assert len(world.migrations_started(mark)) == 1
    assert len(world.jobs("backup", mark)) == 1


def test_a_worker_of_another_image_waits_until_it_is_tied_to_the_release(a_world):
    world = a_world()
    source = {"from": {"deployment": "web"}}
    world.apply(migration(migration=source), deployment("one"), deployment("two", "worker"))
    world.wait_rolled_out("one")
    world.wait_words("worker", "locktender.dev/key")
    assert world.is_held("worker")
    world.never_ran("two")
    world.apply(
        migration(migration=source, release="r1"), deployment("one", key="r1"), deployment("two", "worker", key="r1")
    )
    world.wait_rolled_out("two", "worker")


def test_a_revert_to_a_verified_image_passes_at_once_without_a_job(a_world):
    world = a_world()
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")
    world.apply(deployment("two"))
    world.wait_rolled_out("two")
    mark = world.recorder.mark()
    world.apply(deployment("one"))
    world.wait_rolled_out("one")
    assert world.jobs("backup", mark) == []
    assert world.jobs("migrate", mark) == []


def test_after_a_failure_the_way_back_is_open_at_once(a_world):
    world = a_world()
    world.apply(migration(), deployment("two"))
    world.wait_rolled_out("two")
    world.apply(deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    world.apply(deployment("two"))
    world.wait(lambda: not world.deployment()["spec"].get("paused"), "the gate opens for the version before", 20)
    world.wait_rolled_out("two")
    world.never_ran("bad")
    assert world.deployment()["spec"]["template"]["spec"]["containers"][0]["image"] == image("two")


def test_a_newer_release_that_comes_while_one_is_migrated_gets_its_own_run(a_world):
    world = a_world()
    slow = {"command": ["sh", "-c", "sleep 8"]}
    world.apply(migration("Command", migration=slow), deployment("one"))
    world.wait(lambda: len(world.migrations_started()) == 1, "the first migration runs")
    world.apply(deployment("two"))
    world.wait_rolled_out("two")
    world.never_too_early("two")
    world.never_ran("one")
    assert len(world.migrations_started()) == 2
