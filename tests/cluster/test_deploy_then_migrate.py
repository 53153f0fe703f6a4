"""Strategy DeployThenMigrate: released at once, migrated when the rollout is complete."""

from tests.cluster.kit.manifests import deployment, migration
from tools.kube import facts

STRATEGY = {"strategy": "DeployThenMigrate"}


def started_serving(world, release):
    """The write in which the first pod of a release was ready."""
    found = [e.version for e in world.recorder.events("pods")
             if not facts.step(e.object) and facts.image(e.object).endswith(f":{release}") and facts.is_ready(e.object)]  # fmt: skip
    return min(found)


def test_the_migration_follows_the_rollout(a_world):
    world = a_world()
    world.apply(migration(**STRATEGY), deployment("one"))
    world.wait_rolled_out("one")
    world.wait_condition("Ready", "True")
    world.apply(deployment("two"))
    world.wait_rolled_out("two")
    world.wait(lambda: len(world.migrations_started()) == 2, "the migration of two ran")
    last = world.jobs("migrate")[-1]
    first = next(event.version for event in world.recorder.events("jobs") if event.name == last)
    assert started_serving(world, "two") < first
    world.wait_condition("Ready", "True")


def test_a_failure_is_told_and_shuts_the_gate_for_the_next_version(a_world):
    world = a_world()
    world.apply(migration(**STRATEGY), deployment("two"))
    world.wait_rolled_out("two")
    world.wait_condition("Ready", "True")
    world.apply(deployment("bad"))
    world.wait_rolled_out("bad")
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    world.apply(deployment("mended"))
    world.wait_words("migration of the running version failed")
    assert world.is_held()
    world.never_ran("mended")
