"""The agent's limits hold for every driver: for those that honour PGOPTIONS and PGAPPNAME, and for those that have never heard of them.

Each client runs in a pod's network; the agent knows its sessions by the pod's address alone.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from tests.postgres.drivers import clients
from tests.postgres.pods import HBA, network
from tests.postgres.programs import Program, started, until
from tests.postgres.servers import serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "drivers.md"
ASK = """SELECT json_build_object('PGAPPNAME', current_setting('application_name') = 'locktender/run',
    'PGOPTIONS', current_setting('lock_timeout') = '123ms' AND current_setting('statement_timeout') = '45s')::text"""
TOLD = {"PGAPPNAME": "locktender/run", "PGOPTIONS": "-c lock_timeout=123ms -c statement_timeout=45s"}
HONOURED = {
    "libpq": {"PGAPPNAME": True, "PGOPTIONS": True},
    "psycopg": {"PGAPPNAME": True, "PGOPTIONS": True},
    "node-postgres": {"PGAPPNAME": True, "PGOPTIONS": True},
    "pgx": {"PGAPPNAME": True, "PGOPTIONS": True},
    "pgJDBC": {"PGAPPNAME": False, "PGOPTIONS": False},
}
CANCELLED, TERMINATED = (
    "57014",
    {"57P01", "08006", "lost"},
)  # what a driver says of a connection that was ended under it
BUDGET, STATEMENT = "300ms", "700ms"


@pytest.fixture(scope="module")
def shared():
    with serving(18, hba=HBA, listen_addresses="*") as server:
        yield server


@pytest.fixture(scope="module")
def pod():
    with network() as made:
        yield made


@pytest.fixture(params=clients.NAMES)
def driver(request):
    return clients.driver(request.param)


@pytest.fixture
def database(shared):
    name = shared.database()
    shared.run("CREATE TABLE orders AS SELECT 1 AS id", name)
    return name


@pytest.fixture
def run(shared, pod, database, driver):
    """A function that starts the client in the pod."""

    def start(*words, **variables):
        url = f"postgresql://postgres@{pod.host}:{shared.port}/{database}"
        arguments, environment = driver.arguments(url, *words)
        process = subprocess.Popen(
            [*pod.prefix, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    return start


@pytest.fixture
def agent(shared, pod, database, tmp_path):
    """An agent that holds the fence, in the pod."""
    folder = tmp_path / "run"
    folder.mkdir()
    url = f"postgresql://postgres@{pod.host}:{shared.port}/{database}"
    environment = {
        "LOCKTENDER_RUN_DIR": str(folder), "LOCKTENDER_RUN": "run", "LOCKTENDER_STEP": "migrate", "LOCKTENDER_POD_UID": "pod",
        "LOCKTENDER_POD_IPS": pod.address, "LOCKTENDER_LOCK_BUDGET": BUDGET, "LOCKTENDER_STATEMENT_TIMEOUT": STATEMENT,
    }  # fmt: skip
    program = Program(tmp_path, url, ("agent",), environment, pod.prefix)
    process = program.start()
    until(lambda: (folder / "fence-held").exists() or process.poll() is not None, "the fence")
    return lambda: program.end(process, signal.SIGTERM)


def said(process):
    """The last word of a client, and its exit code."""
    output, errors = process.communicate(timeout=30)
    return (output.split() or errors.split())[-1], process.returncode


def reader_waits(shared, database):
    """How long a statement of the application takes, in seconds, once the migration holds its lock."""
    until(
        lambda: shared.run(
            "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE relname = 'orders' AND mode = 'AccessExclusiveLock'"
            " AND granted",
            database,
        ),
        "the lock",
    )
    begun = time.monotonic()
    with psycopg.connect(
        f"postgresql://postgres@/{database}?host={shared.folder}&port={shared.port}", autocommit=True
    ) as reader:
        reader.execute("SELECT * FROM orders")
    return time.monotonic() - begun


def test_what_a_driver_honours_of_the_environment(run, driver):
    output, errors = run(ASK, **TOLD).communicate(timeout=30)
    assert errors == ""
    assert json.loads(output) == HONOURED[driver.name]


def test_a_statement_that_makes_others_wait_is_cancelled_whatever_the_driver(run, agent, shared, database):
    client = run("BEGIN", "ALTER TABLE orders ADD COLUMN a int", "SELECT pg_sleep(20)", "COMMIT")
    assert reader_waits(shared, database) < 0.3 + 0.1 + 0.1  # budget, moment, and the reader's own connection
    assert said(client) == (CANCELLED, 1) or client.returncode == 3
    ended = agent()
    assert ended.report["locks"]["cause"] == "LockBudgetExceeded"
    assert (ended.report["locks"]["cancelled"], ended.report["locks"]["terminated"]) == (1, 0)


def test_a_session_that_sleeps_on_its_locks_is_ended_whatever_the_driver(run, agent, shared, database):
    client = run("BEGIN", "ALTER TABLE orders ADD COLUMN a int", "sleep 1.5", "COMMIT")
    assert reader_waits(shared, database) < 0.3 + 0.1 + 0.1
    word, code = said(client)
    assert code != 0
    assert word in TERMINATED or "terminat" in word or "server" in word
    ended = agent()
    assert (ended.report["locks"]["cause"], ended.report["locks"]["terminated"]) == ("LockBudgetExceeded", 1)


def test_a_statement_that_takes_too_long_is_cancelled_whatever_the_driver(run, agent):
    client = run("SELECT pg_sleep(20)")
    begun = time.monotonic()
    word, code = said(client)
    assert (word, code != 0) == (CANCELLED, True)
    assert time.monotonic() - begun < 10
    assert agent().report["locks"]["cause"] == "StatementTimeout"


def test_the_documents_table_is_what_was_seen():
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].strip("`") in HONOURED:
            rows[cells[0].strip("`")] = {"PGAPPNAME": cells[1] == "yes", "PGOPTIONS": cells[2] == "yes"}
    assert rows == HONOURED
