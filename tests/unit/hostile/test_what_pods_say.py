"""Pods, and whoever may write their status, say what they like: it ends in a status that fits its definition, or in nothing at all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locktender.api import status as statuses
from locktender.core import actions as act
from locktender.core import messages, reports
from locktender.kube import parse
from locktender.render.jobs import backup_object
from locktender.telemetry import events
from tests import crd_schema
from tests.builders import BACKUP_FACTS, World, a_migration, report

BUSY = (HealthCheck.too_slow,)  # a machine with other work is no mistake of a test
BACKUPS = ("databasebackups", "status")
OWN = ("databasemigrations", "status")
FIELDS = ("kind", "outcome", "reason", "message", "backup", "appliedCount", "version", "locks")
TERMINATION_LIMIT = 4096  # bytes that a kubelet takes of one container
MEGABYTE = 1024 * 1024
OUTCOMES = st.sampled_from(["Succeeded", "Failed", "Waiting", "succeeded", "", None, 1])
FACTS = st.dictionaries(st.sampled_from([*BACKUP_FACTS, "other"]), crd_schema.anything(), max_size=4).map(
    lambda changes: {**BACKUP_FACTS, **changes}
)
WORDS = st.one_of(
    crd_schema.text(200),
    crd_schema.anything().map(json.dumps),
    st.fixed_dictionaries(
        {"outcome": OUTCOMES, "reason": st.one_of(st.just("Spoken"), crd_schema.text(80))},
        optional={
            "kind": st.one_of(st.sampled_from(["agent", "backup", "sql"]), crd_schema.anything()),
            "backup": st.one_of(FACTS, crd_schema.anything()),
            **{name: crd_schema.anything() for name in ("message", "appliedCount", "version", "locks")},
        },
    ).map(json.dumps),
)
ENDED = st.fixed_dictionaries(
    {"exitCode": st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, 75])},
    optional={"reason": crd_schema.text(300), "message": WORDS},
).map(lambda state: {"terminated": state})
WAITS = st.fixed_dictionaries(
    {},
    optional={
        "reason": st.one_of(st.sampled_from(["ErrImagePull", "CreateContainerError", "InvalidImageName"]), crd_schema.text(300)),
        "message": WORDS,
    },
).map(lambda state: {"waiting": state})  # fmt: skip
CONTAINER = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["agent", "backup", "migrate", "copy-migrations"]),
        "state": st.one_of(ENDED, WAITS, st.just({"running": {}})),
    }
)
POD_STATUS = st.fixed_dictionaries(
    {"phase": st.one_of(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]), crd_schema.text(10))},
    optional={
        "reason": st.one_of(st.sampled_from(["Evicted", "DeadlineExceeded"]), crd_schema.text(300)),
        "message": crd_schema.text(300),
        "containerStatuses": st.lists(CONTAINER, max_size=3),
        "initContainerStatuses": st.lists(CONTAINER, max_size=2),
        "conditions": st.just([{"type": "PodScheduled", "status": "False", "message": "\x1b[31m0/1 nodes \ud800"}]),
    },
)
JOB_STATUS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"type": st.sampled_from(["Complete", "Failed"])}, optional={"reason": crd_schema.text(300), "message": crd_schema.text(300)}).map(
        lambda condition: {"conditions": [{**condition, "status": "True"}]}
    ),
)  # fmt: skip


def said(world: World, step: str, job: dict[str, Any], pod: dict[str, Any]) -> None:
    """The API server shows the newest Job of a step, and its pod, with these statuses."""
    known = world.job(step)
    meta = {"name": known.name, "uid": known.uid, "creationTimestamp": "2026-03-01T12:00:00Z"}
    labels = {"locktender.dev/migration-uid": known.owner_uid, "locktender.dev/run": known.run_id}
    raw_pod = {
        "metadata": {
            "name": "pod",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "ownerReferences": [{"uid": known.uid}],
        },
        "status": pod,
    }
    raw = {"metadata": {**meta, "labels": labels}, "spec": {}, "status": job}
    world.jobs[known.name] = parse.job(raw, [raw_pod])


def assert_sound(world: World) -> None:
    """What is stored fits its definition, comes back from the API server as it was sent, and is small."""
    stored = statuses.to_json(world.status)
    assert crd_schema.problems(*OWN, stored) == []
    sent = json.dumps(stored, ensure_ascii=False).encode()  # halves of surrogate pairs cannot be sent
    assert json.loads(sent) == stored
    assert len(sent) < 200_000
    assert all(ord(letter) > 31 or letter in "\n\t" for _, _, message in world.events for letter in message)


@settings(max_examples=100, deadline=None, suppress_health_check=BUSY)
@given(st.sampled_from(["Backup", "Migrate"]), st.lists(st.tuples(JOB_STATUS, POD_STATUS), min_size=1, max_size=3))
def test_whatever_a_pod_reports_the_status_fits_its_definition(
    step: str, reports_of_it: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    if step == "Migrate":
        world.backup_ends_well()
        world.settle()
    for job, pod in reports_of_it:
        if not any(world.steps_of[name] == step for name in world.jobs):
            break
        said(world, step, job, pod)
        for _ in range(4):
            decision = world.step()
            assert_sound(world)
            for action in decision.actions:
                if isinstance(action, act.EnsureBackup):
                    _, status = backup_object(action, "shop", "shop-db", "uid-dbm", action.spec)
                    assert crd_schema.problems(*BACKUPS, status) == []
                if isinstance(action, act.EmitEvent):
                    assert len(events.about(world.observation(), action).identity) < 4096
        world.now = world.now.replace(hour=world.now.hour + 1)


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(WORDS)
def test_a_termination_message_is_a_report_of_known_shape_or_none(text: str) -> None:
    found = reports.parse(text)
    if found is None:
        return
    assert found.outcome in ("Succeeded", "Failed", "Waiting")
    assert found.reason.isascii()
    assert found.reason.isalnum()
    assert found.reason[0].isalpha()
    assert set(found.backup) in (set(), set(reports.BACKUP_FACTS))
    assert all(type(found.backup[name]) is kind for name, kind in reports.BACKUP_FACTS.items() if found.backup)
    assert found.applied is None or type(found.applied) is int
    assert len(found.message) <= messages.MESSAGE_LIMIT
    assert len(found.version) <= 64


@pytest.mark.parametrize(
    "text", ["[" * TERMINATION_LIMIT, '{"a":' * 800 + "1" + "}" * 800, "9" * TERMINATION_LIMIT, "-" * 10, '"\\ud800"']
)
def test_a_message_that_no_parser_ends_with_is_no_report(text: str) -> None:
    assert reports.parse(text) is None


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("startedAt", "yesterday"),
        ("finishedAt", "2026-13-01T12:00:00Z"),
        ("sha256", "not a hash"),
        ("verification", "Trusted"),
        ("sizeBytes", -1),
        ("sizeBytes", 2**64),
        ("tables", True),
        ("tables", 1.5),
        ("database", ["shop"]),
    ],
)
def test_a_backup_with_a_fact_of_another_shape_is_not_described(fact: str, value: object) -> None:
    words = report("Succeeded", "Succeeded", kind="backup", backup={**BACKUP_FACTS, fact: value})
    found = reports.parse(words)
    assert found is not None
    assert found.backup == {}


@pytest.mark.parametrize(
    "pattern", ["(", "://", "password=", "'", "DETAIL: ", "Key (", "-a", "\n", "\ud800", "token:'"]
)
def test_a_long_text_is_made_fit_in_a_moment(pattern: str) -> None:
    text = pattern * (MEGABYTE // len(pattern))
    started = time.process_time()
    assert len(messages.untrusted(text)) <= messages.MESSAGE_LIMIT
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\u202eb", "a\x9bb", "a\ud800b", "a\x00b"])
def test_a_terminal_and_an_api_server_get_no_letter_that_they_would_act_on(text: str) -> None:
    assert messages.untrusted(text) in ("ab", "a[2Jb")
