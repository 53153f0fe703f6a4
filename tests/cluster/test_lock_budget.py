"""A migration that would freeze the application: stopped within its budget, told with names, tried again, and let through when the way is free."""

import json
import threading
import time
from contextlib import contextmanager

import psycopg

from tests.cluster.kit.databases import NAMESPACE
from tests.cluster.kit.manifests import SECRET, deployment, image, migration
from tools.kube import facts

BUDGET = 0.5  # seconds
ALTER = "ALTER TABLE items ADD COLUMN note text"
KEY = "budget-1"
POSTGRES = "localhost/locktender/postgres:18"  # it has psql


def test_readers_wait_no_longer_than_the_budget_and_the_release_goes_on_when_the_blocker_has_gone(a_world):
    world = a_world()
    for table in ("items", "others"):
        world.database.query(
            f'CREATE TABLE {table} AS SELECT 1 AS id; ALTER TABLE {table} OWNER TO "{world.database.name}"'
        )
    with (
        a_long_transaction(world.database) as blocker,
        a_reader(world.database, "items") as stalls,
        a_reader(world.database, "others") as hiccups,
    ):
        world.apply(a_change(), deployment("one", key=KEY))
        told = world.wait_words("report-writer", "tried again")
        assert "items" in told
        assert world.is_held()
        world.never_ran("one")
        blocker.rollback()
        world.wait_rolled_out("one")
    assert len(world.jobs("migrate")) > 1
    # A busy machine delays any read; how much, the reader of a table that nobody changes has seen.
    assert max(stalls) <= BUDGET + 0.1 + max(hiccups), (
        f"a read took {max(stalls):.3f} s, elsewhere {max(hiccups):.3f} s"
    )
    assert max(hiccups) < BUDGET, "the machine is too busy to prove anything"
    verdict = facts.verdict_version(world.recorder, POSTGRES)
    assert verdict, world.state()
    assert [event.name for event in facts.appearances(world.recorder, image("one")) if event.version < verdict] == []
    first = world.wait(lambda: the_report(world), "the report of the attempt that was stopped")
    assert "LockBudgetExceeded" in json.dumps(first)
    assert "report-writer" in json.dumps(first)
    assert world.database.password not in json.dumps(first)


def the_report(world):
    """The report of the first attempt."""
    where = f"/apis/locktender.dev/v1alpha1/namespaces/{world.name}/migrationreports"
    return next(
        (item for item in world.api.get(where)["items"] if item["metadata"]["name"] == world.jobs("migrate")[0]), None
    )


def a_change():
    """The statement through psql, as a command of a framework would run it."""
    command = ["sh", "-c", f'psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -c "{ALTER}"']
    change = {
        "image": POSTGRES,
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
def a_reader(database, table):
    """A client that reads a table all the time; how long each read took, in seconds."""
    stalls, stop = [0.0], threading.Event()

    def read():
        with psycopg.connect(address(database), autocommit=True, application_name="shop") as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.execute(f"SELECT count(*) FROM {table}")  # a name of this file
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
        "kubectl",
        "-n",
        NAMESPACE,
        "get",
        "pods",
        "-l",
        f"app=pg{database.major}",
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ).stdout
    return database.url.replace(database.host, pod)
