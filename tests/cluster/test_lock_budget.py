"""A migration that would freeze the application: stopped within its budget, told with names, tried again, and let through when the way is free."""

import threading
import time
from contextlib import contextmanager

import psycopg

from tests.cluster.kit.databases import NAMESPACE
from tests.cluster.kit.manifests import SECRET, deployment, migration

BUDGET = 0.5  # seconds
ALTER = "ALTER TABLE items ADD COLUMN note text"
KEY = "budget-1"


def test_readers_wait_no_longer_than_the_budget_and_the_release_goes_on_when_the_blocker_has_gone(a_world):
    world = a_world()
    world.database.query(f'CREATE TABLE items AS SELECT 1 AS id; ALTER TABLE items OWNER TO "{world.database.name}"')
    with a_long_transaction(world.database) as blocker, a_reader(world.database) as stalls:
        world.apply(a_change(), deployment("one", key=KEY))
        told = world.wait_words("report-writer", "tried again")
        assert "items" in told
        assert world.is_held()
        world.never_ran("one")
        blocker.rollback()
        world.wait_rolled_out("one")
    assert len(world.jobs("migrate")) > 1
    assert max(stalls) <= BUDGET + 0.1, f"the longest of {len(stalls)} reads took {max(stalls):.3f} s"
    world.never_too_early("one")
    step = next(step for step in world.dbm["status"]["run"]["steps"] if step["name"] == "Migrate")
    assert step["attempt"] > 1


def a_change():
    """The statement through psql, as a command of a framework would run it."""
    command = ["sh", "-c", f'psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -c "{ALTER}"']
    change = {
        "image": "localhost/locktender/postgres:18",
        "command": command,
        "pod": {"env": [{"name": "PGOPTIONS", "value": ""}], "runAsUser": 999},
    }
    return migration(
        "Command", migration=change, release=KEY, backup={"policy": "Skip", "reason": "a test"},
        database={"urlSecretRef": {"name": SECRET}}, locks={"budget": f"{BUDGET:g}s", "retries": 10},
    )  # fmt: skip


@contextmanager
def a_long_transaction(database):
    """A session that has read the table and does not go on."""
    with psycopg.connect(address(database), application_name="report-writer") as connection:
        connection.execute("SELECT * FROM items")
        yield connection


@contextmanager
def a_reader(database):
    """A client that reads all the time; how long each read took, in seconds."""
    stalls, stop = [0.0], threading.Event()

    def read():
        with psycopg.connect(address(database), autocommit=True, application_name="shop") as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.execute("SELECT count(*) FROM items")
                stalls.append(time.monotonic() - begun)
                stop.wait(0.02)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield stalls
    finally:
        stop.set()
        thread.join()


def address(database):
    """The database's URL with the server's own address: cluster names are not known outside of pods."""
    pod = database.stage.run(
        "kubectl", "-n", NAMESPACE, "get", "pods", "-l", f"app=pg{database.major}", "-o", "jsonpath={.items[0].status.podIP}"
    ).stdout
    return database.url.replace(database.host, pod)
