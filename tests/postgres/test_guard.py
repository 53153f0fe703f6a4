"""Whose sessions are guarded, what the migration may do to itself, and what becomes of it when the guard is lost."""

import json
import os
import signal

import pytest

from tests.postgres.guarded import RUN, Client, guard, guarding, holds, waits
from tests.postgres.programs import until


@pytest.fixture(params=(14, 18), ids=lambda major: f"pg{major}")
def server(request, servers):
    return servers(request.param)


@pytest.fixture
def database(server):
    name = server.database()
    server.run("CREATE TABLE orders AS SELECT g AS id, 'x'::text AS note FROM generate_series(1, 1000) g", name)
    return name


@pytest.fixture
def client(server, database):
    made = []

    def make(application="web", **options):
        made.append(Client(server, database, application, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def agent(server, database, tmp_path):
    def make(**variables):
        return guard(server, database, tmp_path, **{"LOCK_BUDGET": "300ms", **variables})

    return make


def migration(client, **options):
    return client(f"locktender/{RUN}", **options)


def stopped(agent):
    return [(act["kind"], act["pid"], act["why"]) for act in agent.of("cancel", "terminate")]


# Whose sessions


def test_a_session_with_the_runs_name_is_the_migrations_even_at_a_shared_address(client, agent):
    client("web before")
    guarded = agent()
    with guarding(guarded):
        named, other = migration(client), client("web")
        named.run("BEGIN", "LOCK TABLE orders")
        reader = client().do("SELECT count(*) FROM orders")
        assert reader.wait() == ""
        assert other.do("SELECT 1").wait() == ""
    assert stopped(guarded) == [("terminate", named.pid, "LockBudgetExceeded")]


def test_a_session_from_the_pods_address_is_the_migrations_whatever_its_name(server, database, agent):
    """All of 127.0.0.1 is the pod here, so others wait in a prepared transaction's and a socket's stead: they come by the socket."""
    guarded = agent(POD_IPS="10.1.2.3,127.0.0.1")
    options = {"host": str(server.folder)}
    other = Client(server, database, "web", **options)
    nameless = Client(server, database, "")
    try:
        with guarding(guarded):
            nameless.run("BEGIN", "LOCK TABLE orders")
            assert other.do("SELECT count(*) FROM orders").wait() == ""
        assert stopped(guarded) == [("terminate", nameless.pid, "LockBudgetExceeded")]
    finally:
        other.close()
        nameless.close()


def test_behind_a_proxy_that_nobody_else_uses_the_agents_address_tells(server, database, agent):
    guarded = agent()
    other = Client(server, database, "web", host=str(server.folder))
    nameless = None
    try:
        with guarding(guarded):
            nameless = Client(server, database, "")
            nameless.run("BEGIN", "LOCK TABLE orders")
            assert other.do("SELECT count(*) FROM orders").wait() == ""
        assert stopped(guarded) == [("terminate", nameless.pid, "LockBudgetExceeded")]
        assert guarded.of("baseline")[0]["byAddress"] is True
    finally:
        other.close()
        nameless.close()


def test_behind_an_address_that_an_application_shares_nobody_is_taken_for_the_migration(client, agent):
    client("web before")
    guarded = agent()
    with guarding(guarded) as summary:
        holder = client("web").run("BEGIN", "LOCK TABLE orders")
        waiting = client("worker").do("SELECT count(*) FROM orders")
        waits_half_a_second(holder)
        holder.run("COMMIT")
        assert waiting.wait() == ""
    assert stopped(guarded) == []
    assert guarded.of("baseline")[0]["byAddress"] is False
    assert (summary[0]["waits"], summary[0]["ownWait"]) == (0, 0.0)


def waits_half_a_second(client):
    client.run("SELECT pg_sleep(0.5)")


def test_once_the_drivers_name_is_known_an_address_says_nothing_any_more(client, agent):
    guarded = agent()
    with guarding(guarded):
        migration(client).run("SELECT 1")
        waits_half_a_second(migration(client))
        holder = client("web").run("BEGIN", "LOCK TABLE orders")
        waiting = client("worker").do("SELECT count(*) FROM orders")
        waits_half_a_second(holder)
        holder.run("COMMIT")
        assert waiting.wait() == ""
    assert stopped(guarded) == []


# What the migration may do to itself


def test_its_own_wait_beyond_max_wait_is_cancelled_and_the_blocker_named(server, client, agent):
    guarded = agent(LOCK_MAX_WAIT="600ms")
    with guarding(guarded) as summary:
        holder = client("report", options="-c idle_session_timeout=0")
        holder.run("BEGIN", "SELECT count(*) FROM orders WHERE note = 'canary'")
        alter = migration(client, options="-c lock_timeout=0").do("ALTER TABLE orders ADD COLUMN a int")
        assert alter.wait() == "57014"
        assert 0.5 < alter.seconds < 1.0
        holder.run("COMMIT")
    assert stopped(guarded) == [("cancel", alter.pid, "LockTimeout")]
    (act,) = guarded.of("cancel")
    assert (act["mode"], act["relation"], act["waiting"]) == ("AccessExclusive", "public.orders", 0)
    (blocker,) = summary[0]["blockers"]
    assert {**blocker, "age": 0.0} == {
        "pid": holder.pid, "user": "postgres", "application": "report", "state": "idle in transaction", "age": 0.0,
        "query": "SELECT count(*) FROM orders WHERE note = ?", "kind": "session",
    }  # fmt: skip
    assert (summary[0]["cause"], summary[0]["lockTimeoutSeen"]) == ("LockTimeout", False)


def test_a_prepared_transaction_in_the_way_is_named(servers, tmp_path):
    server = servers(18)
    server.run("ALTER SYSTEM SET max_prepared_transactions = 5")
    server.restart()
    database = server.database()
    guarded = guard(server, database, tmp_path, LOCK_MAX_WAIT="400ms")
    server.run("CREATE TABLE orders (id int)", database)
    client = Client(server, database, f"locktender/{RUN}")
    try:
        with server.connect(database) as session:
            for statement in ("BEGIN", "LOCK TABLE orders", "PREPARE TRANSACTION 'forgotten'"):
                session.execute(statement)
        with guarding(guarded) as summary:
            assert client.do("ALTER TABLE orders ADD COLUMN a int").wait() == "57014"
        (blocker,) = summary[0]["blockers"]
        assert {**blocker, "age": 0.0} == {
            "pid": 0, "user": "postgres", "application": "forgotten", "state": "prepared", "age": 0.0, "query": "",
            "kind": "prepared",
        }  # fmt: skip
    finally:
        client.close()
        server.run("ROLLBACK PREPARED 'forgotten'", database)
        server.run("ALTER SYSTEM RESET max_prepared_transactions")


def test_an_index_built_concurrently_may_wait_for_old_snapshots_longer_than_max_wait(server, client, agent):
    guarded = agent(LOCK_MAX_WAIT="200ms")
    with guarding(guarded) as summary:
        old = client("report").run("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM orders")
        build = migration(client).do("CREATE INDEX CONCURRENTLY orders_note ON orders (note)")
        waits(server, build.pid)
        old.run("SELECT pg_sleep(0.7)", "COMMIT")
        assert build.wait() == ""
    assert stopped(guarded) == []
    assert summary[0]["ownWait"] > 0.5


def test_a_statement_that_takes_too_long_is_cancelled_without_the_drivers_help(client, agent):
    guarded = agent(STATEMENT_TIMEOUT="1500ms")
    with guarding(guarded) as summary:
        slow = migration(client, options="-c statement_timeout=0").do("SELECT pg_sleep(30)")
        assert slow.wait() == "57014"
        assert 1.4 < slow.seconds < 3.5
        texts = migration(client).do("SELECT pg_sleep(1.3); SELECT pg_sleep(1.3)")
        assert texts.wait() == ""  # each statement of a text has its own time
    assert stopped(guarded) == [("cancel", slow.pid, "StatementTimeout")]
    assert summary[0]["cause"] == "StatementTimeout"


def test_a_migration_that_takes_too_long_in_all_is_stopped_and_cannot_begin_again(client, agent):
    guarded = agent(MIGRATION_TIMEOUT="500ms")
    with guarding(guarded) as summary:
        idle = migration(client).run("SELECT 1")
        busy = migration(client).do("SELECT pg_sleep(30)")
        assert busy.wait() == "57014"
        assert gone(idle)
        assert gone(migration(client))
    assert {why for _, _, why in stopped(guarded)} == {"Timeout"}
    assert summary[0]["cause"] == "Timeout"


def gone(client):
    def ended():
        client.do("SELECT 1")
        return client.wait() in ("57P01", "lost")

    return until(ended, "the session to be terminated")


# The guard is lost


def test_when_the_fences_session_is_lost_the_migration_is_terminated_and_nobody_else(server, database, client, agent):
    other = client("web before")
    guarded = agent()
    with guarding(guarded) as summary:
        busy = migration(client).do("SELECT pg_sleep(30)")
        pid = server.run("SELECT backend_pid FROM locktender.runs", database)[0][0]
        server.run(f"SELECT pg_terminate_backend({pid})")
        assert busy.wait() == "57P01"
        assert busy.seconds < 3
        assert gone(migration(client))
        assert other.do("SELECT 1").wait() == ""
    assert {(kind, why) for kind, _, why in stopped(guarded)} == {("terminate", "Lost")}
    assert summary[0]["cause"] == "Lost"


def test_an_agent_that_was_restarted_terminates_what_ran_without_it(server, database, client, agent):
    other = client("web before")
    guarded = agent()
    first = guarded.begin()
    busy = migration(client).do("BEGIN", "LOCK TABLE orders", "SELECT pg_sleep(30)")
    holds(server, busy.pid)
    guarded.end(first, signal.SIGKILL)
    second = guarded.start()
    assert busy.wait() == "57P01"
    assert other.do("SELECT count(*) FROM orders").wait() == ""
    summary = guarded.stop(second)
    assert [line["kind"] for line in guarded.lines][:1] == ["restarted"]
    assert stopped(guarded) == [("terminate", busy.pid, "Lost")]
    assert summary["cause"] == "Lost"


def test_a_restarted_agent_still_counts_what_the_one_before_it_saw(client, agent):
    guarded = agent()
    first = guarded.begin()
    idle = migration(client).run("BEGIN", "LOCK TABLE orders")
    assert client().do("SELECT count(*) FROM orders").wait() == ""
    kept = guarded.folder / "run" / "so-far"
    until(lambda: kept.exists() and json.loads(kept.read_bytes())["terminated"], "the sums to be written")
    guarded.end(first, signal.SIGKILL)
    before = json.loads(kept.read_bytes())

    second = guarded.start()
    busy = migration(client).do("SELECT pg_sleep(30)")
    assert busy.wait() == "57P01"
    summary = guarded.stop(second)

    assert stopped(guarded) == [("terminate", busy.pid, "Lost")]  # the second agent's own
    assert (summary["cancelled"], summary["terminated"], summary["cause"]) == (0, 2, "Lost")
    assert (summary["waits"], summary["queue"]) == (1, 1)
    assert 0.2 < before["worstWait"] == summary["worstWait"] == summary["blockedSeconds"] < 0.4
    assert summary["worst"] == before["worst"]
    assert summary["worst"]["statement"] == "LOCK TABLE orders"
    assert idle.do("SELECT 1").wait() == "57P01"


# What comes after a cancel


@pytest.mark.parametrize(
    ("then", "recovered"),
    [
        ((), False),
        (("ROLLBACK", "SELECT pg_advisory_unlock(1)"), False),
        (("ROLLBACK", "ALTER TABLE orders ADD COLUMN b int"), True),
    ],
)
def test_a_session_that_worked_on_after_its_cancel_is_told_from_one_that_gave_up(client, agent, then, recovered):
    guarded = agent()
    with guarding(guarded) as summary:
        alter = migration(client)
        alter.do("BEGIN", "LOCK TABLE orders", "SELECT pg_sleep(30)")
        holds_lock = client().do("SELECT count(*) FROM orders")
        assert (alter.wait(), holds_lock.wait()) == ("57014", "")
        alter.run(*then)
        waits_half_a_second(client("web"))
        alter.close()
    assert stopped(guarded) == [("cancel", alter.pid, "LockBudgetExceeded")]
    assert (summary[0]["cause"], summary[0]["recovered"]) == ("LockBudgetExceeded", recovered)


def test_a_guard_that_sees_nothing_for_seconds_counts_as_lost(server, database, client, agent):
    """A stopped server process: the session is there, but answers nothing in time."""
    guarded = agent()
    with guarding(guarded) as summary:
        busy = migration(client).do("SELECT pg_sleep(30)")
        pid = server.run("SELECT backend_pid FROM locktender.runs", database)[0][0]
        for _ in range(3):
            server.run("SELECT pg_sleep(0.3)")
        os.kill(pid, signal.SIGSTOP)
        try:
            assert busy.wait() in ("57P01", "lost", "57014")
        finally:
            os.kill(pid, signal.SIGCONT)
    assert summary[0]["cause"] == "Lost"


# A role that may not look


def test_without_the_right_to_look_the_blocker_is_still_told(server, client, tmp_path):
    owner = server.role("secret")
    database = server.database(owner)
    server.run(f"CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO {owner}", database)
    guarded = guard(server, database, tmp_path, url=server.url(database, owner, "secret"), LOCK_MAX_WAIT="400ms")
    holder = Client(server, database, "report").run("BEGIN", "SELECT 'canary' FROM orders")
    alter = Client(server, database, f"locktender/{RUN}", user=owner, password="secret")
    try:
        with guarding(guarded) as summary:
            assert alter.do("ALTER TABLE orders ADD COLUMN a int").wait() == "57014"
        (blocker,) = summary[0]["blockers"]
        assert blocker == {
            "pid": holder.pid, "user": "postgres", "application": "report", "state": "a session we may not look at",
            "age": 0.0, "query": "", "kind": "session",
        }  # fmt: skip
        assert stopped(guarded) == [("cancel", alter.pid, "LockTimeout")]
    finally:
        holder.close()
        alter.close()


def test_what_the_server_ended_itself_is_seen_as_a_lock_timeout(client, agent):
    guarded = agent()
    with guarding(guarded) as summary:
        holder = client("report").run("BEGIN", "SELECT count(*) FROM orders")
        alter = migration(client, options="-c lock_timeout=250ms")
        assert alter.do("BEGIN", "ALTER TABLE orders ADD COLUMN a int").wait() == "55P03"
        waits_half_a_second(holder)
    assert (summary[0]["lockTimeoutSeen"], summary[0]["cause"], summary[0]["cancelled"]) == (True, "", 0)
