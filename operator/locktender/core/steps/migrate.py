"""The Migrate step: the application's migration, once. An end that was not seen is never guessed.

exit 0 --> Succeeded, at once
exit N --the agent is heard, for HEARING seconds at most--> because of locks: Waiting until the next attempt, up to spec.locks.retries
                                                        `-> anything else:    Failed
"""

from dataclasses import replace
from datetime import timedelta

from locktender.api.conditions import Reason
from locktender.api.spec import Framework
from locktender.api.status import Step, StepState, moment, timestamp
from locktender.core import gate, lock_messages, locks, messages, retry
from locktender.core.actions import EmitEvent
from locktender.core.evidence import AGENT, Evidence, Finding, MainContainer
from locktender.core.steps import backup
from locktender.core.steps.base import StepContext, StepResult, advance_job, finished, took
from locktender.settings import BACKUP_FRESH

NAME = "Migrate"
CONTAINER = "migrate"
HEARING = 10.0  # seconds: an agent says what it measured within one of its container's end, or it never will


def advance(context: StepContext, record: Step) -> StepResult:
    """Start, follow and judge the migration Job."""
    spec, run = context.spec, context.run
    framework = spec.migration.framework
    started = EmitEvent(Reason.MIGRATION_STARTED, messages.migration_running(framework, run.image), f"{run.id}/migrate")
    main = MainContainer(CONTAINER, is_runner=framework is Framework.SQL, timeout=spec.migration.timeout)
    result, evidence = advance_job(context, record, main, started)
    result, evidence = _recalled(record, result, evidence)
    if evidence is None:
        return result
    if evidence.finding is Finding.SUCCEEDED:
        message = messages.migration_succeeded(run.image, took(result.record, context.now))
        done = finished(result.record, StepState.SUCCEEDED, context.now, Reason.MIGRATION_SUCCEEDED, message)
        return StepResult(done, (EmitEvent(Reason.MIGRATION_SUCCEEDED, message, f"{run.id}/migrated"),))
    if evidence.finding is Finding.LOST or evidence.reason == Reason.PREVIOUS_ATTEMPT_UNKNOWN:
        return _unknown(context, result, evidence)
    if evidence.finding is Finding.FAILED:
        return _hear_agent(context, result.record, evidence) or _judged(context, result, evidence)
    return _failed(context, result, evidence.reason, evidence.message)


def _recalled(record: Step, result: StepResult, evidence: Evidence | None) -> tuple[StepResult, Evidence | None]:
    """A failure that was seen stays one, also when its pod or its Job is taken away while the agent is heard."""
    seen = record.state is StepState.RUNNING and record.end_time is not None
    if not seen or (evidence is not None and evidence.finding is Finding.FAILED):
        return result, evidence
    return StepResult(record), Evidence(Finding.FAILED, record.reason or Reason.EXIT_CODE, record.message or "")


def _hear_agent(context: StepContext, record: Step, evidence: Evidence) -> StepResult | None:
    """Wait until the agent has ended: it knows why the container failed. None when there is nothing (more) to wait for."""
    job = context.observation.jobs.get(record.job or "")
    agent = job.pod.container(AGENT) if job is not None and job.pod is not None else None
    if job is None or job.pod is None or agent is None or not agent.running or job.ended or job.pod.phase == "Failed":
        return None
    since = record.end_time or timestamp(context.now)
    left = HEARING - (context.now - moment(since)).total_seconds()
    if left <= 0:
        return None
    heard = replace(record, state=StepState.RUNNING, end_time=since, reason=evidence.reason, message=evidence.message)
    return StepResult(heard, (), left)


def _judged(context: StepContext, result: StepResult, evidence: Evidence) -> StepResult:
    """The container failed, and whatever its agent had to say has been heard."""
    spec, run, record = context.spec, context.run, result.record
    summary = locks.agents_word(context.observation.jobs.get(record.job or ""))
    if summary is not None:
        record = replace(record, locks=locks.facts(summary, record.attempt))
    reason = locks.cause(evidence, summary)
    if reason == evidence.reason and reason not in locks.RETRIED:
        return _failed(context, replace(result, record=record), reason, evidence.message)
    told = lock_messages.fact(reason, spec, summary, evidence.message)
    too_old = False
    if reason in locks.RETRIED:
        record = replace(record, lock_failures=record.lock_failures + 1)
        pause = retry.wait_for_locks(run.id, record.lock_failures)
        too_old = _backup_too_old(context, pause)
        may_follow = record.lock_failures <= retry.lock_retries(spec) and not context.observation.deleting
        if may_follow and not too_old:
            return _try_again(context, record, reason, told, pause)
        too_old = too_old and may_follow
    tries = lock_messages.given_up(record.lock_failures, too_old=too_old)
    where = (context.observation.name, context.observation.namespace)
    said = (tries, told, lock_messages.advice(reason, spec, summary, *where))
    sentences = " ".join(part.rstrip(".") + "." for part in said if part)
    return _failed(context, replace(result, record=record), reason, sentences)


def _backup_too_old(context: StepContext, pause: float) -> bool:
    """The next attempt would come when the backup before this run no longer counts as taken before the migration."""
    done = context.run.step(backup.NAME)
    if done.state is not StepState.SUCCEEDED or not done.end_time:
        return False
    return context.now + timedelta(seconds=pause) > moment(done.end_time) + timedelta(seconds=BACKUP_FRESH)


def _try_again(context: StepContext, record: Step, reason: str, told: str, pause: float) -> StepResult:
    observation, run = context.observation, context.run
    tries = lock_messages.tried(record.lock_failures, retry.lock_retries(context.spec), pause)
    again = messages.again_at_once(observation.name, observation.namespace)
    message = messages.advised(f"{tries} {told}", again)
    waiting = finished(record, StepState.WAITING, context.now, reason, message)
    event = EmitEvent(reason, message, f"{run.id}/locks/{record.attempt}", warning=True)
    return StepResult(waiting, (event,), pause)


def _unknown(context: StepContext, result: StepResult, evidence: Evidence) -> StepResult:
    """Only a person can say whether the migration ran."""
    observation, run = context.observation, context.run
    earlier = evidence.reason == Reason.PREVIOUS_ATTEMPT_UNKNOWN
    word = messages.earlier_unknown if earlier else messages.needs_attention
    message = word(evidence.message, run.id, observation.name, observation.namespace)
    reason = Reason.PREVIOUS_ATTEMPT_UNKNOWN if earlier else Reason.NEEDS_ATTENTION
    unknown = finished(result.record, StepState.UNKNOWN, context.now, reason, message)
    event = EmitEvent(Reason.NEEDS_ATTENTION, message, f"{run.id}/unknown", warning=True)
    return replace(result, record=unknown, actions=(*result.actions, event))


def _failed(context: StepContext, result: StepResult, reason: str, cause: str) -> StepResult:
    """The migration failed for good."""
    observation, run, record = context.observation, context.run, result.record
    runs = gate.runs_already(observation, context.spec, context.release)
    where = (observation.name, observation.namespace)
    message = messages.migration_failed(cause, record.job or "?", *where, runs=runs)
    failed = finished(record, StepState.FAILED, context.now, reason, message)
    event = EmitEvent(Reason.MIGRATION_FAILED, message, f"{run.id}/failed", warning=True)
    return replace(result, record=failed, actions=(*result.actions, event))
