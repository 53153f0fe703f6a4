"""The sentences of `locktender report`: what a migration did to others, who was in its way, and what to type next."""

from locktender.api.duration import readable
from locktender.core.agent_facts import Blocked, Blocker, Stop

_CAUSES = {
    "LockBudgetExceeded": "others had waited for it as long as its lock budget allows",
    "LockTimeout": "it had waited for a lock as long as spec.locks.maxWait allows",
    "StatementTimeout": "a statement had run as long as spec.locks.statementTimeout allows",
    "Timeout": "it had run as long as spec.migration.timeout allows",
    "Lost": "the session that holds its fence was lost, and nothing may run unguarded",
}


def headline(cause: str, worst_wait: float, wait_count: int) -> str:
    """What happened, in one sentence."""
    if cause:
        return f"The migration was stopped: {_CAUSES.get(cause, 'a limit was reached')} ({cause})."
    if not wait_count and not worst_wait:
        return "Nobody had to wait for the migration."
    return f"The migration was not stopped; the longest that anybody waited for it was {readable(worst_wait)}."


def incomplete() -> str:
    """The story has gaps."""
    return "The agent's log was not whole, so more may have happened than is told here."


def more_left(count: int) -> str:
    """The lists were cut."""
    return f"{count} shorter ones are counted above, but not kept one by one."


def together(seconds: float, count: int, queue: int) -> tuple[str, str]:
    """The waits of others, summed; and how many those were."""
    waits = "1 wait" if count == 1 else f"{count} waits"
    return readable(seconds), f"{waits}, at most {queue} at once" if queue > 1 else waits


def who(user: str, application: str, pid: int) -> str:
    """A session, by the names that its owner knows it by."""
    parts = [part for part in (user, f"application {application}" if application else "") if part]
    return f"{', '.join(parts) or 'a session'} (pid {pid})"


def blocker(session: Blocker) -> str:
    """A session that stood in the migration's way."""
    if session.kind == "prepared":
        return f"a prepared transaction of {session.user or 'an unknown role'}, {readable(session.age)} old"
    if session.kind == "autovacuum":
        return f"autovacuum (pid {session.pid}), at work for {readable(session.age)}"
    state = f", {session.state} for {readable(session.age)}" if session.state else ""
    return f"{who(session.user, session.application, session.pid)}{state}"


def stopped(stop: Stop) -> str:
    """What was cancelled or terminated, and why."""
    done = "terminated" if stop.what == "terminate" else "cancelled"
    asked = f" with {stop.mode}" if stop.mode else ""
    where = f" on {stop.relation}" if stop.relation else ""
    waiting = f", {stop.waiting} of others waiting" if stop.waiting else ""
    return f"session {stop.pid} {done} after {readable(stop.seconds)}{asked}{where}: {stop.why}{waiting}"


def advice(cause: str, blocked: tuple[Blocked, ...], migration: str, namespace: str) -> tuple[str, ...]:
    """What to do next, the command last."""
    status = f"kubectl -n {namespace} describe dbm {migration}"
    retry = f"kubectl -n {namespace} annotate dbm {migration} locktender.dev/retry=$(date +%s) --overwrite"
    worst = blocked[0].blockers[0] if blocked and blocked[0].blockers else None
    if not cause:
        return (f"How the run ended: {status}",)
    if cause in ("LockBudgetExceeded", "LockTimeout") and worst is not None:
        return (f"End what stood in its way: {remedy(worst)}", f"Then try again: {retry}")
    if cause in ("LockBudgetExceeded", "StatementTimeout"):
        return (
            (
                "Make the statement that held the lock shorter: build indexes CONCURRENTLY, add constraints NOT VALID and validate them "
                "later, fill columns in batches. Or, if users may wait that long, raise spec.locks."
            ),
            f"Then try again: {retry}",
        )
    if cause == "Timeout":
        return (f"Raise spec.migration.timeout, or split the migration. Then try again: {retry}",)
    return (f"What is known of the run's end: {status}",)


def remedy(session: Blocker) -> str:
    """How to get a blocker out of the way."""
    if session.kind == "prepared":
        return "finish the prepared transaction: SELECT gid, prepared FROM pg_prepared_xacts, then COMMIT PREPARED or ROLLBACK PREPARED."
    if session.kind == "autovacuum":
        return "let autovacuum finish; one that prevents wraparound does not yield (SELECT * FROM pg_stat_progress_vacuum)."
    if session.state.startswith("idle in transaction"):
        return (
            f"{who(session.user, session.application, session.pid)} left a transaction open: mend the application, or set "
            f"idle_in_transaction_session_timeout; now: SELECT pg_terminate_backend({session.pid})."
        )
    return f"{who(session.user, session.application, session.pid)} was at work: wait for it, or SELECT pg_cancel_backend({session.pid})."
