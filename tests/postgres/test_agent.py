"""The fence: one migration at a time, and no second attempt while the end of the first is unknown."""

import json
import signal
import time

import pytest

from tests.postgres.programs import Program, until


class Pod(Program):
    """One pod's agent."""

    @property
    def run_dir(self):
        return self.folder / "run"

    def holds(self):
        return (self.run_dir / "fence-held").exists()

    def begin(self, **variables):
        process = self.start(**variables)
        until(lambda: self.holds() or process.poll() is not None, "the fence")
        assert self.holds(), self.end(process)
        return process


@pytest.fixture
def database(newest):
    return newest.database()


@pytest.fixture
def pod(newest, database, tmp_path):
    def make(name, attempt=1, run="run-1", url=None, leave=""):
        folder = tmp_path / name
        (folder / "run").mkdir(parents=True)
        environment = {
            "LOCKTENDER_RUN_DIR": str(folder / "run"), "LOCKTENDER_RUN": run, "LOCKTENDER_STEP": "migrate",
            "LOCKTENDER_ATTEMPT": str(attempt), "LOCKTENDER_POD_UID": name, "LOCKTENDER_LEAVE_ACCESS": leave,
        }  # fmt: skip
        return Pod(folder, url or newest.url(database), ("agent",), environment)

    return make


def rows(server, database):
    return server.run(
        "SELECT pod_uid, attempt, state, ended_at IS NOT NULL FROM locktender.runs ORDER BY started_at", database
    )


def locks(server, database):
    found = server.run(
        f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = '{database}')"
    )
    return found[0][0]


def test_it_holds_until_sigterm_and_records_the_end_fast(server, tmp_path):
    times = []
    for number in range(3):  # a busy machine may hold up any one of them
        database, folder = server.database(), tmp_path / str(number)
        folder.mkdir()
        environment = {
            "LOCKTENDER_RUN_DIR": str(folder / "run"),
            "LOCKTENDER_RUN": "r",
            "LOCKTENDER_STEP": "migrate",
            "LOCKTENDER_POD_UID": "p",
        }
        pod = Pod(folder, server.url(database), ("agent",), environment)
        process = pod.begin()
        assert rows(server, database) == [("p", 1, "running", False)]
        assert locks(server, database) == 1

        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        times.append(time.monotonic() - begun)
        ended = pod.end(process)

        assert (ended.code, ended.report["kind"], ended.reason) == (0, "agent", "Succeeded")
        assert rows(server, database) == [("p", 1, "ended", True)]
    assert min(times) < 0.4  # 200 ms, and as much again


def test_a_second_pod_waits_and_names_the_holder(newest, database, pod):
    first, second = pod("first"), pod("second", attempt=2)
    process = first.begin()
    begun = time.monotonic()

    ended = second.run()

    assert (ended.code, ended.reason, ended.report["outcome"]) == (75, "DatabaseBusy", "Waiting")
    assert "locktender agent run-1" in ended.message
    assert 4 < time.monotonic() - begun < 8
    assert not second.holds()
    assert first.end(process, signal.SIGTERM).code == 0
    again = second.run()
    assert (again.code, again.report) == (75, ended.report)  # the marker: this pod's migration never starts
    third = pod("third", attempt=3)
    assert third.end(third.begin(), signal.SIGTERM).code == 0


def test_a_killed_attempt_blocks_the_next_until_a_person_has_spoken(newest, database, pod):
    first, second = pod("first"), pod("second", attempt=2)
    first.kill(first.begin())

    ended = second.run()

    assert (ended.code, ended.reason, ended.report["outcome"]) == (1, "PreviousAttemptUnknown", "Failed")
    assert "run run-1, step migrate, attempt 1" in ended.message
    assert "locktender.dev/resolve" in ended.message
    third = pod("third", attempt=3)
    assert third.end(third.begin(LOCKTENDER_FENCE_OVERRIDE="1"), signal.SIGTERM).code == 0
    assert rows(newest, database) == [("first", 1, "overridden", True), ("third", 3, "ended", True)]


def test_a_killed_attempt_of_a_run_whose_end_is_known_elsewhere_blocks_nothing(newest, database, pod):
    first = pod("first")
    first.kill(first.begin())
    other = pod("other", run="run-2").run(LOCKTENDER_SETTLED_RUNS="run-7")
    assert other.reason == "PreviousAttemptUnknown"
    second = pod("second", run="run-3")
    assert second.end(second.begin(LOCKTENDER_SETTLED_RUNS="run-7,run-1"), signal.SIGTERM).code == 0
    assert rows(newest, database) == [("first", 1, "overridden", True), ("second", 1, "ended", True)]


def test_the_same_pod_may_take_it_again_after_its_agent_was_killed(newest, database, pod):
    first = pod("first")
    first.kill(first.begin())

    process = first.start()
    assert [json.loads(process.stdout.readline())["kind"] for _ in range(2)] == ["restarted", "held"]
    assert first.end(process, signal.SIGTERM).code == 0
    assert rows(newest, database) == [("first", 1, "ended", True)]


def test_a_session_that_is_lost_is_taken_again_at_once(newest, database, pod):
    first = pod("first")
    process = first.begin()
    pid = newest.run("SELECT backend_pid FROM locktender.runs", database)[0][0]

    newest.run(f"SELECT pg_terminate_backend({pid})")

    until(lambda: newest.run("SELECT backend_pid FROM locktender.runs", database)[0][0] != pid, "a new session")
    assert locks(newest, database) == 1
    ended = first.end(process, signal.SIGTERM)
    assert ended.code == 0
    kinds = [json.loads(line)["kind"] for line in ended.output.splitlines()]
    kinds = [kind for kind in kinds if kind not in ("baseline", "sample")]
    assert kinds == ["held", "lost", "held", "ended"]


def test_a_server_restart_is_survived(servers, tmp_path):
    server = servers(17)
    database = server.database()
    environment = {
        "LOCKTENDER_RUN_DIR": str(tmp_path / "run"),
        "LOCKTENDER_RUN": "r",
        "LOCKTENDER_STEP": "s",
        "LOCKTENDER_POD_UID": "p",
    }
    pod = Pod(tmp_path, server.url(database), ("agent",), environment)
    process = pod.begin()

    server.run("CHECKPOINT", database)
    server.restart()

    until(lambda: locks(server, database) == 1, "the fence to be taken again")
    assert pod.end(process, signal.SIGTERM).code == 0
    assert rows(server, database) == [("p", 1, "ended", True)]


def test_sigterm_before_the_fence_is_held_starts_nothing_and_may_be_tried_again(newest, database, pod):
    first, second = pod("first"), pod("second", attempt=2)
    holder = first.begin()
    process = second.start()
    time.sleep(1)
    ended = second.end(process, signal.SIGTERM)
    assert (ended.code, ended.report["outcome"]) == (75, "Waiting")
    assert not second.holds()
    assert first.end(holder, signal.SIGTERM).code == 0


def test_without_such_a_program_no_password_is_left_anywhere(pod):
    first = pod("first")
    process = first.begin()
    try:
        assert sorted(file.name for file in first.run_dir.iterdir()) == ["fence-held"]
    finally:
        first.end(process, signal.SIGTERM)


def test_the_url_for_programs_that_take_it_as_an_argument_has_no_password(newest, database, pod):
    role = newest.role("p:w\\d-canary", "SUPERUSER")
    first = pod("first", url=newest.url(database, role, "p%3Aw%5Cd-canary") + "?sslmode=disable", leave="1")
    process = first.begin()
    try:
        url, secret = first.run_dir / "url", first.run_dir / "pgpass"
        assert url.read_text() == f"postgres://{role}@127.0.0.1:{newest.port}/{database}?sslmode=disable"
        assert secret.read_text() == "*:*:*:*:p\\:w\\\\d-canary\n"
        assert secret.stat().st_mode & 0o777 == 0o600
    finally:
        ended = first.end(process, signal.SIGTERM)
    assert not secret.exists()
    assert "canary" not in str(ended)


def test_a_role_without_rights_is_told_the_sql(newest, database, pod):
    role = newest.role("secret-of-role")

    ended = pod("first", url=newest.url(database, role, "secret-of-role")).run()

    assert (ended.code, ended.reason) == (1, "SchemaPermission")


def test_the_hook_returns_when_the_fence_is_held(newest, database, pod):
    first = pod("first")
    waiting = Program(first.folder, "", ("agent-wait",), first.environment)
    hook = waiting.start()
    process = first.begin()
    assert hook.wait(5) == 0
    waiting.end(hook)
    assert first.end(process, signal.SIGTERM).code == 0
