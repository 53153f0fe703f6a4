"""The agent's lines and the story made of them: hostile input has no way in, the worst stays, the size has a bound."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from locktender.core import agent_lines
from locktender.core.agent_facts import Baseline, Blocked, Blocker, Hold, Sample, Stop, Wait
from locktender.core.timeline import SIZE_LIMIT, Timeline
from tests.agent_log import BEGAN, Log, a_log

CRD = yaml.safe_load((Path(__file__).parents[3] / "crds/migrationreports.yaml").read_text())


def closed(schema: Any) -> Any:
    """The schema with every object closed: a field that it does not name would be dropped by the API server."""
    if isinstance(schema, dict):
        kept = {name: closed(value) for name, value in schema.items() if not name.startswith("x-kubernetes")}
        return {**kept, "additionalProperties": False} if schema.get("type") == "object" else kept
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


SCHEMA = jsonschema.Draft202012Validator(
    closed(CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["report"])
)
FIELDS = [
    "time",
    "at",
    "start",
    "seconds",
    "pid",
    "user",
    "application",
    "mode",
    "relation",
    "query",
    "behind",
    "blockers",
    "why",
    "statement",
    "waiting",
    "blocked",
    "waits",
    "longestWait",
    "worstWait",
    "blockedSeconds",
    "ownWait",
    "walBytes",
    "lagBytes",
    "lagSeconds",
    "tempBytes",
    "deadlocks",
    "progress",
    "serverVersion",
    "databaseBytes",
    "state",
    "age",
    "kind",
    "command",
    "phase",
    "done",
    "total",
]
KINDS = ("baseline", "sample", "wait", "hold", "blocked", "cancel", "terminate", "held", "lost", "restarted", "ended")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["AccessShareLock", "2026-03-01T12:00:01.5Z", "0001-01-01T00:00:00+14:00", "session"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=12,
)
LINES = st.one_of(
    st.text(max_size=200),
    st.builds(
        lambda kind, facts, stamp: f"{stamp}{json.dumps({**facts, 'kind': kind})}",
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=12),
        st.sampled_from(["", "2026-03-01T12:00:00.123456789Z ", "nonsense "]),
    ),
)


def told(log: Log) -> dict[str, Any]:
    timeline = Timeline()
    for line in log.lines:
        timeline.add(line)
    content = timeline.content()
    SCHEMA.validate(content)
    return content


def fact(log: Log) -> Any:
    line = agent_lines.parse(log.lines[-1])
    assert line is not None
    return line.fact


def test_every_kind_of_line_becomes_its_fact() -> None:
    assert fact(a_log().baseline()) == Baseline("18.6", 7_000_000)
    assert fact(
        a_log().sample(1.0, blocked=2, longestWait=0.4, waits={"AccessShareLock": 2, "Nonsense": 1}, ownWait=0.2)
    ) == Sample(blocked=2, longest_wait=0.4, waits=(("AccessShareLock", 2),), own_wait=0.2, blockers=1)
    assert fact(a_log().wait(1.0, 0.5)) == Wait(
        1.0, 0.5, 41, "app", "web", "AccessShareLock", "public.orders", "SELECT * FROM orders WHERE id = $1", 40
    )
    assert fact(a_log().hold(1.0, 0.5)) == Hold(1.0, 0.5, 40, "AccessExclusiveLock", "public.orders")
    assert fact(a_log().blocked(1.0, 0.5)) == Blocked(
        1.0,
        0.5,
        40,
        "AccessExclusiveLock",
        "public.orders",
        (Blocker(39, "report", "psql", "idle in transaction", 40.0, "SELECT count(*) FROM orders", "session"),),
    )
    assert fact(a_log().cancel(3.0)) == Stop(
        "cancel",
        40,
        "LockBudgetExceeded",
        2.0,
        "AccessExclusiveLock",
        "public.orders",
        "ALTER TABLE orders ADD COLUMN note text",
        3,
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no JSON",
        "[1]",
        '{"kind": "unheard-of"}',
        '{"kind": ["wait"]}',
        "[" * 3000,
        '{"kind": "wait", "query": "' + "x" * 5000 + '"}',
    ],
)
def test_what_is_no_line_of_the_agent_is_passed_over(line: str) -> None:
    assert agent_lines.parse(line) is None


def test_a_query_keeps_no_literal_and_no_secret() -> None:
    query = "SELECT * FROM t2 WHERE mail = 'a@b.c' AND n = 4111111111111111 AND x = $1 AND d = $q$secret$q$ AND y = 'cut off"
    assert fact(a_log().wait(0.0, 1.0, query=query)).query == (
        "SELECT * FROM t2 WHERE mail = ? AND n = ? AND x = $1 AND d = ? AND y = ?"
    )
    assert "hunter2" not in str(fact(a_log().wait(0.0, 1.0, application="postgresql://me:hunter2@db/shop")))


def test_the_story_is_complete_when_the_log_is() -> None:
    log = a_log().baseline().blocked(0.2, 1.0).hold(1.2, 2.0).wait(1.3, 1.9).wait(1.5, 1.7).cancel(3.2)
    log.sample(3.3, blocked=2, worstWait=1.9, blockedSeconds=3.6, walBytes=4096, deadlocks=1).ended(3.5)
    content = told(log)
    assert {name: content[name] for name in ("began", "seconds", "complete", "worstWait", "cause")} == {
        "began": "2026-03-01T12:00:00.000Z",
        "seconds": 3.5,
        "complete": True,
        "worstWait": "1.9 s",
        "cause": "LockBudgetExceeded",
    }
    assert content["summary"] == {
        "worstWait": 1.9,
        "blockedSeconds": 3.6,
        "queue": 2,
        "waits": 2,
        "ownWait": 1.0,
        "cancelled": 1,
        "terminated": 0,
        "deadlocks": 1,
        "walBytes": 4096,
        "tempBytes": 0,
        "lagBytes": 0,
    }
    assert [len(content[name]) for name in ("waits", "holds", "blocked", "stops", "samples")] == [2, 1, 1, 1, 1]
    assert [mark["what"] for mark in content["marks"]] == ["held", "ended"]


def test_what_does_not_count_the_seconds_is_placed_by_the_clock() -> None:
    """The agent's last line is written when nothing is measured any more."""
    whole = a_log().baseline().ended(3.5)
    last = whole.lines.pop().replace('"at": 3.5', '"run": "x"')
    assert told(Log(lines=[*whole.lines, last]))["marks"] == [{"at": 0.0, "what": "held"}, {"at": 3.5, "what": "ended"}]


def test_a_log_without_its_beginning_or_its_end_is_called_incomplete() -> None:
    whole = a_log().baseline().ended(1.0)
    assert [told(log)["complete"] for log in (whole, Log(lines=whole.lines[:-1]), Log(lines=whole.lines[2:]))] == [
        True,
        False,
        False,
    ]


def test_an_agent_that_was_restarted_goes_on_where_it_was() -> None:
    log = a_log().baseline().wait(1.0, 2.0).sample(3.0, blockedSeconds=2.0, walBytes=100, worstWait=2.0)
    later = Log(began=BEGAN + timedelta(seconds=60))
    later.say("restarted", 0.0).baseline().wait(1.0, 0.5).sample(2.0, blockedSeconds=0.5, walBytes=50).ended(4.0)
    content = told(Log(lines=log.lines + later.lines))
    assert [(wait["start"], wait["seconds"]) for wait in content["waits"]] == [(1.0, 2.0), (61.0, 0.5)]
    assert content["seconds"] == 64.0
    assert [content["summary"][name] for name in ("worstWait", "blockedSeconds", "walBytes")] == [2.0, 2.5, 150]


def test_of_many_waits_the_longest_are_kept_and_the_rest_is_counted() -> None:
    log = a_log().baseline()
    for n in range(500):
        log.wait(n, 1.0 + (n * 7919 % 500) / 1000)
    content = told(log)
    assert (len(content["waits"]), content["left"]["waits"], content["summary"]["waits"]) == (200, 300, 500)
    assert min(wait["seconds"] for wait in content["waits"]) == 1.3
    assert [wait["start"] for wait in content["waits"]] == sorted(wait["start"] for wait in content["waits"])


def test_a_thinned_curve_keeps_its_peak_and_its_end() -> None:
    log = a_log().baseline()
    for n in range(5000):
        log.sample(float(n), blocked=7 if n == 3333 else 0, longestWait=1.5 if n == 3333 else 0.0, walBytes=n)
    samples = told(log)["samples"]
    assert len(samples) <= 240
    assert max(sample.get("blocked", 0) for sample in samples) == 7
    assert samples[-1]["walBytes"] == 4999


def test_the_largest_story_fits() -> None:
    log, long = a_log().baseline(), "é" * 128
    for n in range(500):
        log.wait(n, 1.0 + n, query=long, relation=long, application=long, user=long)
        log.hold(n, 1.0, relation=long).cancel(n, statement=long).sample(n, statement=long)
    content = told(log)
    assert len(json.dumps(content, ensure_ascii=False).encode()) <= SIZE_LIMIT
    assert content["waits"][-1]["seconds"] == 500.0
    assert content["stops"]


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=30))
def test_whatever_a_pod_prints_the_report_fits_its_schema(lines: list[str]) -> None:
    told(Log(lines=lines))
