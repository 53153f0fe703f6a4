"""Sentences about locks: who made whom wait, for how long, and what to type. The voice is that of `core/messages.py`."""

from locktender.api.conditions import Reason
from locktender.api.duration import readable
from locktender.api.spec import Framework, Spec
from locktender.core.lock_summary import Blocker, LockSummary
from locktender.core.messages import fit
from locktender.settings import LOCK_TIMEOUT

_FACT = 1000  # characters: half of a message, so that the other half always has room for what to type
_LAST_WORDS = 400  # characters of the container's own last words beside what was measured
_GUIDE = "docs/migrations-and-your-users.md"


def blocker(item: Blocker) -> str:
    """One session that was in the way: `pid 4711: user app, application web, idle in transaction for 40 s`."""
    if item.kind == "prepared":
        name = f" {item.application}" if item.application else ""
        return fit(f"prepared transaction{name}, open for {readable(item.age)} (see pg_prepared_xacts)", 300)
    who = [f"user {item.user}"] if item.user else []
    if item.kind == "autovacuum":
        who = ["autovacuum"]
    elif item.application:
        who.append(f"application {item.application}")
    what = f"{item.state or 'at work'} for {readable(item.age)}" if item.age else item.state
    return fit(f"pid {item.pid}: {', '.join(part for part in (*who, what) if part) or 'not shown to this role'}", 300)


def worst(summary: LockSummary) -> str:
    """What the longest wait of another session was for."""
    if not summary.worst_wait:
        return ""
    lock = f"{summary.mode.removesuffix('Lock')}Lock" if summary.mode else "a lock"
    where = f" on {summary.relation}" if summary.relation else ""
    who = f" of application {summary.application}" if summary.application else ""
    behind = f", behind: {summary.statement}" if summary.statement else ""
    return fit(f"a wait{who} for {lock}{where}{behind}", 500)


def fact(reason: str, spec: Spec, summary: LockSummary | None, words: str) -> str:
    """What was seen of an attempt that ended for `reason`; `words` is what the container's own end says."""
    limits, known = spec.locks, summary or LockSummary()
    enforced = known.cause == reason and bool(known.cancelled or known.terminated)
    if not enforced:
        told = fit(words, _FACT)
    elif reason == Reason.LOCK_BUDGET_EXCEEDED:
        told = (
            f"It made another session wait for {readable(known.worst_wait)} and was stopped: spec.locks.budget is {readable(limits.budget)}. "
            f"{_harm(known)}"
        )
    elif reason == Reason.LOCK_TIMEOUT:
        told = f"It waited {readable(known.own_wait)} for a lock and was stopped: spec.locks.maxWait is {readable(limits.max_wait)}."
    elif reason == Reason.STATEMENT_TIMEOUT:
        told = f"One of its statements ran longer than spec.locks.statementTimeout ({readable(limits.statement_timeout)}) and was stopped."
    elif reason == Reason.TIMEOUT:
        told = f"It did not end within spec.migration.timeout ({readable(spec.migration.timeout)}) and was stopped."
    else:
        told = "The agent lost its session at the database, so nothing watched over the migration any more, and what it had running was ended."
    said = f" {fit(words, _LAST_WORDS)}" if enforced else ""
    return f"{fit(told, _FACT)}{in_the_way(known)}{said}"


def _harm(summary: LockSummary) -> str:
    at_once = f", {summary.queue} at once" if summary.queue > 1 else ""
    longest = f"; the longest was {found}" if (found := worst(summary)) else ""
    return f"Others waited {summary.waits} times{at_once}, {readable(summary.blocked_seconds)} together{longest}."


def in_the_way(summary: LockSummary) -> str:
    """Who held what the migration waited for, as a sentence of its own; empty when nobody is known."""
    if not summary.blockers:
        return ""
    return f" In its way: {fit('; '.join(blocker(item) for item in summary.blockers), 500)}."


def tried(failures: int, retries: int, seconds: float) -> str:
    """Which try ended so, and when the next one comes."""
    return f"Try {failures} of {retries + 1} ended because of locks; the next begins in about {readable(seconds)}."


def given_up(failures: int, *, too_old: bool) -> str:
    """Why there is no further try; empty when there was to be none."""
    if too_old:
        return f"It was tried {failures} times, and its backup is too old to try once more."
    return f"It was tried {failures} times." if failures > 1 else ""


def advice(reason: str, spec: Spec, summary: LockSummary | None, name: str, namespace: str) -> str:
    """What to type so that the next try ends better."""
    if reason == Reason.LOCK_BUDGET_EXCEEDED:
        more = _patch("budget", spec.locks.budget, name, namespace)
        return f"Give it a quieter hour, make the change in smaller steps, or let others wait longer: {more}. How to choose: {_GUIDE}"
    if reason == Reason.LOCK_TIMEOUT:
        longer = _wait_longer(spec, summary, name, namespace)
        blockers = summary.blockers if summary else ()
        if blockers and all(item.kind == "autovacuum" for item in blockers):
            # It has not yielded by now, so it prevents wraparound: ended, it begins anew from the start.
            return f"Let the autovacuum end (see pg_stat_progress_vacuum), or wait longer: {longer}"
        pid = next((item.pid for item in blockers if item.pid and item.kind not in ("prepared", "autovacuum")), 0)
        return f"End the session in its way (SELECT pg_terminate_backend({pid or 'PID'})) or let it end, or wait longer: {longer}"
    if reason == Reason.STATEMENT_TIMEOUT:
        more = _patch("statementTimeout", spec.locks.statement_timeout, name, namespace)
        return f"Do the work in smaller steps, or allow a statement more: {more}"
    if reason == Reason.DEADLOCK:
        return f"Take the locks in the order in which the application takes them, one table a transaction; see {_GUIDE}"
    return ""


def _wait_longer(spec: Spec, summary: LockSummary | None, name: str, namespace: str) -> str:
    """Which of two limits ended the wait: maxWait, which the agent and the Sql runner keep, or the lock_timeout of the session itself."""
    by_agent = summary is not None and summary.cause == Reason.LOCK_TIMEOUT
    if by_agent or spec.migration.framework is Framework.SQL:
        return _patch("maxWait", spec.locks.max_wait, name, namespace)
    return _patch("timeout", spec.locks.timeout or LOCK_TIMEOUT, name, namespace)


def _patch(field: str, seconds: float, name: str, namespace: str) -> str:
    """The command that doubles a limit. A changed spec is tried at once."""
    value = f"{round(seconds * 2000)}ms" if seconds < 1 else f"{round(seconds * 2)}s"
    return f'kubectl -n {namespace} patch dbm {name} --type=merge -p \'{{"spec":{{"locks":{{"{field}":"{value}"}}}}}}\''
