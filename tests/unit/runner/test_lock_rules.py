"""What is stopped, why, and when the next look is due."""

from dataclasses import replace

import pytest

from locktender.runner.agent.account import Account, Charge, Own
from locktender.runner.agent.blame import Blamed, Picture, Wait
from locktender.runner.agent.limits import Limits
from locktender.runner.agent.rules import Act, Done, Scene, Verb, Verdict, Why, judge
from locktender.runner.agent.sessions import Baseline, Session, Whose

LIMITS = Limits(budget=2.0, max_wait=60.0, statement=30.0, total=1800.0)
OURS = 7


def a_session(pid: int = OURS, **known: object) -> Session:
    plain = Session(
        pid, pid, 10, "app", "locktender/run-1", "10.1.2.3", 50.0, "client backend", "active", 1.0, 1.0, "SELECT 1"
    )
    return replace(plain, **known)  # type: ignore[arg-type]


def a_wait(seconds: float, pid: int = 20, blockers: tuple[int, ...] = (OURS,)) -> Wait:
    return Wait(pid, 100.0, seconds, "AccessShare", "relation", 16384, frozenset(blockers))


def a_charge(seconds: float, at: float = 100.0, pid: int = 20, behind: int = OURS) -> Charge:
    return Charge(at - seconds, seconds, a_wait(seconds, pid), frozenset({behind}))


def verdict(session: Session, at: float = 100.0, done: Done | None = None, **scene: object) -> Verdict:
    return judge(LIMITS, Scene(at, {session.pid: session}, done={session.pid: done} if done else {}, **scene))  # type: ignore[arg-type]


def budget(verb: Verb, seconds: float, waiting: int = 1) -> Act:
    return Act(verb, OURS, Why.BUDGET, seconds, "AccessShare", "relation", 16384, waiting)


def test_a_wait_within_the_budget_is_looked_at_again_when_its_budget_is_spent() -> None:
    assert verdict(a_session(), charges=[a_charge(0.5)]) == Verdict((), pytest.approx(1.4))


def test_a_wait_that_has_reached_the_budget_cancels_who_is_in_its_way() -> None:
    found = verdict(a_session(), charges=[a_charge(0.5), a_charge(1.96, pid=21)])
    assert found.acts == (budget(Verb.CANCEL, 1.96, waiting=2),)


@pytest.mark.parametrize("state", ["idle in transaction", "idle", "idle in transaction (aborted)"])
def test_who_runs_nothing_is_terminated(state: str) -> None:
    assert verdict(a_session(state=state), charges=[a_charge(2)]).acts == (budget(Verb.TERMINATE, 2),)


def test_a_cancel_gets_its_time_before_the_session_is_terminated() -> None:
    charge = a_charge(2.0)
    assert verdict(a_session(), charges=[charge], done=Done(Verb.CANCEL, 99.96)) == Verdict((), pytest.approx(0.06))
    assert verdict(a_session(), charges=[charge], done=Done(Verb.CANCEL, 99.89)).acts == (budget(Verb.TERMINATE, 2),)


def test_a_cancel_of_the_past_does_not_count_for_a_wait_that_began_later() -> None:
    assert verdict(a_session(), charges=[a_charge(2)], done=Done(Verb.CANCEL, 90.0)).acts == (budget(Verb.CANCEL, 2),)


def test_its_own_wait_is_cancelled_after_max_wait_except_for_an_index_built_concurrently() -> None:
    own = Own(39.0, 61.0, a_wait(61.0, OURS, (30,)))
    assert verdict(a_session(), own=[own]).acts == (
        Act(Verb.CANCEL, OURS, Why.LOCK, 61.0, "AccessShare", "relation", 16384),
    )
    assert verdict(a_session(query="CREATE INDEX CONCURRENTLY i ON t (a)"), own=[own]).acts == ()


def test_a_statement_is_cancelled_after_its_time_and_a_text_after_that_of_all_its_statements() -> None:
    assert verdict(a_session(statement_age=31.0)).acts == (Act(Verb.CANCEL, OURS, Why.STATEMENT, 31.0),)
    assert verdict(a_session(statement_age=31.0, query="SELECT 1; SELECT 2")) == Verdict((), 29.0)
    assert verdict(a_session(statement_age=61.0, query="SELECT 1; SELECT 2")).acts != ()
    assert verdict(a_session(statement_age=31.0, state="idle")).acts == ()


def test_our_own_engine_bounds_its_statements_itself() -> None:
    assert verdict(a_session(statement_age=31.0, application="locktender/run-1 sql")).acts == ()


def test_after_the_total_time_everything_is_stopped_whatever_else_holds() -> None:
    assert verdict(a_session(), at=1800.0, charges=[a_charge(2, at=1800.0)]).acts == (
        Act(Verb.CANCEL, OURS, Why.TIMEOUT, 1800.0),
    )


def test_after_a_loss_everything_is_terminated_again_and_again() -> None:
    lost = (Act(Verb.TERMINATE, OURS, Why.LOST, 0.0),)
    assert verdict(a_session(), lost=True).acts == lost
    assert verdict(a_session(), lost=True, done=Done(Verb.TERMINATE, 99.5)).acts == ()
    assert verdict(a_session(), lost=True, done=Done(Verb.TERMINATE, 98.5)).acts == lost


# The account


def test_a_wait_is_charged_from_when_it_is_the_migrations() -> None:
    account = Account()
    account.see(10.0, Picture((), (a_wait(3.0),), ()), {})
    account.see(10.1, Picture((Blamed(a_wait(3.1), frozenset({OURS})),), (), ()), {})
    assert account.longest == pytest.approx(0.1)


def test_sum_worst_and_queue_over_waits_that_end_between_looks() -> None:
    account = Account()
    first, second = a_wait(0.5, 20), a_wait(0.2, 21)
    account.see(10.0, Picture((Blamed(first, frozenset({OURS})), Blamed(second, frozenset({OURS}))), (), ()), {})
    ended, _ = account.see(10.1, Picture((Blamed(replace(first, seconds=0.6), frozenset({OURS})),), (), ()), {})
    assert [(charge.wait.pid, round(charge.seconds, 3)) for charge in ended] == [(21, 0.25)]
    account.finish(10.2)
    assert (account.waits, account.queue, account.longest) == (2, 2, 0.0)
    assert (account.worst_wait, account.blocked_seconds) == (pytest.approx(0.65), pytest.approx(0.9))


# Whose sessions

BASE = Baseline(
    pid=9, database=5, address="10.0.0.1", role=10, begun=40.0, alone=True, newest_relation=20000, wal="0/1", sessions=1
)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, True),
        ({"application": "locktender/run-1 rails"}, True),
        ({"application": "locktender/run-10"}, False),
        ({"application": "locktender/run-1-b"}, False),
        ({"application": "web"}, False),
        ({"application": "web", "address": "10.9.9.9"}, True),
        ({"application": "web", "address": "10.0.0.1"}, True),
        ({"application": "web", "address": "10.0.0.1", "role": 11}, False),
        ({"application": "web", "address": "10.0.0.1", "begun": 39.0}, False),
        ({"application": "web", "address": None, "kind": None, "begun": None}, False),
        ({"pid": 9, "leader": 9}, False),
        ({"leader": 3}, False),
    ],
)
def test_whose_a_session_is(known: dict[str, object], expected: bool) -> None:
    session = a_session(**{"pid": OURS, **known})  # type: ignore[arg-type]
    whose = Whose("run-1", frozenset({"10.9.9.9"}), BASE)
    assert (session.pid in whose.ours([session], named=False)) is expected


def test_an_address_counts_only_where_nobody_else_was_and_while_no_name_is_known() -> None:
    session = a_session(application="", address="10.0.0.1")
    assert OURS in Whose("run-1", frozenset(), BASE).ours([session], named=False)
    assert OURS not in Whose("run-1", frozenset(), BASE).ours([session], named=True)
    assert OURS not in Whose("run-1", frozenset(), replace(BASE, alone=False)).ours([session], named=False)
    assert Whose("", frozenset(), replace(BASE, alone=False)).ours([a_session()], named=False) == {}
