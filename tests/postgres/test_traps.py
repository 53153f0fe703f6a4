"""What looks like any other wait and is not: an autovacuum that does not yield, and a standby that has to take the migration's lock too."""

import pytest

from locktender.core import lock_summary, locks
from tests.postgres.guarded import RUN, Client, guard, guarding
from tests.postgres.pods import HBA
from tests.postgres.programs import until
from tests.postgres.servers import SETTINGS, serving
from tools.cluster import postgres_server

EAGER = {"autovacuum": "on", "autovacuum_naptime": "1s", "deadlock_timeout": "200ms"}
# Many pages, each of which costs the worker 0.1 s and more; and an age that the server accepts as too old for this table alone.
SLOW = """
    CREATE TABLE orders (id int, note text) WITH (autovacuum_freeze_max_age = 100000,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
    INSERT INTO orders SELECT g, repeat('x', 1000) FROM generate_series(1, 2000) g
"""
BURN = "DO $$ BEGIN FOR each IN 1..101000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
WORKER = "SELECT pid, query FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%orders%'"


@pytest.mark.parametrize("major", [14, 18])
def test_an_autovacuum_that_prevents_wraparound_is_named_and_left_to_its_work(major, tmp_path):
    """The server itself cancels any other autovacuum that is in somebody's way, after deadlock_timeout."""
    with serving(major, **EAGER) as server:
        database = server.database()
        server.run(SLOW, database)
        server.run(BURN, database)
        ((worker, query),) = until(lambda: server.run(WORKER), "an autovacuum of the table")
        assert query.endswith("(to prevent wraparound)")
        agent = guard(server, database, tmp_path, LOCK_MAX_WAIT="1500ms")
        with guarding(agent) as summary:
            alter = Client(server, database, f"locktender/{RUN}").do("ALTER TABLE orders ADD COLUMN state text")
            assert alter.wait() == "57014"
            alter.close()
        assert server.run(WORKER) == [(worker, query)]

    assert [(act["kind"], act["pid"]) for act in agent.of("cancel", "terminate")] == [("cancel", alter.pid)]
    (blocked,) = agent.of("blocked")
    (blocker,) = summary[0]["blockers"]
    assert blocked["blockers"] == [blocker]
    assert {**blocker, "age": 0.0, "user": ""} == {
        "pid": worker, "user": "", "application": "", "state": "active", "age": 0.0, "kind": "autovacuum",
        "query": query,
    }  # fmt: skip
    told = lock_summary.read(summary[0])
    assert told is not None
    assert told.cause == "LockTimeout"
    (sentence,) = locks.facts(told, 1).blockers
    assert sentence.startswith(f"pid {worker}: autovacuum, active for ")


def test_a_standby_that_has_to_wait_for_its_own_reader_falls_behind_and_the_samples_tell(tmp_path):
    """The lock of an ALTER is replayed there: it waits max_standby_streaming_delay for the reader, then cancels it."""
    patience = {
        "max_standby_streaming_delay": "2500ms",
        "wal_receiver_status_interval": "1s",
        "hot_standby_feedback": "off",
    }
    with serving(18, hba=HBA) as primary, postgres_server.standby(primary, {**SETTINGS, **patience}) as replica:
        primary.run("CREATE TABLE orders AS SELECT g AS id FROM generate_series(1, 1000) g; CREATE TABLE work (t text)")
        written = primary.run("SELECT pg_current_wal_insert_lsn()")[0][0]
        until(lambda: replica.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [(True,)], "the standby")
        agent = guard(primary, "postgres", tmp_path)
        with guarding(agent) as summary:
            reader = Client(replica, "postgres", "reports").run("BEGIN", "SELECT count(*) FROM orders")
            reader.do("SELECT pg_sleep(20)")
            migration = Client(primary, "postgres", f"locktender/{RUN}")
            migration.run("ALTER TABLE orders ADD COLUMN state text")
            waits_there(replica)
            migration.run("INSERT INTO work SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
            migration.do("SELECT pg_sleep(5)")
            assert reader.wait() == "40001"
            assert migration.wait() == ""
            migration.close()
            reader.close()

    samples = agent.of("sample")
    assert max(sample["lagBytes"] for sample in samples) > 2_000_000
    assert 1.0 < max(sample["lagSeconds"] for sample in samples) < 5.0
    assert samples[-1]["lagBytes"] < 100_000
    assert agent.of("cancel", "terminate") == []
    assert summary[0]["waits"] == 0


def waits_there(replica):
    """Until the standby's replay waits for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event_type = 'Lock'"
    until(lambda: replica.run(query), "the standby's replay to wait")
