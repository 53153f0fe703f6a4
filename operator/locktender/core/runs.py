"""A run under way: its next step, and the four ways in which it ends. Pure; called by `decide`.

advance --every step done--> Succeeded
   |-----a step failed-----> Failed
   |-----overtaken---------> Superseded   (only while its migration has not started)
   `-----deleted-----------> Superseded, or Unknown when nobody will ever say how it ended
"""

from dataclasses import dataclass, replace
from datetime import datetime

from locktender.api.conditions import Reason
from locktender.api.spec import Spec, Strategy
from locktender.api.status import HistoryEntry, Outcome, Run, Status, Step, StepState, Verdict, moment, timestamp
from locktender.core import gate, key, messages
from locktender.core.actions import Action, DeleteJob
from locktender.core.observation import Observation
from locktender.core.steps import STRATEGIES, backup, migrate
from locktender.core.steps.base import StepContext
from locktender.settings import BACKUP_FRESH

AT_ONCE = 0.0  # seconds: look again as soon as the status is stored


@dataclass(frozen=True)
class Progress:
    """What one pass did for a run. `requeue` is in seconds; None means that the next event wakes us."""

    status: Status
    actions: tuple[Action, ...] = ()
    requeue: float | None = None


def advance(
    observation: Observation, spec: Spec, status: Status, target: key.Release | gate.NoTarget, now: datetime
) -> Progress:
    """Advance the first step that is not done; every strategy is a tuple of steps."""
    run = _of(status)
    fresh_token = observation.retry_token not in ("", status.last_handled_retry or "")
    if fresh_token:  # it ends a wait; while something runs there is nothing to retry, and it must not count later
        status = replace(status, last_handled_retry=observation.retry_token)
    may_start = not (spec.suspend or observation.deleting) and _why_anew(spec, run, now) is None
    context = StepContext(observation, spec, run, now, may_start, fresh_token)
    for name, step in STRATEGIES[Strategy(run.strategy) if run.strategy else spec.strategy]:
        before = run.step(name)
        if before.done:
            continue
        if before.state is StepState.UNKNOWN:
            return _unanswered(observation, status, before, now)
        result = step(context, before)
        ended = _overtaken(observation, spec, status, run.with_step(result.record), result.record, target, now)
        if ended is not None:
            return replace(ended, actions=(*result.actions, *ended.actions))
        at_once = result.record.done or result.record.state is StepState.FAILED
        # A step that only waits for its turn is no news: a write would stand between it and its Job.
        stored = status if result.record == before else _record(status, run, result.record, now)
        return Progress(stored, result.actions, AT_ONCE if at_once else result.requeue)
    message = messages.run_succeeded(run.image, run.release)
    return Progress(end(status, Outcome.SUCCEEDED, Reason.SUCCEEDED, message, now), (), AT_ONCE)


def _unanswered(observation: Observation, status: Status, step: Step, now: datetime) -> Progress:
    """Only a person can settle it. When the resource is deleted nobody will, and nothing of ours runs."""
    if not observation.deleting:
        return Progress(status)
    return Progress(end(status, Outcome.UNKNOWN, Reason.NEEDS_ATTENTION, step.message or "", now), (), AT_ONCE)


def _why_anew(spec: Spec, run: Run, now: datetime) -> str | None:
    """Why what was done for this run is not good any more, if its migration may still be held back."""
    if key.spec_hash(spec) != run.spec_hash:
        return messages.spec_changed()
    done = run.step(backup.NAME)
    if (
        done.state is StepState.SUCCEEDED
        and done.end_time
        and (now - moment(done.end_time)).total_seconds() > BACKUP_FRESH
    ):
        return messages.backup_stale()
    return None


def _overtaken(
    observation: Observation,
    spec: Spec,
    status: Status,
    run: Run,
    step: Step,
    target: key.Release | gate.NoTarget,
    now: datetime,
) -> Progress | None:
    """The run's early end, if it has one: never once its migration has started. `run` and `step` are as this pass found them."""
    migration = run.step(migrate.NAME)
    started = migration.state not in (StepState.PENDING, StepState.WAITING)
    if observation.deleting:
        at_work = step.state is StepState.RUNNING and step.job is not None
        reason, message = (None, "") if at_work or step.done else (Reason.DELETING, messages.deleting())
    elif not started and (anew := _why_anew(spec, run, now)) is not None:
        reason, message = Reason.SUPERSEDED, anew
    elif not started and step.state is StepState.WAITING and isinstance(target, key.Release) and target.key != run.key:
        reason, message = Reason.SUPERSEDED, messages.superseded()
    else:
        reason, message = None, ""
    if reason is None:
        return None
    ended = end(replace(status, run=run), Outcome.SUPERSEDED, reason, message, now)
    return Progress(ended, _put_away(observation, run), AT_ONCE)


def _put_away(observation: Observation, run: Run) -> tuple[Action, ...]:
    """Delete what a run leaves behind: a backup may be stopped at any time, a migration that waits has not started."""
    jobs = (observation.jobs.get(step.job or "") for step in run.steps if not step.done)
    return tuple(DeleteJob(job.name, job.uid) for job in jobs if job is not None and not job.ended)


def _record(status: Status, run: Run, step: Step, now: datetime) -> Status:
    """Store a step's record, and with it the verdict or the end of the run that it brings."""
    status = replace(status, run=run.with_step(step))
    if step.name == migrate.NAME and step.state is StepState.SUCCEEDED:
        return status.with_verdict(Verdict(run.key, Outcome.SUCCEEDED, timestamp(now), run.id, run.image, run.release))
    if step.state is StepState.FAILED:
        failed = end(status, Outcome.FAILED, step.reason or Reason.FAILED, step.message or "", now)
        return failed.with_verdict(Verdict(run.key, Outcome.FAILED, timestamp(now), run.id, run.image, run.release))
    return status


def end(status: Status, outcome: Outcome, reason: str, message: str, now: datetime) -> Status:
    """Close the run and write it into the history."""
    run = _of(status)
    ended = replace(run, outcome=outcome, end_time=timestamp(now))
    entry = HistoryEntry(
        run.id,
        run.key,
        outcome,
        run.start_time,
        timestamp(now),
        run.image,
        run.release,
        str(reason),
        messages.fit(message, 500),
    )
    return replace(status, run=ended).with_history(entry)


def _of(status: Status) -> Run:
    if status.run is None:
        raise ValueError("this status has no run")
    return status.run


def following(spec: Spec, status: Status, release: key.Release, now: datetime) -> Run:
    """The next attempt at a release: its number is one above the highest that is still known."""
    known = [entry.id for entry in status.history if entry.key == release.key]
    if status.run and status.run.key == release.key:
        known.append(status.run.id)
    attempts = [
        int(number) for number in (run_id.split("-")[1] for run_id in known if "-" in run_id) if number.isdigit()
    ]
    attempt = max(attempts, default=0) + 1
    start = timestamp(now)
    return Run(
        id=key.run_id(release.key, attempt, start),
        key=release.key,
        attempt=attempt,
        start_time=start,
        spec_hash=key.spec_hash(spec),
        image=release.image,
        release=release.release,
        strategy=str(spec.strategy),
    )
