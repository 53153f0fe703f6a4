"""A migration that fails: the version before keeps serving, the gate stays shut, the status says why and what to type."""

from tests.cluster.kit.manifests import deployment, migration
from tools.kube import facts


def serving(world, release):
    world.wait(lambda: [pod for pod in world.recorder.objects("pods") if facts.is_ready(pod) and facts.image(pod).endswith(release)],
               f"a ready pod of {release}", 10)  # fmt: skip


def test_the_version_before_serves_on_and_a_mended_release_recovers(a_world):
    world = a_world()
    world.apply(migration(), deployment("two"))
    world.wait_rolled_out("two")

    world.apply(deployment("bad"))
    told = world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    assert "20260103000000_unique_names" in told["message"]
    assert "kubectl" in told["message"]
    assert "apple" not in told["message"], "a row's value in the status"
    assert world.is_held()
    serving(world, ":two")
    world.never_ran("bad")

    world.apply(deployment("mended"))
    world.wait_rolled_out("mended")
    world.never_too_early("mended")
    world.never_ran("bad")
    assert world.condition("Ready")["status"] == "True"


def test_the_same_release_passes_after_the_data_were_mended_and_a_retry(a_world):
    world = a_world()
    world.apply(migration(), deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    world.never_ran("bad")
    world.database.query("DELETE FROM items a USING items b WHERE a.name = b.name AND a.id > b.id")
    world.retry()
    world.wait_rolled_out("bad")
    world.never_too_early("bad")


def test_without_a_new_release_or_a_retry_a_failed_migration_is_not_tried_again(a_world):
    world = a_world()
    world.apply(migration(), deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    world.kubectl("scale", "deployment/web", "--replicas=2")
    world.wait(lambda: world.deployment()["spec"].get("replicas") == 2, "scaled while held", 10)
    world.apply(migration())
    assert len(world.migrations_started()) == 1
    assert world.is_held()
