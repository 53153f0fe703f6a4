"""Commands in the application's own image: Alembic's preset by the real tool, and how a command that does not work ends."""

from tests.cluster.kit import real
from tests.cluster.kit.manifests import deployment, image, migration
from tests.cluster.test_real_input import migrated_twice

UNCHECKED = {"backup": {"policy": "Skip", "reason": "nothing to lose in this test"}}


def test_alembic_upgrades_to_head_and_then_finds_nothing_to_do(a_world):
    world = a_world()
    migrated_twice(world, "Alembic", real.ALEMBIC)
    assert world.database.query("SELECT version_num FROM alembic_version") == ["0003"]
    assert world.database.query("SELECT count(*) FROM pg_indexes WHERE indexname = 'authors_by_email'") == ["1"]


def test_a_command_that_does_not_end_in_time_is_stopped(a_world):
    world = a_world()
    command = ["python3", "-c", "import time; print('at work', flush=True); time.sleep(600)"]
    world.apply(migration("Command", migration={"command": command, "timeout": "5s"}, **UNCHECKED), deployment("one"))
    told = world.wait_condition("MigrationSucceeded", "False", "Timeout")
    assert "spec.migration.timeout (5.0 s)" in told["message"]
    assert world.is_held()
    world.never_ran("one")


def test_a_program_that_is_not_in_the_image_is_told_at_once(a_world):
    world = a_world()
    world.apply(migration("Command", migration={"command": ["no-such-program"]}, **UNCHECKED), deployment("one"))
    told = world.wait_condition("MigrationSucceeded", "False", "ContainerStart")
    assert "no-such-program" in told["message"]
    world.never_ran("one")


def test_a_command_that_fails_leaves_its_last_words_in_the_status(a_world):
    world = a_world()
    command = ["python3", "-c", "import sys; print('the flux compensator is missing', file=sys.stderr); sys.exit(3)"]
    world.apply(migration("Command", migration={"command": command}, **UNCHECKED), deployment("one"))
    told = world.wait_condition("MigrationSucceeded", "False", "NonZeroExit")
    assert "exit code 3" in told["message"]
    assert "the flux compensator is missing" in told["message"]
    assert image("one") in str(world.deployment()["spec"])
    world.never_ran("one")
