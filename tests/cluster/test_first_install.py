"""First install: what may still come is waited for and named; what cannot come right by waiting is told at once."""

from tests.cluster.kit import databases, manifests
from tests.cluster.kit.databases import Database
from tests.cluster.kit.manifests import SECRET, deployment, migration, secret


def test_a_secret_that_comes_later(a_world):
    world = a_world(ready=False)
    world.apply(deployment("one"), migration())
    world.wait_words(SECRET, "not found")
    assert world.condition("Stalled").get("status") != "True"
    world.apply(secret(url=world.database.url))
    world.wait_rolled_out("one")
    world.never_too_early("one")


def test_a_key_of_the_secret_that_comes_later(a_world):
    world = a_world(ready=False)
    world.apply(secret(somethingelse="x"), deployment("one"), migration())
    world.wait_words("couldn't find key url")
    assert world.condition("Stalled").get("status") != "True"
    world.apply(secret(url=world.database.url))
    world.wait_rolled_out("one")
    world.never_too_early("one")


def test_a_database_server_that_comes_last(a_world):
    world = a_world(ready=False)
    late = Database(world.stage, "postgres", "made-up-by-the-test")
    url = f"postgresql://postgres:{late.password}@late.{world.name}.svc:5432/postgres"
    world.apply(secret(url=url), deployment("one"), migration())
    world.wait_words("late.")
    assert world.condition("Stalled").get("status") != "True"
    world.apply(*manifests.postgres("late", databases.NEWEST, late.password))
    world.wait_rolled_out("one")
    world.never_too_early("one")
    assert len(world.migrations_started()) == 1


def test_a_database_that_is_created_later_on_a_server_that_is_there(a_world):
    world = a_world(ready=False)
    name = f"{world.database.name}_later"
    url = world.database.url.removesuffix(world.database.name) + name
    world.apply(secret(url=url), deployment("one"), migration())
    world.wait_words(name, "does not exist")
    world.database.query(f'CREATE DATABASE "{name}" OWNER "{world.database.name}"', "postgres")
    try:
        world.wait_rolled_out("one")
    finally:
        world.database.query(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")


def test_an_image_that_is_not_there_is_named_and_can_be_corrected(a_world):
    world = a_world()
    missing = "localhost/locktender-test/app:missing"
    world.apply(deployment("", whole_image=missing), migration())
    world.wait_words("app:missing")
    assert world.is_held()
    world.apply(deployment("one"))
    world.wait_rolled_out("one")
    world.never_too_early("one")


def test_a_wrong_password_is_told_at_once_and_without_the_password(a_world):
    world = a_world(ready=False)
    wrong = "wrong-password-of-the-test"
    world.apply(secret(url=world.database.url.replace(world.database.password, wrong)), deployment("one"), migration())
    told = world.wait_condition("BackupReady", "False", "AuthenticationFailed")
    assert wrong not in str(world.dbm)
    assert "kubectl" in told["message"]
    assert world.is_held()
    world.apply(secret(url=world.database.url))
    world.retry()
    world.wait_rolled_out("one")


def test_a_role_that_may_not_create_our_schema_gets_the_sql_to_run(a_world):
    world = a_world(owner=False)
    world.apply(deployment("one"), migration())
    told = world.wait_words("CREATE SCHEMA")
    assert world.database.name in told
    assert world.is_held()
    world.database.query(f'GRANT CREATE ON DATABASE "{world.database.name}" TO "{world.database.name}"')
    world.database.query(f'GRANT CREATE ON SCHEMA public TO "{world.database.name}"')
    world.retry()
    world.wait_rolled_out("one")
