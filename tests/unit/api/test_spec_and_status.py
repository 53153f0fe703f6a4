from __future__ import annotations

import json

import pytest

from locktender.api import duration
from locktender.api.conditions import REASON_DOCS, Reason
from locktender.api.spec import SpecError, parse
from locktender.api.status import LockFacts, Run, Status, Step, StepState, from_json, to_json
from locktender.core.key import spec_hash
from tests.builders import a_migration, a_spec
from tests.unit.core.test_decide import migrated

LOCKS = LockFacts(
    3,
    worst_wait="2.0 s",
    waits=14,
    queue=3,
    blockers=("pid 7: user app",),
    cancelled=1,
    cause="LockBudgetExceeded",
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("100ms", 0.1), ("1.5h", 5400)]
)
def test_durations_are_read_like_go_writes_them(text: str, seconds: float) -> None:
    assert duration.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d"])
def test_other_durations_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s, 30m or 1h30m"):
        duration.seconds(text)


@pytest.mark.parametrize(
    ("value", "words"), [(0.84, "0.8 s"), (42, "42 s"), (200, "3 min 20 s"), (180, "3 min"), (7500, "2 h 5 min")]
)
def test_durations_are_said_like_people_say_them(value: float, words: str) -> None:
    assert duration.readable(value) == words


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"migration": {"framework": "Cobol"}}, "must be one of Sql, Command"),
        ({"migration": {"framework": "Command"}}, "needs the command to run"),
        ({"migration": {"framework": "Sql", "command": ["x"]}}, "runs the files of spec.migration.path itself"),
        ({"migration": {"framework": "Django", "configMapRef": {"name": "x"}}}, "only for framework Sql"),
        ({"migration": {"framework": "Sql", "timeout": "soon"}}, "'soon' is not a duration"),
        ({"locks": {"budget": "small"}}, "spec.locks.budget: 'small' is not a duration"),
        ({"locks": {"retries": -1}}, "spec.locks.retries is -1"),
        ({"locks": {"retries": "often"}}, "spec.locks.retries is 'often'"),
        ({"strategy": "Hope"}, "spec.strategy is 'Hope'"),
        ({"backup": {"policy": "Required", "storage": {}}}, "needs a place for the backup"),
        ({"database": {"urlEnv": "LOCKTENDER_RUN"}}, "names that start with LOCKTENDER_ belong to Locktender"),
        ({"database": {"urlSecretRef": {}}}, "name the Secret"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_with_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        parse(a_spec(**change))


def test_a_status_survives_the_way_to_the_api_and_back() -> None:
    status = migrated(a_migration().holds("web", "shop:v2").holds("worker", "shop:v2")).status
    stored = json.loads(json.dumps(to_json(status)))
    assert from_json(stored) == status
    assert to_json(from_json(stored)) == stored


def test_what_a_step_did_to_others_survives_the_way_to_the_api_and_back() -> None:
    migrate = Step(
        "Migrate", StepState.WAITING, attempt=3, lock_failures=2, locks=LOCKS, report="shop-db-migrate-0123456789"
    )
    run = Run("r-1", "k", 1, "2026-03-01T12:00:00Z", "h", steps=(Step("Backup", StepState.SUCCEEDED), migrate))
    stored = json.loads(json.dumps(to_json(Status(run=run))))
    assert stored["run"]["steps"] == [
        {"name": "Backup", "state": "Succeeded", "attempt": 1},
        {
            "name": "Migrate",
            "state": "Waiting",
            "attempt": 3,
            "lockFailures": 2,
            "locks": {
                "attempt": 3,
                "worstWait": "2.0 s",
                "waits": 14,
                "queue": 3,
                "blockers": ["pid 7: user app"],
                "cancelled": 1,
                "terminated": 0,
                "cause": "LockBudgetExceeded",
                "deadlocks": 0,
            },
            "report": "shop-db-migrate-0123456789",
        },
    ]
    assert from_json(stored) == Status(run=run)


def test_a_hash_stored_before_there_was_a_budget_is_still_that_of_the_same_spec() -> None:
    assert spec_hash(parse(a_spec())) == "9c3f3ceea174196e"
    assert spec_hash(parse(a_spec(locks={"budget": "2000ms", "retries": 7}))) == spec_hash(parse(a_spec()))
    assert spec_hash(parse(a_spec(locks={"budget": "3s"}))) != spec_hash(parse(a_spec()))


def test_every_reason_has_its_sentence() -> None:
    assert set(REASON_DOCS) == set(Reason)
    assert all(sentence.endswith(".") for sentence in REASON_DOCS.values())
