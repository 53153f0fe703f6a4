"""Nobody waits longer than the budget because of a migration, whatever it does; nobody else is ever touched."""

import pytest

from tests.postgres.guarded import RUN, Client, guard, guarding, holds, waits

BUDGET, SLACK = 0.5, 0.1
CANARY = "canary-4711"


@pytest.fixture(params=(14, 16, 18), ids=lambda major: f"pg{major}")
def server(request, servers):
    return servers(request.param)


@pytest.fixture
def database(server):
    name = server.database()
    server.run("CREATE TABLE orders AS SELECT g AS id, 'x'::text AS note FROM generate_series(1, 1000) g", name)
    return name


@pytest.fixture
def client(server, database):
    """Makes clients; the first one is an application that was there before, so that this address is a shared one."""
    made = []

    def make(application="web", to=server, **options):
        made.append(Client(to, options.pop("database", database), application, **options))
        return made[-1]

    make("web before")
    yield make
    for each in made:
        each.close()


@pytest.fixture
def agent(server, database, tmp_path):
    return guard(server, database, tmp_path, LOCK_BUDGET="500ms")


def migration(client, **options):
    return client(f"locktender/{RUN}", **options)


def test_an_alter_that_queues_behind_a_long_transaction_lets_readers_through_within_the_budget(server, client, agent):
    with guarding(agent) as summary:
        report = client("report").run("BEGIN", "SELECT count(*) FROM orders")
        alter = migration(client).do(f"ALTER TABLE orders ADD COLUMN state text DEFAULT '{CANARY}'")
        waits(server, alter.pid)
        reader, second = client("web"), client("worker")
        reader.do(f"SELECT count(*) FROM orders WHERE note = '{CANARY}'")
        second.do("SELECT count(*) FROM orders WHERE id = 4711")

        assert (reader.wait(), second.wait(), alter.wait()) == ("", "", "57014")
        assert max(reader.seconds, second.seconds) <= BUDGET + SLACK
        report.run("COMMIT")

    (cancel,) = agent.of("cancel", "terminate")
    assert 0.3 <= cancel["seconds"] <= BUDGET
    assert {key: cancel[key] for key in ("kind", "why", "mode", "relation", "statement", "waiting", "pid")} == {
        "kind": "cancel", "why": "LockBudgetExceeded", "mode": "AccessShare", "relation": "public.orders",
        "statement": "ALTER TABLE orders ADD COLUMN state text DEFAULT ?", "waiting": 2, "pid": alter.pid,
    }  # fmt: skip
    first, other = sorted(agent.of("wait"), key=lambda line: line["application"])
    assert [first["application"], first["query"], first["behind"]] == [
        "web", "SELECT count(*) FROM orders WHERE note = ?", alter.pid,
    ]  # fmt: skip
    assert abs(first["seconds"] - reader.seconds) < 0.08
    (blocked,) = agent.of("blocked")
    assert [(each["pid"], each["application"], each["state"], each["kind"]) for each in blocked["blockers"]] == [
        (report.pid, "report", "idle in transaction", "session")
    ]
    seen = summary[0]
    assert (seen["cause"], seen["cancelled"], seen["terminated"], seen["waits"], seen["queue"]) == (
        "LockBudgetExceeded", 1, 0, 2, 2,
    )  # fmt: skip
    assert seen["blockedSeconds"] == pytest.approx(first["seconds"] + other["seconds"], abs=0.01)
    assert seen["worstWait"] == max(first["seconds"], other["seconds"]) <= BUDGET + SLACK
    assert seen["worst"].pop("application") in ("web", "worker")
    assert seen["worst"] == {
        "mode": "AccessShare", "relation": "public.orders",
        "statement": "ALTER TABLE orders ADD COLUMN state text DEFAULT ?",
    }  # fmt: skip
    assert seen["blockers"] == blocked["blockers"]
    assert CANARY not in str(agent.lines) + str(seen)
    assert "4711" not in str([line for line in agent.lines if line["kind"] == "wait"])


def test_a_rewrite_that_holds_its_lock_is_cancelled(server, client, agent):
    with guarding(agent) as summary:
        rewrite = migration(client).do(
            "BEGIN", "ALTER TABLE orders ADD COLUMN slow text DEFAULT (pg_sleep(0.005)::text || clock_timestamp())"
        )
        holds(server, rewrite.pid)
        reader = client().do("SELECT count(*) FROM orders")
        assert (reader.wait(), rewrite.wait()) == ("", "57014")
    assert reader.seconds <= BUDGET + SLACK
    assert (summary[0]["cause"], summary[0]["cancelled"], summary[0]["terminated"]) == ("LockBudgetExceeded", 1, 0)


def test_a_migration_that_is_idle_in_its_transaction_is_terminated(server, client, agent):
    with guarding(agent) as summary:
        idle = migration(client).run("BEGIN", "LOCK TABLE orders")
        writer = client().do("UPDATE orders SET note = 'y' WHERE id = 1")
        assert writer.wait() == ""
        idle.do("SELECT 1")
        assert idle.wait() == "57P01"
    assert writer.seconds <= BUDGET + SLACK
    (act,) = agent.of("cancel", "terminate")
    assert (act["kind"], act["pid"], act["statement"]) == ("terminate", idle.pid, "LOCK TABLE orders")
    assert (summary[0]["cancelled"], summary[0]["terminated"]) == (0, 1)


def test_a_migration_that_sleeps_with_its_lock_and_survives_the_cancel_is_terminated(server, client, agent):
    swallows = """DO $$ BEGIN LOCK TABLE orders;
        LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"""
    with guarding(agent) as summary:
        sleeping = migration(client).do(swallows)
        holds(server, sleeping.pid)
        reader = client().do("SELECT count(*) FROM orders")
        assert (reader.wait(), sleeping.wait()) == ("", "57P01")
    assert reader.seconds <= BUDGET + SLACK
    assert [act["kind"] for act in agent.of("cancel", "terminate")] == ["cancel", "terminate"]
    assert (summary[0]["cancelled"], summary[0]["terminated"]) == (1, 1)


def test_others_that_keep_the_application_waiting_are_never_touched(server, client, agent):
    """The same address, the same role, a run whose name begins alike."""
    with guarding(agent) as summary:
        holders = [client("psql"), client("locktender/run-10"), client("")]
        for number, holder in enumerate(holders):
            holder.run("BEGIN", f"SELECT FROM orders WHERE id = {number} FOR UPDATE")
        blocked = [client().do(f"UPDATE orders SET note = 'y' WHERE id = {number}") for number in range(1, 3)]
        for each in blocked:
            waits(server, each.pid)
        server.run("SELECT pg_sleep(0.8)")
        for holder in holders:
            holder.run("COMMIT")
        assert [each.wait() for each in blocked] == ["", ""]
    assert agent.of("cancel", "terminate", "wait") == []
    assert (summary[0]["waits"], summary[0]["cause"]) == (0, "")


def test_who_waits_for_somebody_else_anyway_is_not_the_migrations_doing(server, client, agent):
    """A table that another holds: the migration queues, and so do readers, but without it they would wait as well."""
    with guarding(agent) as summary:
        holder = client("psql").run("BEGIN", "LOCK TABLE orders")
        alter = migration(client).do("ALTER TABLE orders ADD COLUMN a int")
        waits(server, alter.pid)
        reader = client().do("SELECT count(*) FROM orders")
        waits(server, reader.pid)
        server.run("SELECT pg_sleep(0.8)")
        holder.run("COMMIT")
        assert (alter.wait(), reader.wait()) == ("", "")
    assert agent.of("cancel", "terminate") == []
    assert summary[0]["worstWait"] < 0.2
