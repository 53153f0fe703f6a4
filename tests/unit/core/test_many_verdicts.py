"""More verdicts than the status keeps: what falls off, and what that means for a Deployment that is held."""

from __future__ import annotations

from locktender.api.status import MAX_VERDICTS, Outcome, Status, Verdict
from tests.builders import a_migration


def verdict(key: str, outcome: Outcome) -> Verdict:
    return Verdict(key, outcome, "2026-03-01T12:00:00Z")


def test_failures_fall_off_before_what_opens_a_gate() -> None:
    status = Status().with_verdict(verdict("running", Outcome.BASELINE))
    for number in range(MAX_VERDICTS + 10):
        status = status.with_verdict(verdict(f"bad-{number}", Outcome.FAILED))
    assert len(status.verdicts) == MAX_VERDICTS
    assert status.verdict("running") is not None
    assert status.verdicts[0].key == f"bad-{MAX_VERDICTS + 9}", "the newest stays: it keeps its run from being repeated"


def test_the_newest_failure_stays_among_many_successes() -> None:
    status = Status()
    for number in range(MAX_VERDICTS):
        status = status.with_verdict(verdict(f"good-{number}", Outcome.SUCCEEDED))
    status = status.with_verdict(verdict("bad", Outcome.FAILED))
    assert (len(status.verdicts), status.verdicts[0].key) == (MAX_VERDICTS, "bad")
    assert status.verdict("good-0") is None


def test_a_version_whose_verdict_fell_off_is_migrated_again_and_released() -> None:
    world = a_migration(backup={"policy": "Skip", "reason": "test"}).runs("web", "shop:v0")
    world.settle()
    for number in range(1, MAX_VERDICTS + 2):
        world.holds("web", f"shop:v{number}").settle()
        world.migration_ends(0).settle()
    runs = len(world.created)
    world.holds("web", "shop:v0").settle()
    assert len(world.created) == runs + 1, "never let through on a verdict that is not there any more"
    world.migration_ends(0).settle()
    assert world.released[-1] == ("web", ("shop:v0",))
    assert world.condition("Ready") == ("True", "Succeeded")
