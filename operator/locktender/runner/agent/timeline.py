"""The lines that the agent prints and the summary that it leaves: from what was seen to JSON, with names and without literals."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from locktender.runner import journal
from locktender.runner.agent.account import Account, Charge, Own
from locktender.runner.agent.fingerprint import fingerprint
from locktender.runner.agent.gauges import Reading
from locktender.runner.agent.holds import Hold
from locktender.runner.agent.limits import Limits
from locktender.runner.agent.names import Names
from locktender.runner.agent.recovery import Recovery
from locktender.runner.agent.rules import Act, Verb, Why
from locktender.runner.agent.sessions import Session
from locktender.runner.settings import BLOCKERS_NAMED, LINES_LIMIT

_SUMMARY_QUERY = 120  # characters of a statement in the summary, of which 4096 bytes hold five
UNKNOWN = "a session we may not look at"


@dataclass
class Timeline:
    """Prints lines and counts what it leaves out."""

    names: Names
    printed: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    done: Counter[Verb] = field(default_factory=Counter)
    cause: Why | None = None
    recovery: Recovery = field(default_factory=Recovery)
    lock_timeout_seen: bool = False
    prepared: list[dict[str, Any]] = field(default_factory=list)

    def waits(self, at: float, ended: Iterable[Charge]) -> None:
        """Others have got on."""
        for charge in ended:
            wait, who = charge.wait, charge.who
            facts = {
                **_times(charge.start, charge.seconds), "pid": wait.pid,
                "user": _user(who), "application": who.application if who else "", "mode": wait.mode,
                "relation": self.names.of(wait.relation, wait.locktype),
                "query": fingerprint(who.query if who else ""), "behind": min(charge.behind),
            }  # fmt: skip
            self._bounded("wait", at, facts)

    def own(self, at: float, ended: Iterable[Own]) -> None:
        """The migration has got on, or given up."""
        for own in ended:
            facts = {
                **_times(own.start, own.seconds), "pid": own.wait.pid, "mode": own.wait.mode,
                "relation": self.names.of(own.wait.relation, own.wait.locktype), "blockers": self.blockers(own),
            }  # fmt: skip
            self._bounded("blocked", at, facts)

    def holds(self, at: float, ended: Iterable[Hold]) -> None:
        """The migration has let go of locks."""
        for hold in ended:
            facts = {
                **_times(hold.start, hold.seconds), "pid": hold.pid, "mode": hold.mode,
                "relation": self.names.of(hold.relation, "relation"),
            }  # fmt: skip
            self._bounded("hold", at, facts)

    def act(self, at: float, act: Act, session: Session) -> None:
        """A session of the migration was stopped."""
        self.done[act.verb] += 1
        self.cause = act.why
        self.recovery.acted(at, act, session)
        relation = self.names.of(act.relation, act.locktype) if act.locktype else ""
        journal.say(
            act.verb, at=round(at, 3), pid=act.pid, why=act.why, seconds=round(act.seconds, 3), mode=act.mode,
            relation=relation, statement=fingerprint(session.query), waiting=act.waiting,
        )  # fmt: skip

    def sample(self, at: float, account: Account, ours: Mapping[int, Session], reading: Reading, size: int) -> None:
        """How it stands."""
        running = max((each for each in ours.values() if each.state == "active"), key=_statement_age, default=None)
        progress: dict[str, Any] = {"progress": reading.progress} if reading.progress else {}
        blockers = {pid for own in account.own.values() for pid in own.wait.blockers} - ours.keys()
        journal.say(
            "sample", at=round(at, 3), sessions=len(ours), blocked=len(account.charges),
            longestWait=round(account.longest, 3), worstWait=round(account.worst_wait, 3),
            blockedSeconds=round(account.blocked_seconds, 3),
            waits=dict(Counter(charge.wait.mode for charge in account.charges.values())),
            ownWait=round(max((own.seconds for own in account.own.values()), default=0.0), 3), blockers=len(blockers),
            statement=fingerprint(running.query) if running else "",
            statementSeconds=round(_statement_age(running), 3) if running else 0.0,
            walBytes=reading.wal_bytes, tempBytes=reading.temp_bytes, deadlocks=reading.deadlocks,
            deadTuples=reading.dead_tuples, databaseBytes=size, lagBytes=reading.lag_bytes,
            lagSeconds=round(reading.lag_seconds, 3), slotBytes=reading.slot_bytes, **progress,
        )  # fmt: skip

    def summary(self, at: float, account: Account, limits: Limits, reading: Reading) -> dict[str, Any]:
        """The whole, small enough for a termination message."""
        own, worst = account.own_worst, account.worst
        facts: dict[str, Any] = {
            "seconds": round(at, 3), "budget": limits.budget, "worstWait": round(account.worst_wait, 3),
            "blockedSeconds": round(account.blocked_seconds, 3), "waits": account.waits, "queue": account.queue,
        }  # fmt: skip
        if worst is not None:
            facts["worst"] = {
                "mode": worst.wait.mode, "relation": self.names.of(worst.wait.relation, worst.wait.locktype),
                "statement": fingerprint(worst.holder.query if worst.holder else "", _SUMMARY_QUERY),
                "application": worst.who.application if worst.who else "",
            }  # fmt: skip
        return facts | {
            "ownWait": round(own.seconds, 3) if own else 0.0,
            "blockers": self.blockers(own, _SUMMARY_QUERY) if own else [],
            "cancelled": self.done[Verb.CANCEL], "terminated": self.done[Verb.TERMINATE], "cause": self.cause or "",
            "recovered": self.recovery.seen,
            "deadlocks": reading.deadlocks, "walBytes": reading.wal_bytes,
            "lockTimeoutSeen": self.lock_timeout_seen, "waitsDropped": self.dropped,
        }  # fmt: skip

    def blockers(self, own: Own, limit: int | None = None) -> list[dict[str, Any]]:
        """Who was in the migration's way."""
        prepared = [each for each in self.prepared if own.wait.prepared and each["transaction"] in own.wait.prepared]
        shown = [{key: value for key, value in each.items() if key != "transaction"} for each in prepared]
        shown += [_blocker(each, limit) for each in own.blockers]
        return shown[:BLOCKERS_NAMED]

    def _bounded(self, kind: str, at: float, facts: dict[str, Any]) -> None:
        if self.printed[kind] >= LINES_LIMIT:
            self.dropped += kind == "wait"
            return
        self.printed[kind] += 1
        journal.say(kind, at=round(at, 3), **facts)


def _blocker(session: Session, limit: int | None) -> dict[str, Any]:
    vacuum = session.kind == "autovacuum worker" or (session.query or "").startswith("autovacuum:")
    return {
        "pid": session.pid, "user": _user(session), "application": session.application,
        "state": UNKNOWN if session.hidden else session.state or "", "age": round(session.age or 0.0, 1),
        "query": fingerprint(session.query, limit) if limit else fingerprint(session.query),
        "kind": "autovacuum" if vacuum else "session",
    }  # fmt: skip


def _user(session: Session | None) -> str:
    if session is None:
        return ""
    return session.user or UNKNOWN


def _statement_age(session: Session | None) -> float:
    return (session.statement_age or 0.0) if session else 0.0


def _times(start: float, seconds: float) -> dict[str, float]:
    return {"start": round(start, 3), "seconds": round(seconds, 3)}
