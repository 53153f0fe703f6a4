"""What a real agent says of a migration that it stopped, as people read it in the status."""

import re
from dataclasses import replace

from locktender.api.conditions import Reason
from locktender.api.status import LockFacts
from locktender.core import lock_summary, locks
from locktender.core.evidence import Evidence, Finding
from tests.postgres.guarded import RUN, Client, guard, guarding, waits

FAILED = Evidence(Finding.FAILED, Reason.EXIT_CODE, "Container migrate ended with exit code 1.")


def test_an_alter_over_its_budget_is_told_with_names_and_without_literals(newest, tmp_path):
    database = newest.database()
    newest.run("CREATE TABLE orders (id int, note text)", database)
    agent = guard(newest, database, tmp_path, LOCK_BUDGET="400ms")
    with guarding(agent) as said:
        report = Client(newest, database, "report").run("BEGIN", "SELECT count(*) FROM orders")
        alter = Client(newest, database, f"locktender/{RUN}").do(
            "ALTER TABLE orders ADD COLUMN x text DEFAULT 'canary'"
        )
        waits(newest, alter.pid)
        reader = Client(newest, database, "web").do("SELECT count(*) FROM orders")
        assert (reader.wait(), alter.wait()) == ("", "57014")
        for each in (report, alter, reader):
            each.close()

    summary = lock_summary.read(said[0])
    assert summary is not None
    assert locks.cause(FAILED, summary) == Reason.LOCK_BUDGET_EXCEEDED
    told = locks.facts(summary, 1)
    assert replace(told, worst_wait="", blocked_seconds="", own_wait="", blockers=()) == LockFacts(
        attempt=1,
        budget="0.4 s",
        waits=1,
        queue=1,
        worst="a wait of application web for AccessShareLock on public.orders, behind: "
        "ALTER TABLE orders ADD COLUMN x text DEFAULT ?",
        cancelled=1,
        cause="LockBudgetExceeded",
    )
    (blocker,) = told.blockers
    expected = rf"pid {report.pid}: user \w+, application report, idle in transaction for \d\.\d s"
    assert re.fullmatch(expected, blocker)
    assert told.worst_wait in ("0.3 s", "0.4 s", "0.5 s")
