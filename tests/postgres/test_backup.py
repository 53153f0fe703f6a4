"""A backup of a real server: complete, restorable, said in full, and said once."""

import json
import shutil
import subprocess

import pytest
import zstandard

from locktender.runner.backup import store
from tests.postgres.programs import Program, arguments_of, everything_in, until

CANARY = "c4n4ry/pass@word"


@pytest.fixture
def shop(server):
    """A database with what dumps stumble over: large objects, sequences, partitions, generated columns, odd names."""
    name = server.database()
    with server.connect(name) as connection:
        connection.execute("""
            CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, twice text GENERATED ALWAYS AS (name || name) STORED);
            INSERT INTO customers (name) SELECT md5(g::text) FROM generate_series(1, 20000) g;
            CREATE SCHEMA "odd schema"; CREATE TABLE "odd schema"."odd ""table" (v jsonb);
            INSERT INTO "odd schema"."odd ""table" VALUES ('{"a": [1, null]}');
            CREATE TABLE events (at date, what text) PARTITION BY RANGE (at);
            CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
            INSERT INTO events SELECT '2026-01-01'::date + g, 'x' FROM generate_series(0, 300) g;
            SELECT lo_from_bytea(0, 'large');
        """)
    return name


@pytest.fixture
def backup(server, shop, client_root, tmp_path):
    (tmp_path / "store").mkdir()
    environment = {
        "LOCKTENDER_PG_ROOT": str(client_root),
        "LOCKTENDER_BACKUP_DIR": str(tmp_path / "store"),
        "LOCKTENDER_BACKUP_ID": "shop-1",
        "LOCKTENDER_RUN": "run-1",
        "LOCKTENDER_MIGRATION": "shop",
    }
    return Program(tmp_path, server.url(shop), ("backup",), environment)


def fingerprint(server, database):
    tables = server.run(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema|locktender)' ORDER BY 1",
        database,
    )
    return {
        table: server.run(f"SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM {table} t", database)
        for (table,) in tables
    }


def test_a_backup_restores_to_the_same_data_and_leaves_our_catalog_out(server, shop, backup, client_root, tmp_path):
    assert backup.run(LOCKTENDER_BACKUP_ID="earlier").code == 0

    ended = backup.run()

    assert (ended.code, ended.reason, ended.report["outcome"]) == (0, "Succeeded", "Succeeded"), ended.errors
    assert 0 < ended.report["freeBytes"] <= shutil.disk_usage(tmp_path).total
    facts = ended.report["backup"]
    folder = tmp_path / "store" / facts["directory"]
    data = folder / facts["file"]
    assert facts["clientVersion"].split(".")[0] == facts["serverVersion"].split(".")[0] == str(server.major)
    assert (facts["id"], facts["database"], facts["verification"]) == ("shop-1", shop, "Decoded")
    assert store.hash_stored(data) == (facts["sha256"], facts["sizeBytes"])
    assert data.name == ("data.dump.zst" if server.major < 16 else "data.dump")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["backup"] == facts
    assert manifest["owner"]["run"] == "run-1"
    assert "customers" in (folder / "toc.txt").read_text()
    row = server.run(
        "SELECT file_name, size_bytes, sha256, run_id FROM locktender.db_backups WHERE id = 'shop-1'", shop
    )
    assert row == [(facts["file"], facts["sizeBytes"], facts["sha256"], "run-1")]

    raw = data.read_bytes()
    if server.major < 16:
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    copy = server.database()
    restore = client_root / str(server.major) / "bin" / "pg_restore"
    subprocess.run([restore, "--exit-on-error", f"--dbname={server.url(copy)}"], input=raw, check=True, timeout=60)
    assert fingerprint(server, copy) == fingerprint(server, shop)
    assert server.run("SELECT count(*) FROM locktender.db_backups", copy) == [(0,)]
    assert server.run("SELECT count(*) FROM pg_largeobject", copy) == [(1,)]


def test_a_second_start_of_the_same_backup_reports_the_same_and_writes_nothing(server, backup, tmp_path):
    first = backup.run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}

    second = backup.run()

    assert second.code == 0
    assert second.report["backup"] == first.report["backup"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()} == {
        path: when for path, when in before.items() if path.is_file()
    }


def test_a_second_start_after_the_stored_file_was_damaged_is_refused(server, backup, tmp_path):
    facts = backup.run().report["backup"]
    data = tmp_path / "store" / facts["directory"] / facts["file"]
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)

    ended = backup.run()

    assert (ended.code, ended.reason) == (1, "VerificationFailed")
    assert "SHA-256 differs" in ended.message


def test_the_password_is_nowhere(server, shop, backup, tmp_path):
    role = server.role(CANARY, "SUPERUSER")
    quoted = CANARY.replace("/", "%2F").replace("@", "%40")
    backup.url = server.url(shop, role, quoted)
    seen = ""
    with server.connect(shop) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE customers")
        process = backup.start()
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'locktender backup'"
        )
        until(lambda: server.run(waiting), "pg_dump to wait for the lock")
        seen = arguments_of(process.pid)
    ended = backup.end(process)

    assert ended.code == 0, ended.errors
    assert "pg_dump" in seen
    everywhere = seen + json.dumps(ended.report) + ended.output + ended.errors
    for secret in (CANARY, quoted):
        assert secret not in everywhere
        assert secret.encode() not in everything_in(tmp_path)


def test_an_ordinary_role_with_the_documented_grants_can_back_up(server, shop, backup):
    role = server.role("secret-of-role", "BYPASSRLS")
    server.run(
        f"GRANT pg_read_all_data TO {role}; GRANT CREATE ON DATABASE {shop} TO {role}; ALTER ROLE {role} SET default_transaction_read_only = on"
    )
    server.run("SELECT lo_unlink(oid) FROM pg_largeobject_metadata", shop)
    backup.url = server.url(shop, role, "secret-of-role")

    ended = backup.run()

    assert ended.code == 0, ended.errors


def test_a_connection_string_of_a_driver_and_with_parameters_is_understood(server, shop, backup):
    backup.url = (
        server.url(shop).replace("postgresql://", "postgresql+psycopg2://")
        + "?sslmode=prefer&keepalives_idle=7&target_session_attrs=any"
    )

    ended = backup.run()

    assert ended.code == 0, ended.errors


def test_leftovers_of_abandoned_attempts_are_swept_after_a_day(newest_backup, tmp_path):
    import os
    import time

    old, fresh = (tmp_path / "store" / "1" / "2-x" / name for name in ("20200101T000000Z-a", "20200101T000000Z-b"))
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "data.dump.partial").write_bytes(b"cut")
    yesterday = time.time() - 25 * 3600
    for path in (old / "data.dump.partial", old):
        os.utime(path, (yesterday, yesterday))

    assert newest_backup.run().code == 0

    assert (old.exists(), fresh.exists()) == (False, True)


@pytest.fixture
def newest_backup(newest, client_root, tmp_path):
    (tmp_path / "store").mkdir()
    environment = {
        "LOCKTENDER_PG_ROOT": str(client_root),
        "LOCKTENDER_BACKUP_DIR": str(tmp_path / "store"),
        "LOCKTENDER_BACKUP_ID": "shop-1",
    }
    return Program(tmp_path, newest.url(newest.database()), ("backup",), environment)
