"""What the agent says fits where it is read, whatever the names and statements are."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.runner import termination
from locktender.runner.agent.account import Account
from locktender.runner.agent.blame import Blamed, Picture, Wait
from locktender.runner.agent.gauges import Reading
from locktender.runner.agent.limits import Limits
from locktender.runner.agent.names import Names
from locktender.runner.agent.rules import Act, Verb, Why
from locktender.runner.agent.sessions import Session
from locktender.runner.agent.timeline import Timeline

OURS = 7
NAME = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=63).map(
    lambda name: name.encode()[:63].decode(errors="ignore")
)
QUERY = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=600)


def a_session(pid: int, user: str, application: str, query: str) -> Session:
    return Session(pid, pid, 10, user, application, "10.1.2.3", 1.0, "client backend", "active", 1.0, 1.0, query)


def a_wait(pid: int, blockers: range | tuple[int, ...]) -> Wait:
    return Wait(pid, 100.0, 1.5, "AccessExclusive", "relation", 16384, frozenset(blockers))


@given(user=NAME, application=NAME, query=QUERY, relation=NAME)
def test_line_and_summary_stay_within_their_bytes(user: str, application: str, query: str, relation: str) -> None:
    known = {pid: a_session(pid, user, application, query) for pid in (OURS, 20, 21, 22, 23, 24)}
    names, account, printed = Names(), Account(), list[str]()
    names._known[16384] = f"{relation}.{relation}"
    timeline = Timeline(names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout.write", printed.append)
        account.see(
            1.0, Picture((Blamed(a_wait(20, (OURS,)), frozenset({OURS})),), (), (a_wait(OURS, range(21, 25)),)), known
        )
        timeline.act(2.0, Act(Verb.CANCEL, OURS, Why.BUDGET, 1.5, "AccessShare", "relation", 16384, 1), known[OURS])
        timeline.sample(2.0, account, {OURS: known[OURS]}, Reading(), 1)
        ended, own = account.finish(2.0)
        timeline.waits(2.0, ended)
        timeline.own(2.0, own)
        summary = timeline.summary(2.0, account, Limits(), Reading())

    assert [json.loads(line)["kind"] for line in printed] == ["cancel", "sample", "wait", "blocked"]
    assert max(len(line.encode()) for line in printed) <= 2048 + 1  # and the end of the line
    encoded = termination.encode(
        {"kind": "agent", "outcome": "Succeeded", "reason": "Succeeded", "message": "m" * 300, "locks": summary}
    )
    assert len(encoded.encode()) <= 4096
    assert json.loads(encoded)["locks"]["cause"] == "LockBudgetExceeded"
    assert len(json.loads(encoded)["locks"]["blockers"]) == 3


def test_lines_beyond_the_limit_are_counted_and_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    account, timeline = Account(), Timeline(Names())
    waits = [replace(a_wait(pid, (OURS,)), seconds=0.1) for pid in range(100, 700)]
    account.see(1.0, Picture(tuple(Blamed(wait, frozenset({OURS})) for wait in waits), (), ()), {})
    timeline.waits(1.1, account.finish(1.1)[0])
    summary = timeline.summary(1.1, account, Limits(), Reading())
    assert len(capsys.readouterr().out.splitlines()) == 500
    assert (summary["waits"], summary["queue"], summary["waitsDropped"]) == (600, 600, 100)
