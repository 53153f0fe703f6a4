"""Rules of the Job side that need no server."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from locktender.__main__ import main
from locktender.runner import settings
from locktender.runner.backup import store
from locktender.runner.sql import files, indexes
from locktender.runner.sql.lexer import split
from locktender.runner.sql.locks import Limits, Patience

SOURCE = Path(__file__).parents[3] / "operator"


@pytest.mark.parametrize(("text", "value"), [("100ms", 0.1), ("30s", 30), ("1h30m", 5400), ("2m", 120)])
def test_durations_are_read_as_people_write_them(text, value):
    assert settings.seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "-1s"])
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match="write it like"):
        settings.seconds(text)


def test_a_try_never_waits_without_a_limit_and_grows_only_so_far():
    patience = Patience(Limits(0.1, 60, 30))
    waits = [patience.next_lock_timeout() for _ in range(100)]
    assert waits[0] == 100
    assert waits == sorted(waits)
    assert waits[-1] == 500
    spent = Patience(Limits(0.1, 0, 30))
    assert spent.next_lock_timeout() == 10
    assert spent.pause() is None


def test_pauses_between_tries_are_jittered_and_bounded():
    patience = Patience(Limits(0.1, 60, 30), tries=50)
    pauses = [patience.pause() for _ in range(200)]
    assert 1.5 <= min(pauses) < max(pauses) <= 3.0


def test_a_lock_timeout_of_zero_is_refused(monkeypatch):
    monkeypatch.setenv("LOCKTENDER_LOCK_TIMEOUT", "0s")
    with pytest.raises(ValueError, match="without end"):
        Limits.from_environment()


def test_a_checkout_with_other_line_ends_has_the_same_checksum(tmp_path):
    (tmp_path / "a.sql").write_bytes(b"SELECT 1;\nSELECT 2;\n")
    (tmp_path / "b.sql").write_bytes(b"\xef\xbb\xbfSELECT 1;\r\nSELECT 2;\r\n")
    assert files.read(tmp_path / "a.sql").checksum == files.read(tmp_path / "b.sql").checksum


@pytest.mark.parametrize(
    "text",
    [
        "ROLLBACK TO SAVEPOINT a",
        "SAVEPOINT a",
        "DO $$ BEGIN COMMIT; END $$",
        "SELECT 'BEGIN'",
        "CREATE INDEX i ON concurrently_used (a)",
    ],
)
def test_what_only_looks_like_transaction_control_is_allowed(tmp_path, text):
    (tmp_path / "a.sql").write_text(text)
    assert files.read(tmp_path / "a.sql").transactional


@pytest.mark.parametrize(
    "text", ["BEGIN", "start transaction", "COMMIT AND CHAIN", "END", "ROLLBACK", "abort", "PREPARE TRANSACTION 'x'"]
)
def test_transaction_control_is_refused(tmp_path, text):
    (tmp_path / "a.sql").write_text(f"SELECT 1; {text}")
    with pytest.raises(files.MigrationError, match="not allowed here"):
        files.read(tmp_path / "a.sql")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", ("i", "T")),
        ('CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I ""x" ON ONLY "s"."T" USING gin (a)', ('I "x', '"s"."T"')),
        ("DROP INDEX CONCURRENTLY i", None),
    ],
)
def test_the_index_that_is_built_is_known_by_name_and_table(text, expected):
    assert indexes._created(split(text)[0].words) == expected


def test_paths_of_backups_are_single_segments():
    assert store.folder_name("2026-01-02T03:04:05Z", "a/b") == "20260102T030405Z-a%2Fb"
    assert [store.segment(name) for name in ("..", "my db")] == ["%2E%2E", "my%20db"]


def test_a_manifest_is_never_overwritten(tmp_path):
    store.write_new(tmp_path / "manifest.json", b"1")
    with pytest.raises(FileExistsError):
        store.write_new(tmp_path / "manifest.json", b"2")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"1"]


def test_a_database_that_cannot_fit_is_refused_before_it_is_dumped(tmp_path):
    store.require_room(tmp_path, 1)
    with pytest.raises(store.StoreError, match="MiB are free"):
        store.require_room(tmp_path, 1 << 60)


def run(*arguments, **environment):
    command = [sys.executable, "-X", "importtime", "-m", "locktender", *arguments]
    return subprocess.run(
        command, env={"PYTHONPATH": str(SOURCE), **environment}, capture_output=True, text=True, check=False, timeout=30
    )


def test_the_hook_of_every_migration_loads_no_driver_and_is_fast(tmp_path):
    (tmp_path / "fence-held").touch()
    ended = run("runner", "agent-wait", LOCKTENDER_RUN_DIR=str(tmp_path))
    assert ended.returncode == 0
    assert "psycopg" not in ended.stderr
    assert "locktender.runner.agent.wait" in ended.stderr
    times = []
    for _ in range(3):
        begun = processor_time()
        run("runner", "agent-wait", LOCKTENDER_RUN_DIR=str(tmp_path))
        times.append(processor_time() - begun)
    assert min(times) < 0.2  # seconds of a processor, whoever else uses it; 0.06 as a rule


def processor_time():
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.parametrize(
    ("left", "code"), [('{"exitCode": 75, "report": {"reason": "DatabaseBusy"}}', 75), ("not json", 1)]
)
def test_the_hook_fails_when_the_agent_gave_up_even_if_it_held_before(tmp_path, left, code):
    (tmp_path / "fence-held").touch()
    (tmp_path / "gave-up").write_text(left)
    assert run("runner", "agent-wait", LOCKTENDER_RUN_DIR=str(tmp_path)).returncode == code


def test_the_hook_does_not_wait_for_ever(tmp_path):
    assert run("runner", "agent-wait", LOCKTENDER_RUN_DIR=str(tmp_path), LOCKTENDER_FENCE_WAIT="0.1").returncode == 75


def test_the_command_line_teaches(capsys):
    for arguments in (["--help"], ["runner", "--help"], ["runner", "sql", "up", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in ("controller", "release-all", "LOCKTENDER_DATABASE_URL", "--allow-out-of-order"):
        assert word in shown
    assert main(["version"]) == 0
