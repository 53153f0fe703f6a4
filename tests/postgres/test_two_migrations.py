"""Two migrations want one database, and things break in between: never two at once, and every end is known or asked about.

Each pod is a network of its own, with an agent, and a migration that starts only when the agent's hook lets it. A migration leaves one
row when it begins and one when it ends, so that the database itself tells whether two ever overlapped.
"""

import json
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres.pods import HBA, network
from tests.postgres.programs import Program, started, until
from tests.postgres.servers import SETTINGS, Server, serving
from tools.cluster import postgres_server

SETTINGS_HERE = {
    **SETTINGS,
    "listen_addresses": "*",
    # The server notices a client that is gone within some seconds, as managed servers do; the default is two hours.
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3000",
    "client_connection_check_interval": "1000",
}
WORK = "CREATE TABLE IF NOT EXISTS work (pod text, began timestamptz DEFAULT clock_timestamp(), ended timestamptz)"
OVERLAPS = """
    SELECT a.pod, b.pod FROM work a JOIN work b ON a.ctid < b.ctid
    WHERE tstzrange(a.began, a.ended) && tstzrange(b.began, b.ended)
"""


class Pod:
    """An agent and a migration in one network."""

    def __init__(self, folder, network, url, psql, name, attempt, **more):
        self.network, self.url, self.psql, self.name = network, url, psql, name
        (folder / name / "run").mkdir(parents=True)
        environment = {
            "LOCKTENDER_RUN_DIR": str(folder / name / "run"), "LOCKTENDER_RUN": name, "LOCKTENDER_STEP": "migrate",
            "LOCKTENDER_ATTEMPT": str(attempt), "LOCKTENDER_POD_UID": f"uid-{name}-{attempt}",
            "LOCKTENDER_POD_IPS": network.address, "LOCKTENDER_FENCE_WAIT": "20", **more,
        }  # fmt: skip
        self.agent = Program(folder / name, url, ("agent",), environment, network.prefix)
        self.hook = Program(folder / name, url, ("agent-wait",), environment)
        self.process = None

    def start(self):
        """The agent, and its hook's answer: whether the migration may start."""
        self.process = self.agent.start()
        return self.hook.run().code == 0

    def allowed(self):
        return (Path(self.agent.environment["LOCKTENDER_RUN_DIR"]) / "fence-held").exists()

    def migrate(self, seconds, name=None):
        """The migration in the background: begin, work, end."""
        begin = f"INSERT INTO work (pod) VALUES ('{self.name}')"
        end = f"UPDATE work SET ended = clock_timestamp() WHERE pod = '{self.name}' AND ended IS NULL"
        words = [word for command in (begin, f"SELECT pg_sleep({seconds})", end) for word in ("-c", command)]
        process = subprocess.Popen(
            [*self.network.prefix, self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url, *words],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PGAPPNAME": name or f"locktender/{self.name}"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    def end(self, number=signal.SIGTERM):
        return self.agent.end(self.process, number)

    def refused(self):
        """Why the agent did not take the fence."""
        assert not self.start()
        return self.agent.end(self.process).reason


@pytest.fixture(scope="module")
def shared():
    """A server that pods can reach, and that notices when they are gone."""
    with serving(18, hba=HBA, **{key: value for key, value in SETTINGS_HERE.items() if key not in SETTINGS}) as server:
        yield server


@pytest.fixture
def pods(tmp_path):
    """A function that makes pods of a database; `at` is a function from the pod's network to its URL."""
    with ExitStack() as stack:

        def make(server, at, name, attempt=1, **more):
            own = stack.enter_context(network())
            return Pod(tmp_path, own, at(own), server.binaries / "bin" / "psql", name, attempt, **more)

        yield make


@pytest.fixture
def database(shared):
    name = shared.database()
    shared.run(WORK, name)
    return name


@pytest.fixture
def pod(shared, database, pods):
    """A function that makes pods of `database`."""

    def make(name, attempt=1, **more):
        return pods(
            shared, lambda own: f"postgresql://postgres@{own.host}:{shared.port}/{database}", name, attempt, **more
        )

    return make


def states(server, database):
    return server.run("SELECT run_id, state FROM locktender.runs ORDER BY started_at", database)


def sessions(server, database, pod):
    """The sessions of the pod's migration that the server still has."""
    return server.run(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND client_addr = '{pod.network.address}'"
        " AND application_name NOT LIKE 'locktender agent%'"
    )


def holder(server, database):
    """The address of the session that holds the fence."""
    found = server.run(
        "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objid = 1 AND granted"
        f" AND datname = '{database}'"
    )
    return found[0][0] if found else None


def test_of_two_pods_one_migrates_and_the_other_waits_its_turn(shared, database, pod):
    first, second = pod("first"), pod("second")
    assert first.start()
    migration = first.migrate(7)

    assert second.refused() == "DatabaseBusy"
    assert migration.wait(20) == 0
    assert first.end().reason == "Succeeded"
    again = pod("again", attempt=2)
    assert again.start()
    assert again.migrate(0.1).wait(20) == 0
    assert again.end().reason == "Succeeded"

    assert shared.run("SELECT pod FROM work ORDER BY began", database) == [("first",), ("again",)]
    assert shared.run(OVERLAPS, database) == []
    assert states(shared, database) == [("first", "ended"), ("again", "ended")]


def test_two_that_come_at_the_same_moment_never_both_start(shared, database, pod):
    both = [pod("left"), pod("right")]
    for each in both:
        each.process = each.agent.start()
    allowed = until(lambda: [each for each in both if each.allowed()], "the fence")
    assert len(allowed) == 1
    loser = next(each for each in both if each not in allowed)
    assert loser.agent.end(loser.process).reason == "DatabaseBusy"
    assert allowed[0].end().reason == "Succeeded"


def test_an_agent_that_is_killed_leaves_a_question_and_no_second_migration(shared, database, pod):
    first = pod("first")
    assert first.start()
    migration = first.migrate(4)
    until(lambda: shared.run("SELECT 1 FROM work", database), "the migration to begin")

    first.end(signal.SIGKILL)

    assert pod("second").refused() == "PreviousAttemptUnknown"
    assert migration.wait(20) == 0  # what it did is what a person has to look at
    assert pod("third").refused() == "PreviousAttemptUnknown"
    assert shared.run("SELECT pod FROM work", database) == [("first",)]
    fourth = pod("fourth", LOCKTENDER_FENCE_OVERRIDE="1")
    assert fourth.start()
    assert fourth.end().reason == "Succeeded"
    assert states(shared, database) == [("first", "overridden"), ("fourth", "ended")]


def test_a_cut_network_leaves_a_question_and_after_it_the_pod_that_had_the_fence_has_it_again(shared, database, pod):
    first = pod("first")
    assert first.start()
    first.migrate(60)
    until(lambda: sessions(shared, database, first), "the migration to begin")

    first.network.cut()

    assert pod("second").refused() in ("DatabaseBusy", "PreviousAttemptUnknown")
    until(lambda: holder(shared, database) is None, "the server to notice")
    assert pod("third").refused() == "PreviousAttemptUnknown"
    until(lambda: not sessions(shared, database, first), "the server to end what the pod had")
    first.network.mend()
    until(lambda: holder(shared, database) == first.network.address, "the fence to be taken again")
    assert pod("fourth").refused() == "DatabaseBusy"
    assert first.end().reason == "Succeeded"
    assert shared.run("SELECT pod, ended FROM work", database) == [("first", None)]
    assert states(shared, database) == [("first", "ended")]


def test_what_ran_while_the_fence_was_lost_is_ended_and_so_is_what_comes_after_it(shared, database, pod):
    first = pod("first")
    assert first.start()
    first.migrate(60)
    until(lambda: sessions(shared, database, first), "the migration to begin")

    shared.run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND application_name LIKE 'locktender agent%'"
    )

    until(lambda: not sessions(shared, database, first), "the migration to be ended")
    later = first.migrate(60)
    assert later.wait(20) != 0
    unnamed = first.migrate(60, name="some-tool")
    assert unnamed.wait(20) != 0
    ended = first.end()
    assert ended.report["locks"]["cause"] == "Lost"
    assert {one["why"] for one in lines(ended, "terminate")} == {"Lost"}


def test_after_a_persons_word_a_migration_that_comes_back_with_its_network_is_ended(shared, database, pod):
    first = pod("first")
    assert first.start()
    first.network.cut()
    until(lambda: holder(shared, database) is None, "the server to notice")
    second = pod("second", LOCKTENDER_FENCE_OVERRIDE="1")
    assert second.start()
    running = second.migrate(12)
    until(lambda: sessions(shared, database, second), "the second migration to begin")

    first.network.mend()

    def ended():
        _, errors = first.migrate(60).communicate(timeout=20)
        return "terminating connection" in errors  # else it has not got through yet

    until(ended, "the first migration to come back and be ended")
    assert running.poll() is None  # it was ended while the other one goes on
    assert running.wait(20) == 0
    assert second.end().reason == "Succeeded"
    assert "Lost" in {one["why"] for one in lines(first.end(), "terminate")}
    assert shared.run("SELECT pod FROM work WHERE ended IS NOT NULL", database) == [("second",)]
    assert states(shared, database) == [("first", "ended"), ("second", "ended")]


def test_a_failover_in_the_middle_keeps_the_fence_with_its_pod(tmp_path, pods):
    settings = {key: value for key, value in SETTINGS_HERE.items() if key not in SETTINGS}
    with (
        serving(18, hba=HBA, **settings) as primary,
        postgres_server.standby(primary, SETTINGS_HERE) as replica,
    ):
        assert isinstance(replica, Server)
        at = url_of_both(primary, replica)
        primary.run(WORK)
        first = pods(primary, at, "first")
        assert first.start()
        migration = first.migrate(60)
        until(lambda: sessions(primary, "postgres", first), "the migration to begin")
        caught_up(primary, replica)

        primary.stop()
        replica.ctl("promote")

        assert migration.wait(20) != 0
        until(lambda: holder(replica, "postgres") == first.network.address, "the fence to be taken again")
        assert pods(primary, at, "second").refused() == "DatabaseBusy"
        assert first.end().reason == "Succeeded"
        assert states(replica, "postgres") == [("first", "ended")]


def test_a_failover_and_the_loss_of_the_pod_leave_a_question(tmp_path, pods):
    settings = {key: value for key, value in SETTINGS_HERE.items() if key not in SETTINGS}
    with (
        serving(18, hba=HBA, **settings) as primary,
        postgres_server.standby(primary, SETTINGS_HERE) as replica,
    ):
        at = url_of_both(primary, replica)
        first = pods(primary, at, "first")
        assert first.start()
        caught_up(primary, replica)

        first.end(signal.SIGKILL)
        primary.stop()
        replica.ctl("promote")

        assert pods(primary, at, "second").refused() == "PreviousAttemptUnknown"


def caught_up(primary, replica):
    written = primary.run("SELECT pg_current_wal_insert_lsn()")[0][0]
    until(lambda: replica.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [(True,)], "the standby")


def url_of_both(primary, replica):
    """The URL that finds whichever server accepts writes."""
    return lambda own: (
        f"postgresql://postgres@{own.host}:{primary.port},{own.host}:{replica.port}/postgres?target_session_attrs=read-write"
    )


def lines(ended, kind):
    return [one for one in map(json.loads, ended.output.splitlines()) if one["kind"] == kind]
