"""Why an attempt ended, as far as locks are concerned, and what is kept of it. Pure; called by the Migrate step and by housekeeping.

    exit code other than 0 --the agent cancelled or ended something, and that was the last of it--> its cause
                            `--the container's own words----------> LockTimeout | Deadlock | StatementTimeout
                             `-else-------------------------------> what it was before: NonZeroExit, a reason of our runner, ...

Only what another try can change is tried again (RETRIED): the locks were taken by others at that moment. A statement that is too slow, a
mistake in a migration or a lost session is the same the next time, or worse.
"""

import re

from locktender.api.conditions import Reason
from locktender.api.duration import readable
from locktender.api.status import LockFacts
from locktender.core import lock_messages, reports
from locktender.core.evidence import AGENT, Evidence
from locktender.core.lock_summary import LockSummary
from locktender.core.observation import JobState

RETRIED = frozenset({Reason.LOCK_BUDGET_EXCEEDED, Reason.LOCK_TIMEOUT, Reason.DEADLOCK})
ENFORCED = frozenset(
    {Reason.LOCK_BUDGET_EXCEEDED, Reason.LOCK_TIMEOUT, Reason.STATEMENT_TIMEOUT, Reason.TIMEOUT, Reason.LOST}
)
# The pod's end explains these; its words and its agent's could only tell what the end did.
_SETTLED = (Reason.TIMEOUT, Reason.EVICTED)
# With a lock_timeout that equals statement_timeout the server reports the latter, and some programs report neither.
_UNCLEAR = (Reason.STATEMENT_TIMEOUT, Reason.EXIT_CODE)
# Phrases of PostgreSQL, names of SQLSTATEs in drivers, and the SQLSTATEs themselves, which are the same in every language.
_WORDS: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (
        re.compile(r"\b55P03\b|canceling statement due to lock timeout|could not obtain lock on|\bLockNotAvailable\b"),
        Reason.LOCK_TIMEOUT,
    ),
    (re.compile(r"\b40P01\b|\bdeadlock detected\b|\bDeadlockDetected\b"), Reason.DEADLOCK),
    (re.compile(r"\b57014\b|canceling statement due to statement timeout"), Reason.STATEMENT_TIMEOUT),
)


# What our runner says when it was stopped, or the locks themselves; any other reason is one that it found after it had got over that.
_AFTER_A_STOP = RETRIED | {Reason.STATEMENT_TIMEOUT, "ConnectionLost", "Interrupted"}
_STOPPED = re.compile(
    r"\b57014\b|\b57P01\b|canceling statement due to user request|terminating connection due to administrator command"
)


def cause(evidence: Evidence, summary: LockSummary | None) -> str:
    """The reason of a failed attempt."""
    if evidence.reason in _SETTLED:
        return evidence.reason
    if summary is not None and _enforced(evidence, summary):
        return Reason(summary.cause)
    if evidence.report is not None and evidence.report.reason in RETRIED:
        return evidence.report.reason
    said = next((reason for pattern, reason in _WORDS if pattern.search(evidence.message)), evidence.reason)
    if said in _UNCLEAR and summary is not None and summary.lock_timeout_seen:
        return Reason.LOCK_TIMEOUT
    return said


def _enforced(evidence: Evidence, summary: LockSummary) -> bool:
    """The agent stopped the migration, and nothing says that it went on and failed of something else."""
    if summary.cause not in ENFORCED or not (summary.cancelled or summary.terminated):
        return False
    if evidence.report is not None:
        return evidence.report.reason in _AFTER_A_STOP
    return not summary.recovered or _STOPPED.search(evidence.message) is not None


def agents_word(job: JobState | None) -> LockSummary | None:
    """What the agent of a Job's pod measured, once it has ended; None when it has not, or did not say."""
    agent = job.pod.container(AGENT) if job is not None and job.pod is not None else None
    if agent is None or agent.running or agent.exit_code is None:
        return None
    report = reports.parse(agent.exit_message)
    return report.locks if report is not None and report.kind == AGENT else None


def facts(summary: LockSummary, attempt: int) -> LockFacts:
    """What the status keeps of it."""
    return LockFacts(
        attempt=attempt,
        budget=readable(summary.budget) if summary.budget else "",
        worst_wait=readable(summary.worst_wait),
        blocked_seconds=readable(summary.blocked_seconds),
        waits=summary.waits,
        queue=summary.queue,
        worst=lock_messages.worst(summary),
        own_wait=readable(summary.own_wait),
        blockers=tuple(lock_messages.blocker(item) for item in summary.blockers),
        cancelled=summary.cancelled,
        terminated=summary.terminated,
        cause=summary.cause,
        deadlocks=summary.deadlocks,
    )
