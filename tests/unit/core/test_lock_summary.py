"""What an agent says about locks is untrusted: it may be wrong, and never more than that."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.api.status import LockFacts
from locktender.core import lock_messages, locks
from locktender.core.lock_summary import MOST, Blocker, LockSummary, read, without_literals
from locktender.core.reports import parse
from tests.builders import report

FIELDS = (
    *("seconds", "budget", "worstWait", "blockedSeconds", "waits", "queue", "worst", "ownWait", "blockers"),
    *("cancelled", "terminated", "cause", "deadlocks", "mode", "relation", "statement", "application"),
    *("pid", "user", "state", "age", "kind"),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_whatever_an_agent_says_fits_into_the_status(raw: dict[str, Any]) -> None:
    found = parse(report("Succeeded", "Succeeded", kind="agent", locks=raw))
    assert found is not None
    assert found.locks is not None
    facts = locks.facts(found.locks, 1)
    texts = [value for value in asdict(facts).values() if isinstance(value, str)]
    assert all(len(text) <= 20 for text in (facts.budget, facts.worst_wait, facts.blocked_seconds, facts.own_wait))
    assert len(facts.worst) <= 500
    assert len(facts.blockers) <= 3
    assert all(len(text) <= 300 for text in facts.blockers)
    assert len(facts.cause) <= 63
    assert all(0 <= count <= MOST for count in (facts.waits, facts.queue, facts.cancelled, facts.terminated))
    assert all(character.isprintable() for text in (*texts, *facts.blockers) for character in text)


@pytest.mark.parametrize("text", ["[" * 4096, '{"a":' * 800, '{"outcome":' + "9" * 4000 + "}", "\x00", "NaN", ""])
def test_what_cannot_be_read_is_no_report(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("raw", [None, [], "locks", 7, True])
def test_what_is_no_object_is_no_summary(raw: object) -> None:
    assert read(raw) is None


def test_numbers_that_are_none_count_as_nothing() -> None:
    text = '{"worstWait": 1e999, "ownWait": NaN, "waits": true, "queue": -4, "blockedSeconds": -1.5, "cancelled": 2.5, "deadlocks": 1e3}'
    assert read(json.loads(text)) == LockSummary()
    assert read({"waits": 10**40, "worstWait": 10**400}) == LockSummary(waits=MOST, worst_wait=float(MOST))


def test_secrets_and_row_values_in_names_and_statements_are_not_shown() -> None:
    raw = {
        "worstWait": 2,
        "worst": {
            "application": "web password=canary",
            "relation": "public.orders\x1b[31m\n",
            "statement": "UPDATE customers2 SET email = 'canary@example', n = 12345 WHERE note = $q$canary$q$ AND a = 'canar",
        },
        "blockers": [{"pid": 7, "user": "app", "application": "postgresql://shop:canary@db/shop"}],
    }
    summary = read(raw)
    assert summary is not None
    shown = json.dumps(asdict(locks.facts(summary, 1)))
    assert "canar" not in shown
    assert "12345" not in shown
    assert "\\u001b" not in shown
    assert "UPDATE customers2 SET email = ?, n = ? WHERE note = ? AND a = ?" in shown


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("ALTER TABLE orders_2024 ADD c2 int DEFAULT 5", "ALTER TABLE orders_2024 ADD c2 int DEFAULT ?"),
        ("SELECT 'it''s', 1.5", "SELECT ?, ?"),
        ('SELECT "1st" FROM t', 'SELECT "1st" FROM t'),
        ("DO $$ BEGIN x(1); END $$", "DO ?"),
        ("DO $body$ it is cut", "DO ?"),
    ],
)
def test_literals_go_and_names_stay(statement: str, shown: str) -> None:
    assert without_literals(statement) == shown


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            Blocker(4711, "app", "web", "idle in transaction", 40.2, "session"),
            "pid 4711: user app, application web, idle in transaction for 40 s",
        ),
        (Blocker(9, "postgres", "", "active", 200.0, "autovacuum"), "pid 9: autovacuum, active for 3 min 20 s"),
        (
            Blocker(0, "", "tx-1", "", 7200.0, "prepared"),
            "prepared transaction tx-1, open for 2 h 0 min (see pg_prepared_xacts)",
        ),
        (Blocker(5, "app", "psql"), "pid 5: user app, application psql"),
        (Blocker(5), "pid 5: not shown to this role"),
    ],
)
def test_a_blocker_is_named(item: Blocker, said: str) -> None:
    assert lock_messages.blocker(item) == said


def test_an_empty_summary_says_nothing() -> None:
    assert locks.facts(LockSummary(), 2) == LockFacts(2, worst_wait="0.0 s", blocked_seconds="0.0 s", own_wait="0.0 s")
    assert lock_messages.in_the_way(LockSummary()) == ""
