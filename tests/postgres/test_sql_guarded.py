"""The SQL engine under guard: a statement that was cancelled for the sake of others is tried again, but not for ever."""

import pytest

from tests.postgres.guarded import RUN, Client, guard, guarding
from tests.postgres.programs import Program, until


@pytest.fixture
def database(newest):
    name = newest.database()
    newest.run("CREATE TABLE orders AS SELECT g AS id, 'x'::text AS note FROM generate_series(1, 1000) g", name)
    return name


@pytest.fixture
def sql(newest, database, tmp_path):
    """The engine over one file."""

    def of(text, **variables):
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "20260101000000_first.up.sql").write_text(text)
        (tmp_path / "sql").mkdir()
        told = {"LOCKTENDER_MIGRATIONS_DIR": str(tmp_path / "files"), "LOCKTENDER_RUN": RUN, **variables}
        return Program(tmp_path / "sql", newest.url(database), ("sql",), told)

    return of


def engine_at(server, database, words):
    """The engine's session, once it runs a statement with these words."""
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND state = 'active' AND application_name = 'locktender/{RUN} sql' AND query LIKE '%{words}%'"
    return until(lambda: server.run(query), words)[0][0]


def test_a_statement_that_was_cancelled_once_is_tried_again(newest, database, sql):
    engine = sql("SELECT pg_sleep(1.5);\nALTER TABLE orders ADD COLUMN a int;")
    process = engine.start("up")
    newest.run(f"SELECT pg_cancel_backend({engine_at(newest, database, 'pg_sleep')})")
    ended = engine.end(process)
    assert (ended.code, ended.reason) == (0, "Succeeded")
    assert "lock not free (try 1)" in ended.output


def test_a_rewrite_that_always_takes_longer_than_the_budget_gives_up_and_lets_everybody_through(
    newest, database, sql, tmp_path
):
    guarded = guard(newest, database, tmp_path / "agent", LOCK_BUDGET="300ms")
    engine = sql("ALTER TABLE orders ADD COLUMN slow text DEFAULT (pg_sleep(0.01)::text || clock_timestamp());")
    reader = Client(newest, database, "web")
    longest = 0.0
    try:
        with guarding(guarded) as summary:
            process = engine.start("up")
            while process.poll() is None:
                assert reader.do("SELECT count(*) FROM orders").wait() == ""
                longest = max(longest, reader.seconds)
            ended = engine.end(process)
    finally:
        reader.close()
    assert (ended.code, ended.reason, ended.report["line"]) == (1, "LockBudgetExceeded", 1)
    assert "cancelled 3 times" in ended.message
    assert longest <= 0.4
    assert (summary[0]["cancelled"], summary[0]["terminated"], summary[0]["cause"]) == (3, 0, "LockBudgetExceeded")
    assert newest.run("SELECT count(*) FROM locktender.schema_migrations", database) == [(0,)]


def test_the_watchdog_leaves_an_index_that_is_built_concurrently_its_time(newest, database, sql, tmp_path):
    guarded = guard(newest, database, tmp_path / "agent", STATEMENT_TIMEOUT="300ms", LOCK_MAX_WAIT="300ms")
    engine = sql(
        "-- locktender: no-transaction\nCREATE INDEX CONCURRENTLY orders_note ON orders (note);",
        LOCKTENDER_STATEMENT_TIMEOUT="300ms",
    )
    old = Client(newest, database, "report").run("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM orders")
    try:
        with guarding(guarded):
            process = engine.start("up")
            engine_at(newest, database, "CONCURRENTLY")
            old.run("SELECT pg_sleep(2)", "COMMIT")
            ended = engine.end(process)
    finally:
        old.close()
    assert (ended.code, ended.reason) == (0, "Succeeded")
    assert guarded.of("cancel", "terminate") == []
