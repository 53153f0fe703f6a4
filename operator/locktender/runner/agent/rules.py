"""What must be stopped now, why, and when to look again: pure.

    Lost              the fence was lost: whatever runs, runs unguarded      terminate, again and again
    Timeout           the whole migration takes too long                     cancel, terminate what stays
    LockBudgetExceeded  another session has waited its budget                cancel; terminate who is idle or blocks on
    LockTimeout       the migration waits too long for one lock              cancel, terminate what stays
    StatementTimeout  one statement takes too long                           cancel, terminate what stays

The first that applies to a session wins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from locktender.runner.agent.account import Charge, Own
from locktender.runner.agent.fingerprint import concurrently, statements
from locktender.runner.agent.limits import Limits
from locktender.runner.agent.sessions import Session
from locktender.runner.settings import CANCEL_GRACE, LOST_PAUSE, OWN_GRACE

ENGINE = "sql"  # ends the name of the SQL engine's sessions; it sets time-outs that hold, and none where none must be


class Verb(StrEnum):
    """How a session is stopped."""

    CANCEL = "cancel"
    TERMINATE = "terminate"


class Why(StrEnum):
    """Why a session is stopped."""

    LOST = "Lost"
    TIMEOUT = "Timeout"
    BUDGET = "LockBudgetExceeded"
    LOCK = "LockTimeout"
    STATEMENT = "StatementTimeout"


@dataclass(frozen=True)
class Act:
    """Stop `pid`. `seconds` is the wait that was too long, `waiting` the number of sessions that it kept waiting."""

    verb: Verb
    pid: int
    why: Why
    seconds: float
    mode: str = ""
    locktype: str = ""
    relation: int | None = None
    waiting: int = 0


@dataclass(frozen=True)
class Done:
    """An act of the past."""

    verb: Verb
    at: float


@dataclass(frozen=True)
class Scene:
    """What is judged. `at` is seconds since the fence was held; `done` is the last act on each session."""

    at: float
    sessions: Mapping[int, Session]
    charges: Iterable[Charge] = ()
    own: Iterable[Own] = ()
    done: Mapping[int, Done] | None = None
    lost: bool = False


@dataclass(frozen=True)
class Verdict:
    """What to do, and the seconds until something else can be due (the caller looks earlier as a rule)."""

    acts: tuple[Act, ...]
    due: float


def judge(limits: Limits, scene: Scene) -> Verdict:
    """All rules over one scene."""
    acts: dict[int, Act] = {}
    due = [limits.total - scene.at] if scene.at < limits.total else []
    for wanted, began, grace, wait in _findings(limits, scene):
        if wait > 0:
            due.append(wait)
            continue
        if wanted.pid in acts:
            continue
        last = (scene.done or {}).get(wanted.pid)
        again = last is not None and last.at >= began
        if last is not None and again:
            patience = last.at + (grace if last.verb is Verb.CANCEL else OWN_GRACE) - scene.at
            if patience > 0:
                due.append(patience)
                continue
        acts[wanted.pid] = replace(wanted, verb=Verb.TERMINATE) if again else wanted
    return Verdict(tuple(acts.values()), max(min(due, default=LOST_PAUSE), 0.0))


def _findings(limits: Limits, scene: Scene) -> Iterable[tuple[Act, float, float, float]]:
    """(what to do, when its cause began, grace after a cancel, seconds until it is due)."""
    if scene.lost:
        for pid in scene.sessions:
            yield Act(Verb.TERMINATE, pid, Why.LOST, 0.0), 0.0, 0.0, 0.0
        return
    if scene.at >= limits.total:
        for pid, session in scene.sessions.items():
            yield Act(_verb(session), pid, Why.TIMEOUT, scene.at), limits.total, OWN_GRACE, 0.0
    yield from _budget(limits, scene)
    for own in scene.own:
        waiting = scene.sessions.get(own.wait.pid)
        if waiting is not None and not concurrently(waiting.query):
            act = Act(
                Verb.CANCEL, waiting.pid, Why.LOCK, own.seconds, own.wait.mode, own.wait.locktype, own.wait.relation
            )
            yield act, own.start, OWN_GRACE, limits.max_wait - own.seconds
    for session in scene.sessions.values():
        age = session.statement_age
        if session.state == "active" and age is not None and not _limits_itself(session):
            # The server tells when a text began, not which of its statements it is at: each has its own time.
            allowed = limits.statement * statements(session.query or "")
            act = Act(Verb.CANCEL, session.pid, Why.STATEMENT, age)
            yield act, scene.at - age, OWN_GRACE, allowed - age


def _budget(limits: Limits, scene: Scene) -> Iterable[tuple[Act, float, float, float]]:
    """For each of our sessions the longest wait behind it."""
    worst: dict[int, Charge] = {}
    waiting: dict[int, int] = {}
    for charge in scene.charges:
        for pid in charge.behind:
            waiting[pid] = waiting.get(pid, 0) + 1
            if pid not in worst or charge.seconds > worst[pid].seconds:
                worst[pid] = charge
    for pid, charge in worst.items():
        if (session := scene.sessions.get(pid)) is not None:
            wait = charge.wait
            act = Act(
                _verb(session), pid, Why.BUDGET, charge.seconds, wait.mode, wait.locktype, wait.relation, waiting[pid]
            )
            yield act, charge.start, CANCEL_GRACE, limits.act_at - charge.seconds


def _verb(session: Session) -> Verb:
    """A session that runs nothing does not notice a cancel."""
    return Verb.TERMINATE if session.idle else Verb.CANCEL


def _limits_itself(session: Session) -> bool:
    return session.application.startswith("locktender/") and session.application.endswith(f" {ENGINE}")
