"""SQL files on real servers: applied once, in order, with short locks, and resumed where they were."""

import json
import signal
import time

import pytest

from tests.postgres.programs import Program, until

FIRST = "20260101000000_first"
SECOND = "20260102000000_second"
THIRD = "20260103000000_third"


class Sql(Program):
    """The SQL engine over a folder of files in a fresh database."""

    def write(self, **files):
        for name, text in files.items():
            (self.folder / "files" / f"{name.removeprefix('_')}.sql").write_text(text)

    def file(self, name, text):
        (self.folder / "files" / name).write_text(text)


@pytest.fixture
def sql_on(tmp_path):
    def on(server):
        (tmp_path / "files").mkdir()
        made = Sql(tmp_path, "", ("sql",), {"LOCKTENDER_MIGRATIONS_DIR": str(tmp_path / "files")})
        made.database = server.database()
        made.url = server.url(made.database)
        made.rows = lambda statement: server.run(statement, made.database)
        return made

    return on


@pytest.fixture
def sql(sql_on, newest):
    return sql_on(newest)


def refused(ended, reason, *words):
    assert (ended.code, ended.reason, ended.report["outcome"]) == (1, reason, "Failed"), ended
    for word in words:
        assert word in ended.message
    return True


def test_files_go_up_once_and_down_again(server, sql_on):
    sql = sql_on(server)
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);")
    sql.file(f"{FIRST}.down.sql", "DROP TABLE a;")
    sql.file(
        f"{SECOND}.up.sql",
        "-- locktender: no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nVACUUM a;\nDO $$ BEGIN INSERT INTO a VALUES (2); COMMIT; END $$;",
    )
    sql.file(f"{SECOND}.down.sql", "-- locktender: no-transaction\nDROP INDEX CONCURRENTLY a_id;")

    up = sql.run("up")
    assert (up.code, up.reason, up.report["applied"], up.report["appliedCount"]) == (
        0,
        "Succeeded",
        [FIRST, SECOND],
        2,
    ), up
    assert up.report["version"] == SECOND[:14]
    assert sql.rows("SELECT id FROM a ORDER BY 1") == [(1,), (2,)]
    assert sql.rows("SELECT version, name, applied_at IS NOT NULL, resume_done FROM locktender.schema_migrations ORDER BY 1") == [
        (FIRST[:14], "first", True, None), (SECOND[:14], "second", True, None),
    ]  # fmt: skip

    again = sql.run("up")
    assert (again.code, again.reason, again.report["appliedCount"]) == (0, "NothingToDo", 0)

    down = sql.run("down")
    assert (down.code, down.report["version"]) == (0, FIRST[:14])
    assert sql.run("down", "--to", "00000000000000").code == 0
    assert sql.rows("SELECT to_regclass('a')::text, (SELECT count(*) FROM locktender.schema_migrations)") == [(None, 0)]


def test_up_stops_at_a_version_and_status_tells_both(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    sql.file(f"{SECOND}.up.sql", "SELECT 2")

    assert sql.run("up", "--to", FIRST[:14]).report["applied"] == [FIRST]

    listed = json.loads(sql.run("status", "--output", "json").output)
    assert [(file["name"], file["state"]) for file in listed["files"]] == [("first", "applied"), ("second", "pending")]
    assert "1 to apply" in sql.run("status").output


def test_status_needs_no_right_to_write(newest, sql):
    role = newest.role("secret-of-role")
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    sql.url = newest.url(sql.database, role, "secret-of-role")

    ended = sql.run("status")

    assert ended.code == 0
    assert sql.rows("SELECT to_regnamespace('locktender') IS NULL") == [(True,)]


def test_a_failing_statement_is_named_by_file_and_line_and_its_file_rolled_back(server, sql_on):
    sql = sql_on(server)
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE a (id int);")
    sql.file(f"{SECOND}.up.sql", "CREATE TABLE b (id int);\n\nALTER TABLE a\n  ADD COLUMN x nonsense;\n")

    ended = sql.run("up")

    assert refused(ended, "StatementFailed", f"{SECOND}.up.sql, line 4", "42704", "rolled back")
    assert (ended.report["file"], ended.report["line"], ended.report["sqlstate"]) == (f"{SECOND}.up.sql", 4, "42704")
    assert (ended.report["applied"], ended.report["appliedCount"]) == ([FIRST], 1)
    assert sql.rows("SELECT to_regclass('b')::text") == [(None,)]


def test_a_failure_without_position_is_named_by_its_statement_and_no_row_value_is_shown(sql):
    sql.file(
        f"{FIRST}.up.sql",
        "CREATE TABLE a (id int PRIMARY KEY);\nINSERT INTO a VALUES (4711);\n\n\nINSERT INTO a\nVALUES (4711);",
    )

    ended = sql.run("up")

    assert refused(ended, "StatementFailed", "line 5", "23505", "a_pkey")
    assert "4711" not in str(ended)


def test_a_value_that_cannot_be_converted_is_not_shown(sql):
    sql.file(
        f"{FIRST}.up.sql",
        "CREATE TABLE a (v text); INSERT INTO a VALUES ('canary-value');\nALTER TABLE a ALTER v TYPE int USING v::int;",
    )

    ended = sql.run("up")

    assert refused(ended, "StatementFailed", "22P02", "line 2")
    assert "canary-value" not in str(ended)


def test_a_constraint_that_fails_at_commit_rolls_back(sql):
    sql.file(
        f"{FIRST}.up.sql",
        "CREATE TABLE a (id int PRIMARY KEY, p int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1, 2);",
    )

    assert refused(sql.run("up"), "StatementFailed", "23503")
    assert sql.rows("SELECT to_regclass('a')::text") == [(None,)]


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        ({}, "MigrationsMissing", "no .up.sql file"),
        ({"first.up.sql": "SELECT 1"}, "InvalidMigrationFile", "14 digits"),
        ({f"{FIRST}.up.sql": "SELECT 1", "20260101000000_other.up.sql": "SELECT 1"}, "InvalidMigrationFile", "version of"),
        ({f"{FIRST}.down.sql": "SELECT 1"}, "InvalidMigrationFile", "no .up.sql"),
        ({f"{FIRST}.up.sql": " -- nothing\n"}, "InvalidMigrationFile", "no statement"),
        ({f"{FIRST}.up.sql": "SELECT 1;\n\\i other.sql"}, "InvalidMigrationFile", "line 2"),
        ({f"{FIRST}.up.sql": "SELECT 1;\nCOPY a FROM STDIN;"}, "InvalidMigrationFile", "line 2"),
        ({f"{FIRST}.up.sql": "BEGIN;\nSELECT 1;\nCOMMIT;"}, "InvalidMigrationFile", "line 1"),
        ({f"{FIRST}.up.sql": "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON a (b)"}, "InvalidMigrationFile", "no-transaction"),
        ({f"{FIRST}.up.sql": "-- locktender: no-transactions\nSELECT 1"}, "InvalidMigrationFile", "unknown"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_meant_are_refused_before_anything_runs(sql, files, reason, words):
    for name, text in files.items():
        sql.file(name, text)

    assert refused(sql.run("up"), reason, words)


def test_a_file_that_is_not_utf8_is_refused(sql):
    (sql.folder / "files" / f"{FIRST}.up.sql").write_bytes(b"SELECT 1;\nSELECT '\xff'")

    assert refused(sql.run("up"), "InvalidMigrationFile", "UTF-8", "line 2")


def test_a_changed_file_is_refused_and_named(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    assert sql.run("up").code == 0
    sql.file(f"{FIRST}.up.sql", "SELECT 2")

    assert refused(sql.run("up"), "ChecksumMismatch", f"{FIRST}.up.sql")
    assert "changed" in sql.run("status").output


def test_a_file_older_than_the_newest_applied_one_is_refused_unless_asked_for(sql):
    sql.file(f"{SECOND}.up.sql", "SELECT 2")
    assert sql.run("up").code == 0
    sql.file(f"{FIRST}.up.sql", "SELECT 1")

    assert refused(sql.run("up"), "OutOfOrder", f"{FIRST}.up.sql")
    assert sql.run("up", "--allow-out-of-order").report["applied"] == [FIRST]


def test_down_without_a_down_file_undoes_nothing(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    sql.file(f"{SECOND}.up.sql", "SELECT 1")
    sql.file(f"{SECOND}.down.sql", "SELECT 1")
    assert sql.run("up").code == 0

    assert refused(sql.run("down", "--steps", "2"), "MigrationsMissing", f"{FIRST}.down.sql")
    assert sql.rows("SELECT count(*) FROM locktender.schema_migrations") == [(2,)]


def test_an_older_release_with_fewer_files_has_nothing_to_do(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    sql.file(f"{SECOND}.up.sql", "SELECT 1")
    assert sql.run("up").code == 0
    (sql.folder / "files" / f"{SECOND}.up.sql").unlink()

    assert sql.run("up").reason == "NothingToDo"


def test_what_a_file_sets_for_its_session_does_not_reach_the_next(sql):
    sql.file(f"{FIRST}.up.sql", "CREATE SCHEMA other; SET search_path = other; SET ROLE pg_monitor;")
    sql.file(f"{SECOND}.up.sql", "CREATE TABLE a (id int);")

    assert sql.run("up").code == 0
    assert sql.rows("SELECT to_regclass('public.a') IS NOT NULL") == [(True,)]


def test_a_lock_that_comes_free_is_waited_for_in_short_tries(newest, sql):
    sql.rows("CREATE TABLE busy (id int)")
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE kept (id int);\nALTER TABLE busy ADD COLUMN x int;")
    with newest.connect(sql.database, application_name="the-blocker") as blocker:
        with blocker.transaction():
            blocker.execute("LOCK TABLE busy IN ACCESS SHARE MODE")
            process = sql.start("up", LOCKTENDER_LOCK_TIMEOUT="100ms")
            line = process.stdout.readline() + process.stdout.readline() + process.stdout.readline()
            begun = time.monotonic()
            longest = 0.0
            while time.monotonic() - begun < 2:
                asked = time.monotonic()
                sql.rows("SELECT count(*) FROM busy")
                longest = max(longest, time.monotonic() - asked)
        ended = sql.end(process)

    assert ended.code == 0, ended
    assert "lock not free (try 1)" in line
    assert "the-blocker" in line
    assert longest < 0.6  # a reader waits behind one try (100 to 200 ms here), not behind the blocker


def test_a_lock_that_stays_taken_fails_and_names_the_blocker(newest, sql):
    sql.rows("CREATE TABLE busy (id int)")
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE kept (id int);\nALTER TABLE busy ADD COLUMN x int;")
    with newest.connect(sql.database, application_name="the-blocker") as blocker, blocker.transaction():
        blocker.execute("SELECT 'canary-literal', count(*) FROM busy")
        ended = sql.run("up", LOCKTENDER_LOCK_MAX_WAIT="2s")
        pid = blocker.info.backend_pid

    assert refused(ended, "LockTimeout", "line 2", "the-blocker", str(pid), "user postgres", "idle in transaction")
    assert (ended.report["line"], ended.report["sqlstate"]) == (2, "55P03")
    assert "canary-literal" not in str(ended)
    assert sql.rows("SELECT to_regclass('kept')::text") == [(None,)]


def test_a_statement_that_takes_too_long_is_stopped(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1;\nSELECT pg_sleep(30);")

    assert refused(
        sql.run("up", LOCKTENDER_STATEMENT_TIMEOUT="300ms"), "StatementTimeout", "line 2", "statementTimeout"
    )


def test_a_statement_timeout_while_waiting_for_a_lock_counts_as_a_lock(newest, sql):
    sql.rows("CREATE TABLE busy (id int)")
    sql.file(f"{FIRST}.up.sql", "ALTER TABLE busy ADD COLUMN x int;")
    with newest.connect(sql.database) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE busy")
        ended = sql.run(
            "up", LOCKTENDER_LOCK_TIMEOUT="5s", LOCKTENDER_STATEMENT_TIMEOUT="300ms", LOCKTENDER_LOCK_MAX_WAIT="2s"
        )

    assert refused(ended, "LockTimeout", "line 1")


def test_two_runners_at_once_apply_each_file_once(server, sql_on):
    sql = sql_on(server)
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE a (id int); SELECT pg_sleep(0.5);")
    sql.file(f"{SECOND}.up.sql", "INSERT INTO a VALUES (1);")
    processes = [sql.start("up") for _ in range(2)]

    assert [sql.end(process).code for process in processes] == [0, 0]
    assert sql.rows("SELECT count(*) FROM a") == [(1,)]


def test_another_runner_that_stays_is_reported_as_waiting(newest, sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    with newest.connect(sql.database) as other:
        other.execute("SELECT pg_advisory_lock(%s, 2)", (0x4C4F434B,))
        ended = sql.run("up", LOCKTENDER_LOCK_MAX_WAIT="500ms")

    assert (ended.code, ended.reason, ended.report["outcome"]) == (75, "DatabaseBusy", "Waiting")


def test_a_killed_transactional_file_is_run_again_from_its_start(sql):
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE a (id int);\nSELECT pg_sleep(1);\nINSERT INTO a VALUES (1);")
    process = sql.start("up")
    sleeping = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{sql.database}' AND wait_event = 'PgSleep'"
    until(lambda: sql.rows(sleeping), "the file to sleep")
    sql.kill(process)

    assert sql.run("up").code == 0
    assert sql.rows("SELECT count(*) FROM a") == [(1,)]


def test_a_killed_no_transaction_file_goes_on_after_its_last_complete_statement(server, sql_on):
    sql = sql_on(server)
    sql.file(
        f"{FIRST}.up.sql",
        "-- locktender: no-transaction\nSET search_path = s, public;\nCREATE SCHEMA s;\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n"
        "SELECT pg_sleep(1);\nINSERT INTO a VALUES (2);\nCREATE INDEX CONCURRENTLY a_id ON a (id);",
    )
    process = sql.start("up")
    sleeping = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{sql.database}' AND wait_event = 'PgSleep'"
    until(lambda: sql.rows(sleeping), "the file to sleep")
    sql.kill(process)
    assert sql.rows("SELECT resume_done FROM locktender.schema_migrations") == [(4,)]
    assert "half-done" in sql.run("status").output

    ended = sql.run("up")

    assert ended.code == 0, ended
    assert "4 of 7 statements were done before" in ended.output
    assert sql.rows("SELECT id FROM s.a ORDER BY 1") == [(1,), (2,)]
    assert sql.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 's.a_id'::regclass") == [(True,)]


def test_the_part_of_a_half_done_file_that_has_not_run_may_be_mended(sql):
    head = "-- locktender: no-transaction\nCREATE TABLE a (id int);\n"
    sql.file(f"{FIRST}.up.sql", head + "SELECT nonsense;")
    assert refused(sql.run("up"), "StatementFailed", "line 3", "1 statements before it are done")

    sql.file(f"{FIRST}.up.sql", head.replace("int", "bigint") + "SELECT 1;")
    assert refused(sql.run("up"), "ChecksumMismatch", "first 1 statements")

    sql.file(f"{FIRST}.up.sql", head + "SELECT 1;")
    assert sql.run("up").code == 0


def test_an_invalid_index_of_a_failed_build_is_dropped_before_the_next(server, sql_on):
    sql = sql_on(server)
    sql.rows("CREATE TABLE a (id int); INSERT INTO a VALUES (1), (1)")
    sql.file(
        f"{FIRST}.up.sql",
        '-- locktender: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "A x" ON public.a (id);',
    )

    assert refused(sql.run("up"), "StatementFailed", "23505", "line 2")
    assert sql.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]

    with pytest.raises(Exception, match="could not create unique index"):
        sql.rows('CREATE UNIQUE INDEX CONCURRENTLY "A x" ON a (id)')
    sql.rows("DELETE FROM a")
    ended = sql.run("up")
    assert ended.code == 0, ended
    assert "dropping the invalid index" in ended.output
    assert sql.rows("SELECT indisvalid FROM pg_index WHERE indrelid = 'a'::regclass") == [(True,)]


def test_a_concurrent_build_waits_for_old_transactions_no_longer_than_it_may(newest, sql):
    sql.rows("CREATE TABLE a (id int)")
    sql.file(f"{FIRST}.up.sql", "-- locktender: no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);")
    with newest.connect(sql.database, application_name="the-blocker") as blocker, blocker.transaction():
        blocker.execute("INSERT INTO a VALUES (1)")
        ended = sql.run("up", LOCKTENDER_LOCK_MAX_WAIT="1s")

    assert refused(ended, "LockTimeout", "the-blocker", "line 2")
    assert sql.run("up").code == 0
    assert sql.rows("SELECT indisvalid FROM pg_index WHERE indrelid = 'a'::regclass") == [(True,)]


def test_sigterm_stops_the_statement_on_the_server_too(sql):
    sql.file(f"{FIRST}.up.sql", "CREATE TABLE a (id int);\nSELECT pg_sleep(30);")
    process = sql.start("up")
    sleeping = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{sql.database}' AND wait_event = 'PgSleep'"
    until(lambda: sql.rows(sleeping), "the file to sleep")
    begun = time.monotonic()

    ended = sql.end(process, signal.SIGTERM)

    assert refused(ended, "Interrupted")
    assert time.monotonic() - begun < 2
    assert sql.rows(sleeping) == []


def test_a_session_that_the_server_ends_is_told_as_lost(sql):
    sql.file(f"{FIRST}.up.sql", "SELECT 1;\nSELECT pg_terminate_backend(pg_backend_pid());")

    assert refused(sql.run("up"), "ConnectionLost", "sql status")


def test_a_role_that_may_not_make_the_schema_is_told_the_sql(newest, sql):
    role = newest.role("secret-of-role")
    sql.file(f"{FIRST}.up.sql", "SELECT 1")
    sql.url = newest.url(sql.database, role, "secret-of-role")

    ended = sql.run("up")

    assert refused(ended, "SchemaPermission", f'"{role}"')
    newest.run(ended.report["sql"], sql.database)
    assert sql.run("up").code == 0
