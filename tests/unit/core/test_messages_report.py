"""The sentences of the report: the fact, who it was, and the next command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from locktender.core import messages_report as messages
from locktender.core.agent_facts import Blocked, Blocker, Stop

IDLE = Blocker(39, "report", "psql", "idle in transaction", 40.0, "SELECT 1", "session")
BUSY = replace(IDLE, state="active", age=7.0)
RETRY = "kubectl -n shop annotate dbm shop-db locktender.dev/retry=$(date +%s) --overwrite"


def behind(blocker: Blocker) -> tuple[Blocked, ...]:
    return (Blocked(1.0, 2.0, 40, "AccessExclusiveLock", "public.orders", (blocker,)),)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("LockBudgetExceeded", "others had waited for it as long as its lock budget allows (LockBudgetExceeded)."),
        ("LockTimeout", "it had waited for a lock as long as spec.locks.maxWait allows (LockTimeout)."),
        ("StatementTimeout", "a statement had run as long as spec.locks.statementTimeout allows (StatementTimeout)."),
        ("Timeout", "it had run as long as spec.migration.timeout allows (Timeout)."),
        ("Lost", "the session that holds its fence was lost, and nothing may run unguarded (Lost)."),
        ("Other", "a limit was reached (Other)."),
    ],
)
def test_a_stopped_migration_is_told_with_the_limit_that_it_reached(cause: str, said: str) -> None:
    assert messages.headline(cause, 2.0, 3) == f"The migration was stopped: {said}"


def test_a_migration_that_was_not_stopped_is_told_by_what_others_felt() -> None:
    assert messages.headline("", 0.0, 0) == "Nobody had to wait for the migration."
    said = "The migration was not stopped; the longest that anybody waited for it was 1.3 s."
    assert messages.headline("", 1.3, 9) == said


@pytest.mark.parametrize(
    ("blocker", "told", "remedy"),
    [
        (IDLE, "report, application psql (pid 39), idle in transaction for 40 s", "SELECT pg_terminate_backend(39)"),
        (BUSY, "report, application psql (pid 39), active for 7.0 s", "SELECT pg_cancel_backend(39)"),
        (replace(IDLE, kind="prepared"), "a prepared transaction of report, 40 s old", "ROLLBACK PREPARED"),
        (replace(IDLE, kind="autovacuum"), "autovacuum (pid 39), at work for 40 s", "pg_stat_progress_vacuum"),
        (Blocker(39, "", "", "", 0.0, "", "session"), "a session (pid 39)", "SELECT pg_cancel_backend(39)"),
    ],
)
def test_whoever_stood_in_the_way_is_named_with_a_remedy(blocker: Blocker, told: str, remedy: str) -> None:
    assert messages.blocker(blocker) == told
    assert remedy in messages.remedy(blocker)
    first, then = messages.advice("LockTimeout", behind(blocker), "shop-db", "shop")
    assert remedy in first
    assert then == f"Then try again: {RETRY}"


@pytest.mark.parametrize(
    "cause", ["", "LockBudgetExceeded", "LockTimeout", "StatementTimeout", "Timeout", "Lost", "Other"]
)
def test_every_advice_ends_in_a_command(cause: str) -> None:
    assert "kubectl -n shop " in messages.advice(cause, (), "shop-db", "shop")[-1]


def test_a_cancelled_session_is_told_with_its_lock_and_who_waited() -> None:
    stop = Stop(
        "cancel", 40, "LockBudgetExceeded", 2.0, "AccessExclusiveLock", "public.orders", "ALTER TABLE orders", 3
    )
    told = "after 2.0 s with AccessExclusiveLock on public.orders: LockBudgetExceeded, 3 of others waiting"
    assert messages.stopped(stop) == f"session 40 cancelled {told}"
    assert messages.stopped(replace(stop, what="terminate")) == f"session 40 terminated {told}"
    assert messages.stopped(replace(stop, mode="", relation="", waiting=0)) == (
        "session 40 cancelled after 2.0 s: LockBudgetExceeded"
    )


def test_the_waits_of_others_are_counted_in_words() -> None:
    assert messages.together(3.5, 1, 1) == ("3.5 s", "1 wait")
    assert messages.together(22.0, 17, 14) == ("22 s", "17 waits, at most 14 at once")
