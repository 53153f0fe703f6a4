"""What every step shares: its context, its result, and the life of a step that is one Job an attempt.

Pending --EnsureJob--> Running --exit 0--> Succeeded
|   `--exit 1--> Failed
|--pod waits (Secret, image, node)--> Waiting (same Job goes on by itself)
|--runner: may come right by waiting--> Waiting until the next attempt --EnsureJob--> Running
`--end not recorded--> Unknown
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from locktender.api.conditions import Reason
from locktender.api.spec import Spec
from locktender.api.status import Outcome, Run, Step, StepState, moment, timestamp
from locktender.core import locks, messages, retry
from locktender.core.actions import Action, ClaimDatabase, DeleteJob, EmitEvent, EnsureJob, ExpireJob
from locktender.core.evidence import Evidence, Finding, MainContainer, judge
from locktender.core.key import Release, job_name
from locktender.core.observation import Claim, JobState, Observation

POD_EXPECTED_WITHIN = 5.0  # seconds from a Job's creation until the absence of its pod is worth a word
CLAIM_CHECK = 30.0  # seconds between two looks at a claimed database; the end of the other run wakes us earlier
WAITED_JOB_TTL = 60  # seconds that the Job of an attempt that only waited is kept


@dataclass(frozen=True)
class StepContext:
    """What a step may look at. `may_start` is false while the resource is suspended or being deleted."""

    observation: Observation
    spec: Spec
    run: Run
    now: datetime
    may_start: bool = True
    retry_now: bool = False

    @property
    def release(self) -> Release:
        """The release that this run is for."""
        return Release(self.run.key, self.run.image, self.run.release)


@dataclass(frozen=True)
class StepResult:
    """The step's new record, what to do, and in how many seconds to look again (None: wait for an event)."""

    record: Step
    actions: tuple[Action, ...] = ()
    requeue: float | None = None


Advance = Callable[[StepContext, Step], StepResult]


def finished(record: Step, state: StepState, now: datetime, reason: str, message: str) -> Step:
    """The record of a step that came to an end."""
    return replace(record, state=state, end_time=timestamp(now), reason=str(reason), message=messages.fit(message))


def start_attempt(context: StepContext, record: Step, attempt: int) -> StepResult:
    """Create the Job of an attempt, once the database is ours to work on: a backup and another run's migration never overlap.

    The name is a function of run, step and attempt. A Job of that name that is there already is ours, made by a pass that died before it
    could say so: it is taken up whatever else holds.
    """
    run, observation = context.run, context.observation
    name = job_name(observation.name, observation.uid, run.id, run.start_time, record.name, attempt)
    there = observation.jobs.get(name)
    if there is None:
        held_up = _not_now(context, record)
        if held_up is not None:
            return held_up
    record = replace(
        record,
        state=StepState.RUNNING,
        job=name,
        job_uid=there.uid if there else None,
        attempt=attempt,
        start_time=record.start_time or timestamp(context.now),
        end_time=None,
    )
    if there is not None:
        return StepResult(record, (), 0.0)
    known = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN)
    settled = tuple(entry.id for entry in observation.status.history if entry.outcome in known)
    action = EnsureJob(
        name, record.name, run.id, attempt, run.image, run.release, context.spec, run.overridden, settled
    )
    return StepResult(record, (action,))


def _not_now(context: StepContext, record: Step) -> StepResult | None:
    """Why no Job may be created in this pass, if there is a reason."""
    observation = context.observation
    if not context.may_start:
        return StepResult(record)
    if observation.claim is Claim.FREE:
        return StepResult(record, (ClaimDatabase(context.run.id, observation.claim_version),), 0.0)
    if observation.claim is Claim.BUSY:
        message = messages.waiting_for(messages.database_claimed(observation.claimed_by, observation.namespace), 1)
        waiting = replace(record, state=StepState.WAITING, reason=str(Reason.DATABASE_CLAIMED), message=message)
        return StepResult(waiting, (), CLAIM_CHECK)
    return None


def advance_job(
    context: StepContext, record: Step, main: MainContainer, started: EmitEvent
) -> tuple[StepResult, Evidence | None]:
    """Move a Job step on as far as it can be moved without judging its end.

    Returns evidence when the step has come to an end that the step itself must word: SUCCEEDED, FAILED, LOST, or NOT_STARTED for good.
    """
    if record.state is StepState.PENDING or (record.state is StepState.WAITING and record.job is None):
        return _first_attempt(context, record, started), None
    if record.state is StepState.WAITING and record.end_time:
        return _next_attempt(context, record), None
    job = context.observation.jobs.get(record.job or "")
    if job is None or (record.job_uid and job.uid != record.job_uid):
        return StepResult(record), Evidence(Finding.LOST, Reason.JOB_VANISHED, messages.job_vanished(record.job or "?"))
    record = replace(record, job_uid=job.uid)
    evidence = judge(job, main, context.observation.namespace)
    return _by_evidence(context, record, job, evidence, started)


def _first_attempt(context: StepContext, record: Step, started: EmitEvent) -> StepResult:
    result = start_attempt(context, record, record.attempt)
    if result.record.job is None:
        return result
    told = replace(result.record, reason=started.reason, message=started.message)
    return replace(result, record=told, actions=(started, *result.actions))


def _by_evidence(
    context: StepContext, record: Step, job: JobState, evidence: Evidence, started: EmitEvent
) -> tuple[StepResult, Evidence | None]:
    match evidence.finding:
        case Finding.PENDING if job.pod is None:
            return _without_pod(context, record, job, evidence), None
        case Finding.PENDING | Finding.RUNNING:
            # A pod that is only pending keeps the step's own sentence; it is no news until the kubelet says what is awaited.
            return StepResult(
                replace(record, state=StepState.RUNNING, reason=started.reason, message=started.message)
            ), None
        case Finding.WAITING:
            look = messages.look_at_pod(job.name, context.observation.namespace)
            message = messages.waiting_for(messages.advised(evidence.message, look), record.attempt)
            return StepResult(replace(record, state=StepState.WAITING, reason=evidence.reason, message=message)), None
        case Finding.NOT_STARTED if evidence.transient:
            return _wait_for_next(context, record, job, evidence), None
        case Finding.NOT_STARTED:
            clean_up = () if job.ended else (DeleteJob(job.name, job.uid),)
            return StepResult(record, clean_up), evidence
        case _:
            return StepResult(record), evidence


def _without_pod(context: StepContext, record: Step, job: JobState, evidence: Evidence) -> StepResult:
    """A Job makes its pod within a moment; one that does not is refused by quota, admission or a missing service account."""
    age = (context.now - job.created).total_seconds()
    if age < POD_EXPECTED_WITHIN:
        return StepResult(record, (), POD_EXPECTED_WITHIN - age)
    message = messages.waiting_for(evidence.message, record.attempt)
    return StepResult(replace(record, state=StepState.WAITING, reason=evidence.reason, message=message))


def _wait_for_next(context: StepContext, record: Step, job: JobState, evidence: Evidence) -> StepResult:
    """The attempt could not begin: put its Job away and note when to try again."""
    again = messages.again_at_once(context.observation.name, context.observation.namespace)
    message = messages.waiting_for(messages.advised(evidence.message, again), record.attempt)
    waiting = finished(record, StepState.WAITING, context.now, evidence.reason, message)
    put_away: Action = ExpireJob(job.name, WAITED_JOB_TTL) if job.ended else DeleteJob(job.name, job.uid)
    return StepResult(waiting, (put_away,), retry.wait_before_attempt(record.attempt + 1))


def wait_again(context: StepContext, record: Step, reason: str, message: str) -> StepResult:
    """Record that this attempt is over and that another may follow."""
    again = messages.again_at_once(context.observation.name, context.observation.namespace)
    told = messages.waiting_for(messages.advised(message, again), record.attempt)
    waiting = finished(record, StepState.WAITING, context.now, reason, told)
    return StepResult(waiting, (), retry.wait_before_attempt(record.attempt + 1))


def _next_attempt(context: StepContext, record: Step) -> StepResult:
    """After a wait: the next attempt when its time has come."""
    due = moment(record.end_time or "") + timedelta(seconds=_pause(context.run, record))
    if context.now < due and not context.retry_now:
        return StepResult(record, (), (due - context.now).total_seconds())
    return start_attempt(context, record, record.attempt + 1)


def _pause(run: Run, record: Step) -> float:
    """Seconds between the attempt that is over and the next."""
    if record.reason in locks.RETRIED and record.lock_failures:
        return retry.wait_for_locks(run.id, record.lock_failures)
    return retry.wait_before_attempt(record.attempt + 1)


def took(record: Step, now: datetime) -> float | None:
    """Seconds since the step began."""
    return (now - moment(record.start_time)).total_seconds() if record.start_time else None
