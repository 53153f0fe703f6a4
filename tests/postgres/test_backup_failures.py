"""Every way a backup was seen to fail: nothing is published, and the report says what it was."""

import os
import random
import resource
import signal
import socket
import time

import pytest

from locktender.runner.backup import store
from tests.postgres.pooler import pooling
from tests.postgres.programs import Program, child_with, until, wrapper

SEED = int(os.environ.get("LOCKTENDER_TEST_SEED", "20260102"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def big(servers):
    """A database whose dump takes long enough to be hit in its middle."""
    server = servers(18)
    name = server.database()
    server.run(
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) || md5((g + 1)::text) AS v FROM generate_series(1, 200000) g",
        name,
    )
    return name


@pytest.fixture
def backup(newest, big, client_root, tmp_path, root):
    environment = {
        "LOCKTENDER_PG_ROOT": str(client_root),
        "LOCKTENDER_BACKUP_DIR": str(root),
        "LOCKTENDER_BACKUP_ID": "b",
    }
    return Program(tmp_path, newest.url(big), ("backup",), environment)


def nothing_is_left(root):
    return [path for path in root.rglob("*") if path.is_file()] == []


def failed(ended, reason, root):
    assert (ended.code, ended.reason, ended.report["outcome"]) == (1, reason, "Failed"), ended.report
    assert nothing_is_left(root)
    return True


def waits(ended, reason, root):
    assert (ended.code, ended.reason, ended.report["outcome"]) == (75, reason, "Waiting"), ended.report
    assert nothing_is_left(root)
    return True


@pytest.mark.parametrize("major", [14, 18])
@pytest.mark.parametrize(
    ("program", "body", "reason", "words"),
    [
        ("pg_dump", '"$REAL" "$@" | head -c 200000; kill -9 $$', "DumpFailed", "killed by signal 9"),
        ("pg_dump", '"$REAL" "$@" | head -c 200000; exit 1', "DumpFailed", "exit code 1"),
        ("pg_dump", '"$REAL" "$@" | head -c 200000', "VerificationFailed", "could not"),
        ("pg_dump", "exit 0", "VerificationFailed", "pg_restore"),
        ("pg_restore", "head -c 50000 >/dev/null; kill -9 $$", "VerificationFailed", "killed by signal 9"),
        ("pg_restore", 'case "$*" in *--list*) exit 1;; *) exec "$REAL" "$@";; esac', "VerificationFailed", "listed"),
    ],
    ids=[
        "dump-killed",
        "dump-fails",
        "dump-cut-short-with-code-0",
        "dump-empty",
        "verifier-killed",
        "contents-unreadable",
    ],
)
def test_a_program_that_fails_leaves_nothing(servers, client_root, tmp_path, major, program, body, reason, words):
    root, server = tmp_path / "store", servers(major)
    root.mkdir()
    database = server.database()
    server.run("CREATE TABLE t AS SELECT md5(g::text) AS v FROM generate_series(1, 100000) g", database)
    clients = wrapper(client_root, tmp_path / "clients", major, program, body)
    environment = {"LOCKTENDER_PG_ROOT": str(clients), "LOCKTENDER_BACKUP_DIR": str(root), "LOCKTENDER_BACKUP_ID": "b"}

    ended = Program(tmp_path, server.url(database), ("backup",), environment).run()

    assert failed(ended, reason, root)
    assert words in ended.message


def test_the_real_pg_dump_killed_in_its_middle(backup, root):
    process = backup.start()
    os.kill(child_with(process.pid, "pg_dump", "--snapshot"), signal.SIGKILL)

    assert failed(backup.end(process), "DumpFailed", root)


def test_a_server_that_ends_the_dumps_session(newest, big, backup, root):
    with newest.connect(big) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE t")
        process = backup.start()
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
        until(lambda: newest.run(query), "pg_dump to wait for the lock")
        ended = backup.end(process)

    assert failed(ended, "ConnectionLost", root)


def test_a_full_file_system(backup, tmp_path, root):
    store_path = str(root)
    backup.prefix = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=2m none {store_path} && exec "$@"',
        "sh",
    )
    if os.geteuid() != 0:
        backup.prefix = ("unshare", "--map-root-user", *backup.prefix[1:])

    assert failed(backup.run(), "StorageFull", root)


def test_a_file_size_limit(backup, root, monkeypatch):
    process = backup.start()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (500_000, 500_000))

    assert failed(backup.end(process), "StorageFull", root)


def test_a_store_that_is_not_there(backup, root):
    ended = backup.run(LOCKTENDER_BACKUP_DIR=str(root / "absent"))

    assert failed(ended, "StorageUnwritable", root)


def test_a_store_that_cannot_be_written(backup, root):
    ended = backup.run(LOCKTENDER_BACKUP_DIR="/proc")

    assert (ended.code, ended.reason) == (1, "StorageUnwritable")


def test_a_table_that_may_not_be_read_is_named_before_a_byte_is_dumped(newest, backup, root):
    database, role = newest.database(), newest.role("secret-of-role")
    newest.run(f"GRANT CREATE ON DATABASE {database} TO {role}")
    newest.run("CREATE TABLE hidden (id int); CREATE TABLE open (id serial); GRANT SELECT ON open TO PUBLIC", database)
    backup.url = newest.url(database, role, "secret-of-role")

    ended = backup.run()

    assert failed(ended, "PermissionDenied", root)
    assert "public.hidden" in ended.message
    assert "public.open_id_seq" in ended.message
    assert f'GRANT pg_read_all_data TO "{role}"' in ended.message


def test_row_security_is_named(newest, backup, root):
    database, role = newest.database(), newest.role("secret-of-role", "IN ROLE pg_read_all_data")
    newest.run(f"GRANT CREATE ON DATABASE {database} TO {role}")
    newest.run("CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY", database)
    backup.url = newest.url(database, role, "secret-of-role")

    ended = backup.run()

    assert failed(ended, "PermissionDenied", root)
    assert "public.guarded" in ended.message
    assert "BYPASSRLS" in ended.message


def test_large_objects_of_others_are_named(newest, backup, root):
    database, role = newest.database(), newest.role("secret-of-role", "IN ROLE pg_read_all_data")
    newest.run(f"GRANT CREATE ON DATABASE {database} TO {role}")
    newest.run("SELECT lo_from_bytea(0, 'x')", database)
    backup.url = newest.url(database, role, "secret-of-role")

    ended = backup.run()

    assert failed(ended, "PermissionDenied", root)
    assert "1 large objects" in ended.message


def test_a_role_that_may_not_make_the_schema_is_told_the_sql_that_helps(newest, backup, root):
    database, role = newest.database(), newest.role("secret-of-role", "IN ROLE pg_read_all_data BYPASSRLS")
    backup.url = newest.url(database, role, "secret-of-role")

    ended = backup.run()

    assert failed(ended, "SchemaPermission", root)
    newest.run(ended.report["sql"], database)
    assert backup.run().code == 0


def test_a_wrong_password(newest, big, backup, root):
    role = newest.role("right-password")
    backup.url = newest.url(big, role, "wr0ng-canary")

    ended = backup.run()

    assert failed(ended, "AuthenticationFailed", root)
    assert "wr0ng-canary" not in str(ended)


def test_a_server_that_is_not_there_is_waited_for(backup, root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else's
        backup.url = f"postgresql://u:canary-pw@127.0.0.1:{taken.getsockname()[1]}/x"
        begun = time.monotonic()
        ended = backup.run()

    assert waits(ended, "DatabaseUnreachable", root)
    assert 4 < time.monotonic() - begun < 8
    assert "canary-pw" not in str(ended)


def test_a_database_that_is_not_there_is_waited_for(newest, backup, root):
    backup.url = newest.url("absent")

    assert waits(backup.run(), "DatabaseMissing", root)


def test_a_role_without_free_connections_is_waited_for(newest, big, backup, root):
    role = newest.role("secret-of-role", "CONNECTION LIMIT 0")
    backup.url = newest.url(big, role, "secret-of-role")

    assert waits(backup.run(), "TooManyConnections", root)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:canary-pw@h/d",
        "u:canary-pw@h",
        "postgres://u:canary%zz@h/d",
        "postgres://u:canary-pw@h/d?schema=public",
    ],
)
def test_a_url_that_is_none(backup, root, url):
    backup.url = url

    ended = backup.run()

    assert failed(ended, "InvalidUrl", root)
    assert "canary" not in str(ended)


def test_a_server_without_client_programs_of_its_major(backup, root, tmp_path):
    ended = backup.run(LOCKTENDER_PG_ROOT=str(tmp_path))

    assert failed(ended, "UnsupportedServer", root)


def test_a_pooler_in_between_is_refused(newest, big, backup, root):
    with pooling(newest.port) as port:
        backup.url = f"postgresql://postgres@127.0.0.1:{port}/{big}"
        assert failed(backup.run(), "PoolerRefused", root)


def test_two_backups_of_one_database_do_not_run_at_once(newest, big, backup, root):
    with newest.connect(big) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE t")
        process = backup.start()
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 3 AND granted"
        until(lambda: newest.run(held, big), "the first backup to begin")
        second = backup.run(LOCKTENDER_BACKUP_ID="other")
        assert (second.code, second.reason) == (75, "DatabaseBusy")
    assert backup.end(process).code == 0


def test_sigterm_ends_it_cleanly(newest, big, backup, root):
    with newest.connect(big) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE t")
        process = backup.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
        until(lambda: newest.run(waiting), "pg_dump to wait for the lock")
        begun = time.monotonic()
        ended = backup.end(process, signal.SIGTERM)

    assert failed(ended, "Interrupted", root)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whenever_it_is_stopped_only_whole_backups_are_listed(backup, root, number):
    chance = random.Random(SEED + number)  # noqa: S311  # a reproducible walk
    for attempt in range(10):
        process = backup.start(LOCKTENDER_BACKUP_ID=f"b{attempt}")
        time.sleep(chance.uniform(0.15, 0.9))
        backup.end(process, number)
        for manifest in store.complete(root):
            facts = manifest["backup"]
            assert store.hash_stored(root / facts["directory"] / facts["file"]) == (facts["sha256"], facts["sizeBytes"])
        if number == signal.SIGTERM:
            assert {path.parent for path in root.rglob("*") if path.is_file()} == {
                path.parent for path in root.rglob("manifest.json")
            }
    after = until(
        lambda: (ended := backup.run(LOCKTENDER_BACKUP_ID="after")).reason != "DatabaseBusy" and ended,
        "a free database",
    )
    assert after.code == 0
