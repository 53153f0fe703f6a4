"""What becomes of a migration that ended because of locks: heard, classified, tried again, given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from locktender.api.status import LockFacts, Outcome, Step, StepState
from locktender.core import retry
from locktender.core.observation import ContainerState
from tests.builders import World, a_migration, a_pod, assert_kstatus, ended

SKIP = {"policy": "Skip", "reason": "a test"}
WEB = {"pid": 7, "user": "app", "application": "web", "state": "idle in transaction", "age": 40.2, "kind": "session"}
OVER_BUDGET: dict[str, Any] = {
    "seconds": 3.1,
    "budget": 2.0,
    "worstWait": 2.04,
    "blockedSeconds": 20.3,
    "waits": 14,
    "queue": 9,
    "worst": {
        "mode": "AccessExclusive",
        "relation": "public.orders",
        "statement": "ALTER TABLE orders ADD COLUMN note text DEFAULT 'x'",
        "application": "web",
    },
    "ownWait": 2.1,
    "blockers": [WEB],
    "cancelled": 1,
    "terminated": 0,
    "cause": "LockBudgetExceeded",
    "deadlocks": 0,
}
LOCKS = LockFacts(
    attempt=1,
    budget="2.0 s",
    worst_wait="2.0 s",
    blocked_seconds="20 s",
    waits=14,
    queue=9,
    worst="a wait of application web for AccessExclusiveLock on public.orders, behind: ALTER TABLE orders ADD COLUMN note text DEFAULT ?",
    own_wait="2.1 s",
    blockers=("pid 7: user app, application web, idle in transaction for 40 s",),
    cancelled=1,
    cause="LockBudgetExceeded",
)


def migrating(**changes: Any) -> World:
    """A held Deployment whose migration is running."""
    world = a_migration(backup=SKIP, **changes).holds("web", "shop:v2")
    world.settle()
    return world


def step(world: World) -> Step:
    assert world.status.run is not None
    return world.status.run.step("Migrate")


def fails_over_budget(world: World) -> World:
    world.container_fails(1, "canceling statement due to user request").agent_ends(**OVER_BUDGET).step()
    return world


def test_a_migration_over_its_budget_waits_and_says_who_blocked_for_how_long_and_what_it_did() -> None:
    world = fails_over_budget(migrating())
    waiting = step(world)
    assert (waiting.state, waiting.reason, waiting.attempt, waiting.lock_failures, waiting.locks) == (
        StepState.WAITING,
        "LockBudgetExceeded",
        1,
        1,
        LOCKS,
    )
    for words in (
        "Try 1 of 6 ended because of locks; the next begins in about",
        "made another session wait for 2.0 s and was stopped: spec.locks.budget is 2.0 s",
        "Others waited 14 times, 9 at once, 20 s together",
        "for AccessExclusiveLock on public.orders",
        "In its way: pid 7: user app, application web, idle in transaction for 40 s.",
        "kubectl -n shop annotate dbm shop-db locktender.dev/retry=$(date +%s) --overwrite",
    ):
        assert words in (waiting.message or "")
    assert "'x'" not in (waiting.message or "")
    assert world.condition("Ready") == ("Unknown", "LockBudgetExceeded")
    assert ("dbm", "LockBudgetExceeded", waiting.message) in world.events
    assert world.deployments["web"].held
    assert_kstatus(world.status, 1)


def test_the_next_try_comes_after_its_wait_and_not_before() -> None:
    world = fails_over_budget(migrating())
    assert world.status.run is not None
    pause = retry.wait_for_locks(world.status.run.id, 1)
    early = world.step(pause - 1.5)
    assert early.requeue == pytest.approx(1.5)
    assert step(world).state is StepState.WAITING
    world.step(1.5)
    again = step(world)
    assert (again.state, again.attempt, again.lock_failures, again.locks) == (StepState.RUNNING, 2, 1, LOCKS)
    world.migration_ends(0).settle()
    assert world.released == [("web", ("shop:v2",))]


@pytest.mark.parametrize("run_id", ["3f9a1c2b-1-9d04", "3f9a1c2b-2-0000", "x"])
def test_each_wait_is_longer_than_the_last_and_the_same_whenever_it_is_asked_for(run_id: str) -> None:
    waits = [retry.wait_for_locks(run_id, failure) for failure in range(1, 7)]
    assert waits == [retry.wait_for_locks(run_id, failure) for failure in range(1, 7)]
    assert waits == sorted(set(waits))
    for wait, whole in zip(waits, (5, 10, 20, 40, 80, 160), strict=True):
        assert 0.75 * whole <= wait < 1.25 * whole
    assert retry.wait_for_locks(run_id, 20) < 1.25 * retry.LOCK_WAIT_LONGEST


def test_two_runs_do_not_wait_in_step() -> None:
    assert len({retry.wait_for_locks(f"run-{number}", 1) for number in range(100)}) == 100


def test_after_the_last_retry_it_fails_and_says_who_for_how_long_and_what_to_type() -> None:
    world = migrating(locks={"retries": 2})
    for failure in (1, 2):
        fails_over_budget(world)
        assert step(world).state is StepState.WAITING
        assert world.status.run is not None
        world.step(retry.wait_for_locks(world.status.run.id, failure))
        assert (step(world).state, step(world).attempt) == (StepState.RUNNING, failure + 1)
    fails_over_budget(world)
    world.settle()
    failed = step(world)
    assert (failed.state, failed.reason, failed.lock_failures) == (StepState.FAILED, "LockBudgetExceeded", 3)
    assert failed.locks == replace(LOCKS, attempt=3)
    for words in (
        "The migration failed, and the old version keeps serving. It was tried 3 times.",
        "made another session wait for 2.0 s",
        "In its way: pid 7: user app, application web, idle in transaction for 40 s.",
        """kubectl -n shop patch dbm shop-db --type=merge -p '{"spec":{"locks":{"budget":"4s"}}}'""",
        f"kubectl -n shop logs job/{failed.job} -c migrate",
        "kubectl -n shop annotate dbm shop-db locktender.dev/retry=$(date +%s) --overwrite",
    ):
        assert words in (failed.message or "")
    assert world.condition("Ready") == ("False", "Failed")
    assert world.created.count("Migrate") == 3
    assert world.deployments["web"].held


@pytest.mark.parametrize(
    ("migration", "locks", "tries"),
    [
        ({"framework": "Sql"}, {}, 6),
        ({"framework": "Django"}, {}, 6),
        ({"framework": "Alembic"}, {}, 6),
        ({"framework": "GolangMigrate"}, {}, 1),
        ({"framework": "Command", "command": ["./migrate"]}, {}, 1),
        ({"framework": "Command", "command": ["./migrate"]}, {"retries": 1}, 2),
        ({"framework": "Django"}, {"retries": 0}, 1),
    ],
)
def test_only_what_is_safe_to_repeat_is_repeated(migration: dict[str, Any], locks: dict[str, Any], tries: int) -> None:
    world = migrating(migration=migration, locks=locks)
    while step(world).state is not StepState.FAILED:
        fails_over_budget(world)
        if step(world).state is StepState.WAITING:
            world.step(400)
    assert world.created.count("Migrate") == tries


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ERROR: canceling statement due to lock timeout", "LockTimeout"),
        ("psycopg2.errors.LockNotAvailable: Sperre nicht erhalten", "LockTimeout"),
        ("SQLSTATE[55P03]", "LockTimeout"),
        ("ERROR: deadlock detected", "Deadlock"),
        ("error code 40P01", "Deadlock"),
    ],
)
def test_without_an_agents_cause_the_containers_words_say_that_locks_ended_it(words: str, reason: str) -> None:
    world = migrating(migration={"framework": "Django"})
    world.migration_ends(1, words).step()
    assert (step(world).state, step(world).reason) == (StepState.WAITING, reason)
    assert words in (step(world).message or "")


@pytest.mark.parametrize(
    ("framework", "agent", "limit"),
    [
        ("Sql", {}, '{"maxWait":"120s"}'),
        ("Django", {"cause": "LockTimeout", "cancelled": 1, "blockers": [WEB]}, '{"maxWait":"120s"}'),
        ("Django", {"blockers": [WEB]}, '{"timeout":"4s"}'),
    ],
)
def test_a_lock_that_was_never_got_names_the_session_to_end_and_the_limit_to_raise(
    framework: str, agent: dict[str, Any], limit: str
) -> None:
    world = migrating(migration={"framework": framework}, locks={"retries": 0})
    world.container_fails(1, "ERROR: canceling statement due to lock timeout").agent_ends(**agent).settle()
    assert (step(world).state, step(world).reason) == (StepState.FAILED, "LockTimeout")
    assert f"pg_terminate_backend({7 if agent else 'PID'})" in (step(world).message or "")
    assert f"""kubectl -n shop patch dbm shop-db --type=merge -p '{{"spec":{{"locks":{limit}}}}}'""" in (
        step(world).message or ""
    )


def test_nobody_is_told_to_end_an_autovacuum_that_does_not_yield() -> None:
    world = migrating(migration={"framework": "Django"}, locks={"retries": 0})
    vacuum = {"pid": 9, "kind": "autovacuum", "state": "active", "age": 40.0}
    world.container_fails(1, "boom").agent_ends(cause="LockTimeout", cancelled=1, blockers=[vacuum]).settle()
    message = step(world).message or ""
    assert (step(world).state, step(world).reason) == (StepState.FAILED, "LockTimeout")
    assert "In its way: pid 9: autovacuum, active for 40 s." in message
    assert "Let the autovacuum end (see pg_stat_progress_vacuum), or wait longer: kubectl" in message
    assert "terminate" not in message


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ERROR: canceling statement due to statement timeout", "StatementTimeout"),
        ("(SQLSTATE 57014)", "StatementTimeout"),
        ("ERROR: syntax error in 0042_fix_deadlock.py near lock_timeout", "NonZeroExit"),
        ("Traceback: KeyError 'x'", "NonZeroExit"),
    ],
)
def test_everything_else_fails_for_good_with_its_own_reason(words: str, reason: str) -> None:
    world = migrating(migration={"framework": "Django"})
    world.migration_ends(1, words).settle()
    assert (step(world).state, step(world).reason, step(world).lock_failures) == (StepState.FAILED, reason, 0)
    assert world.condition("Ready") == ("False", "Failed")


@pytest.mark.parametrize(
    ("cause", "fact"),
    [
        ("StatementTimeout", "longer than spec.locks.statementTimeout (30 s)"),
        ("Timeout", "did not end within spec.migration.timeout (30 min)"),
        ("Lost", "The agent lost its session"),
    ],
)
def test_what_the_agent_ended_for_another_cause_is_not_tried_again(cause: str, fact: str) -> None:
    world = migrating()
    world.container_fails(1, "boom").agent_ends(cause=cause, cancelled=1).settle()
    assert (step(world).state, step(world).reason) == (StepState.FAILED, cause)
    assert fact in (step(world).message or "")
    assert "boom" in (step(world).message or "")


def test_a_cause_without_a_deed_is_no_cause() -> None:
    world = migrating()
    world.container_fails(1, "boom").agent_ends(cause="LockBudgetExceeded", cancelled=0, terminated=0).settle()
    assert (step(world).state, step(world).reason) == (StepState.FAILED, "NonZeroExit")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ERROR: syntax error at or near TABEL", "NonZeroExit"),
        ("ERROR: deadlock detected", "Deadlock"),
        ("ERROR: canceling statement due to user request", "LockBudgetExceeded"),
        ("FATAL: terminating connection due to administrator command", "LockBudgetExceeded"),
        ("SQLSTATE 57014", "LockBudgetExceeded"),
    ],
)
def test_what_a_migration_fails_of_after_it_got_over_a_cancel_is_the_reason(words: str, reason: str) -> None:
    world = migrating(migration={"framework": "Django"})
    world.container_fails(1, words).agent_ends(cause="LockBudgetExceeded", cancelled=1, recovered=True).settle()
    assert step(world).reason == reason


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("StatementFailed", "StatementFailed"),
        ("ChecksumMismatch", "ChecksumMismatch"),
        ("LockTimeout", "LockBudgetExceeded"),
        ("StatementTimeout", "LockBudgetExceeded"),
        ("ConnectionLost", "LockBudgetExceeded"),
        ("Interrupted", "LockBudgetExceeded"),
    ],
)
def test_our_runner_knows_whether_it_got_over_a_cancel(own: str, reason: str) -> None:
    world = migrating(migration={"framework": "Sql"})
    words = f'{{"kind":"sql","outcome":"Failed","reason":"{own}","message":"1_a.up.sql, line 2: no"}}'
    world.container_fails(1, words).agent_ends(cause="LockBudgetExceeded", cancelled=1).settle()
    assert step(world).reason == reason


@pytest.mark.parametrize("words", ["ERROR: canceling statement due to statement timeout", "migration failed"])
def test_a_statement_that_was_lost_with_its_lock_wait_ended_because_of_a_lock(words: str) -> None:
    """lock_timeout and statement_timeout of the same length give the SQLSTATE of the latter."""
    world = migrating(migration={"framework": "Django"})
    world.container_fails(1, words).agent_ends(ownWait=2.0, lockTimeoutSeen=True, blockers=[WEB]).step()
    assert (step(world).state, step(world).reason) == (StepState.WAITING, "LockTimeout")
    assert "In its way: pid 7: user app" in (step(world).message or "")


def test_the_sql_runners_own_lock_timeout_is_tried_again() -> None:
    words = (
        '{"kind":"sql","outcome":"Failed","reason":"LockTimeout","message":"1_a.up.sql, line 2: no lock within 60 s"}'
    )
    world = migrating()
    world.migration_ends(1, words).step()
    assert (step(world).state, step(world).reason) == (StepState.WAITING, "LockTimeout")


class TestTheAgentIsHeard:
    def test_while_it_has_not_ended_there_is_no_verdict(self) -> None:
        world = migrating()
        decision = world.container_fails(1, "boom").step()
        assert decision.requeue == pytest.approx(10)
        assert (step(world).state, step(world).reason) == (StepState.RUNNING, "NonZeroExit")
        assert "boom" in (step(world).message or "")
        assert_kstatus(world.status, 1)
        world.agent_ends(**OVER_BUDGET).step(3)
        assert (step(world).state, step(world).reason) == (StepState.WAITING, "LockBudgetExceeded")

    def test_for_ten_seconds_at_most(self) -> None:
        world = migrating()
        world.container_fails(1, "boom").step()
        assert world.step(9).requeue == pytest.approx(1)
        assert step(world).state is StepState.RUNNING
        world.step(1)
        assert (step(world).state, step(world).reason) == (StepState.FAILED, "NonZeroExit")

    def test_no_longer_when_the_whole_pod_has_ended(self) -> None:
        world = migrating()
        world.pod_of(
            "Migrate", a_pod(ContainerState("agent", running=True), ended("migrate", 1, "boom"), phase="Failed")
        )
        world.step()
        assert step(world).state is StepState.FAILED

    @pytest.mark.parametrize("gone", ["pod", "job"])
    def test_and_if_it_goes_away_meanwhile_what_was_seen_still_counts(self, gone: str) -> None:
        world = migrating()
        world.container_fails(1, "boom").step()
        if gone == "pod":
            world.pod_of("Migrate", None)
        else:
            world.jobs.clear()
        world.step(1)
        failed = step(world)
        assert (failed.state, failed.reason) == (StepState.FAILED, "NonZeroExit")
        assert "Container migrate ended with exit code 1. Its last words: boom." in (failed.message or "")

    def test_a_success_is_not_held_up_and_what_was_measured_is_stored_when_it_comes(self) -> None:
        world = migrating()
        world.container_fails(0).settle()
        assert world.released == [("web", ("shop:v2",))]
        assert (step(world).state, step(world).locks) == (StepState.SUCCEEDED, None)
        world.agent_ends(**{**OVER_BUDGET, "cancelled": 0, "cause": ""}).settle()
        assert (step(world).state, step(world).locks) == (StepState.SUCCEEDED, replace(LOCKS, cancelled=0, cause=""))
        assert world.condition("Ready") == ("True", "Succeeded")

    def test_a_word_that_comes_after_the_ten_seconds_is_stored_too(self) -> None:
        world = migrating()
        world.container_fails(1, "boom").step()
        world.step(10)
        world.agent_ends(**OVER_BUDGET).settle()
        assert (step(world).state, step(world).reason, step(world).locks) == (StepState.FAILED, "NonZeroExit", LOCKS)


class TestARunThatWaitsForLocks:
    def test_is_overtaken_by_a_newer_version(self) -> None:
        world = fails_over_budget(migrating())
        world.holds("web", "shop:v3").settle()
        assert world.status.history[0].outcome is Outcome.SUPERSEDED
        assert world.status.run is not None
        assert world.status.run.image == "shop:v3"

    def test_begins_anew_at_once_when_its_budget_is_raised(self) -> None:
        world = fails_over_budget(migrating())
        world.raw_spec["locks"] = {"budget": "4s"}
        world.generation += 1
        world.settle()
        assert (step(world).state, step(world).attempt, step(world).lock_failures) == (StepState.RUNNING, 1, 0)

    def test_is_tried_at_once_when_somebody_asks(self) -> None:
        world = fails_over_budget(migrating())
        world.retry = "now"
        world.settle()
        assert (step(world).state, step(world).attempt) == (StepState.RUNNING, 2)

    def test_is_not_tried_while_it_is_suspended(self) -> None:
        world = fails_over_budget(migrating())
        world.raw_spec["suspend"] = True
        world.step(500)
        assert step(world).state is StepState.WAITING
        world.raw_spec["suspend"] = False
        world.step(1)
        assert step(world).state is StepState.RUNNING

    def test_fails_when_the_resource_is_being_deleted(self) -> None:
        world = migrating()
        world.deleting = True
        fails_over_budget(world)
        assert step(world).state is StepState.FAILED

    def test_is_given_up_when_its_backup_would_be_too_old_for_another_try(self) -> None:
        world = a_migration(locks={"retries": 20}).holds("web", "shop:v2")
        world.settle()
        world.backup_ends_well().settle()
        world.now += timedelta(minutes=59, seconds=58)
        fails_over_budget(world)
        world.settle()
        assert (step(world).state, step(world).reason) == (StepState.FAILED, "LockBudgetExceeded")
        assert "its backup is too old to try once more" in (step(world).message or "")
        assert world.created == ["Backup", "Migrate"]
