"""The main loop's mind: an Observation goes in, a Decision comes out. Pure, so a test can ask it anything.

    observe --> decide --> act --> status        (runtime/reconciler.py turns the wheel)

A status is always stored before the step after it acts: each pass moves a run by at most one step, and asks to be called again.
Nothing is remembered between passes that is not in the objects.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from locktender.api.conditions import Reason
from locktender.api.spec import HoldOrRelease, Spec, Strategy
from locktender.api.status import HistoryEntry, Outcome, Run, Status, Step, StepState, Verdict, timestamp
from locktender.core import gate, housekeeping, key, messages, resolve, summary
from locktender.core.actions import Action, DeleteJob, EmitEvent, ReleaseDeployment, SetFinalizer
from locktender.core.observation import Observation
from locktender.core.steps import STRATEGIES, migrate
from locktender.core.steps.base import StepContext
from locktender.core.steps.release import open_gate
from locktender.settings import FINALIZER

AT_ONCE = 0.0  # seconds: look again as soon as the status is stored


@dataclass(frozen=True)
class Decision:
    """What to do now. `requeue` is in seconds; None means that the next event wakes us."""

    actions: tuple[Action, ...]
    status: Status
    requeue: float | None = None


def decide(observation: Observation, now: datetime) -> Decision:
    """One pass over one DatabaseMigration. Read it top to bottom; the first branch that applies is taken."""
    status, spec = observation.status, observation.spec

    # 1. A spec that cannot work: say so, and touch nothing.
    if isinstance(spec, str):
        finalizer = (
            (SetFinalizer(present=False),) if observation.deleting and FINALIZER in observation.finalizers else ()
        )
        return Decision(finalizer, summary.stalled(observation, status, Reason.INVALID_SPEC, spec, now))

    # 2. What ran before the gate counts as migrated; a person's word settles what we could not know.
    status, events = _adopt_baselines(observation, spec, status, now)
    status, restart = (status, None) if spec.suspend else resolve.apply(observation, spec, status, now)

    # 3. Which release is wanted, and does a run stand in its way?
    target = gate.wanted(observation, spec, status)
    if status.run and status.run.active and _overtaken(status.run, target):
        events = (*events, *_put_away(observation, status.run))
        status = _end(status, Outcome.SUPERSEDED, Reason.SUPERSEDED, messages.superseded(), now)

    # 4. A run under way goes on, one step a pass.
    if status.run and status.run.active:
        return _continue(observation, spec, status, target, now, events)

    # 5. On the way out: nothing runs any more, so honour spec.gate.onDelete and let go.
    if observation.deleting:
        return _let_go(observation, spec, status, now, events)

    # 6. A release without a verdict gets its run.
    start = restart or _wants_run(observation, spec, status, target, now)
    if start and not spec.suspend:
        return _begin(observation, spec, status, start, now, events)

    # 7. Nothing to run: open what verdicts open, tidy up, tell how things stand.
    status = _note_retry(observation, status)
    actions = (*events, *_openings(observation, spec), *_finalizer(observation, spec, status))
    actions = (
        *actions,
        *housekeeping.expired_jobs(observation, status),
        *housekeeping.gate_events(observation, spec, status, target),
    )
    status = housekeeping.confirmed(observation, status)
    return Decision(actions, summary.settled(observation, spec, status, target, now))


def _adopt_baselines(
    observation: Observation, spec: Spec, status: Status, now: datetime
) -> tuple[Status, tuple[Action, ...]]:
    events: list[Action] = []
    for release in gate.baselines(observation, spec, status):
        status = status.with_verdict(
            Verdict(release.key, Outcome.BASELINE, timestamp(now), "", release.image, release.release)
        )
        events.append(EmitEvent(Reason.BASELINE_ADOPTED, messages.baseline(release.image), f"baseline/{release.key}"))
    return status, tuple(events)


def _overtaken(run: Run, target: key.Release | gate.NoTarget) -> bool:
    """Another release is wanted, and this run only waits for something and has not started its migration."""
    if isinstance(target, gate.NoTarget) or target.key == run.key:
        return False
    if run.step(migrate.NAME).state not in (StepState.PENDING, StepState.WAITING):
        return False
    return any(step.state is StepState.WAITING for step in run.steps)


def _put_away(observation: Observation, run: Run) -> tuple[Action, ...]:
    """Delete the Jobs of an overtaken run: their main containers have not started."""
    jobs = (observation.jobs.get(step.job or "") for step in run.steps if step.state is StepState.WAITING)
    return tuple(DeleteJob(job.name, job.uid) for job in jobs if job is not None and not job.ended)


def _continue(
    observation: Observation,
    spec: Spec,
    status: Status,
    target: key.Release | gate.NoTarget,
    now: datetime,
    events: tuple[Action, ...],
) -> Decision:
    """Advance the first step that is not done."""
    run = status.run
    assert run is not None  # noqa: S101  # the caller has just looked
    may_start = not (spec.suspend or observation.deleting)
    retry_now = observation.retry_token not in ("", status.last_handled_retry or "")
    context = StepContext(observation, spec, run, now, may_start, retry_now)
    actions: tuple[Action, ...] = (*events, *_finalizer(observation, spec, status))
    requeue: float | None = None
    for name, advance in STRATEGIES[spec.strategy]:
        before = run.step(name)
        if before.done:
            continue
        if before.state is StepState.UNKNOWN:
            if observation.deleting:  # nothing of ours runs any more, and nobody will be asked
                status = _end(status, Outcome.UNKNOWN, Reason.NEEDS_ATTENTION, before.message or "", now)
                requeue = AT_ONCE
            break
        result = advance(context, before)
        if observation.deleting and result.record.state in (StepState.PENDING, StepState.WAITING):
            status = _end(status, Outcome.SUPERSEDED, Reason.DELETING, messages.deleting(), now)
            return Decision(
                (*actions, *_put_away(observation, run)), summary.deleting(observation, status, now), AT_ONCE
            )
        status = _record(status, run, result.record, now)
        actions = (*actions, *result.actions)
        requeue = AT_ONCE if result.record.done or result.record.state is StepState.FAILED else result.requeue
        if retry_now and result.record.attempt > before.attempt:
            status = replace(status, last_handled_retry=observation.retry_token)
        break
    else:
        status = _end(status, Outcome.SUCCEEDED, Reason.SUCCEEDED, messages.run_succeeded(run.image, run.release), now)
        requeue = AT_ONCE
    actions = (
        *actions,
        *_openings(observation, spec, actions),
        *housekeeping.expired_jobs(observation, status),
        *housekeeping.gate_events(observation, spec, status, target),
    )
    status = housekeeping.confirmed(observation, status)
    return Decision(actions, summary.running(observation, spec, status, target, now), requeue)


def _record(status: Status, run: Run, step: Step, now: datetime) -> Status:
    """Store a step's record, and with it the verdict or the end of the run that it brings."""
    status = replace(status, run=run.with_step(step))
    if step.name == migrate.NAME and step.state is StepState.SUCCEEDED:
        return status.with_verdict(Verdict(run.key, Outcome.SUCCEEDED, timestamp(now), run.id, run.image, run.release))
    if step.state is StepState.FAILED:
        failed = _end(status, Outcome.FAILED, step.reason or Reason.FAILED, step.message or "", now)
        return failed.with_verdict(Verdict(run.key, Outcome.FAILED, timestamp(now), run.id, run.image, run.release))
    return status


def _end(status: Status, outcome: Outcome, reason: str, message: str, now: datetime) -> Status:
    """Close the run and write it into the history."""
    run = status.run
    assert run is not None  # noqa: S101  # every caller has just looked
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


def _wants_run(
    observation: Observation, spec: Spec, status: Status, target: key.Release | gate.NoTarget, now: datetime
) -> Run | None:
    """The run that should start now, if any."""
    fresh_token = observation.retry_token not in ("", status.last_handled_retry or "")
    last = status.run
    if _previous_failed(spec, last, target):
        assert last is not None  # noqa: S101  # said by _previous_failed
        again = key.Release(last.key, last.image, last.release)
        return (
            resolve.next_run(spec, status, again, now) if fresh_token or key.spec_hash(spec) != last.spec_hash else None
        )
    if isinstance(target, gate.NoTarget):
        return None
    verdict = status.verdict(target.key)
    if verdict is None:
        return resolve.next_run(spec, status, target, now)
    if verdict.outcome is Outcome.FAILED:
        mended = last is not None and last.key == target.key and key.spec_hash(spec) != last.spec_hash
        return resolve.next_run(spec, status, target, now) if fresh_token or mended else None
    held_back = any(item.held and gate.belongs(spec, item, target) for item in observation.deployments)
    closed = not any(gate.belongs(spec, item, target) for item, _ in gate.releasable(observation, spec, status))
    return resolve.next_run(spec, status, target, now) if fresh_token and held_back and closed else None


def _previous_failed(spec: Spec, last: Run | None, target: key.Release | gate.NoTarget) -> bool:
    """DeployThenMigrate: the running version's own migration failed, so whatever comes next waits."""
    if spec.strategy is not Strategy.DEPLOY_THEN_MIGRATE or last is None or last.outcome is not Outcome.FAILED:
        return False
    return isinstance(target, gate.NoTarget) or target.key != last.key


def _begin(
    observation: Observation, spec: Spec, status: Status, run: Run, now: datetime, events: tuple[Action, ...]
) -> Decision:
    """Store the new run first; its first step acts in the next pass."""
    status = replace(status, run=run)
    if observation.retry_token:
        status = replace(status, last_handled_retry=observation.retry_token)
    actions = (*events, *_finalizer(observation, spec, status))
    target = key.Release(run.key, run.image, run.release)
    return Decision(actions, summary.running(observation, spec, status, target, now), AT_ONCE)


def _note_retry(observation: Observation, status: Status) -> Status:
    """A retry token that finds nothing to retry is answered too, so that whoever set it sees it echoed."""
    return replace(status, last_handled_retry=observation.retry_token) if observation.retry_token else status


def _openings(observation: Observation, spec: Spec, decided: tuple[Action, ...] = ()) -> tuple[Action, ...]:
    """Release every held Deployment whose verdict is already stored, and that no step has released in this pass."""
    if spec.suspend:
        return ()
    already = {action.name for action in decided if isinstance(action, ReleaseDeployment)}
    return tuple(
        action
        for deployment, verdict in gate.releasable(observation, spec, observation.status)
        if deployment.name not in already
        for action in open_gate(
            deployment, verdict.run or verdict.key, messages.released(verdict.run or "baseline", verdict.image)
        )
    )


def _finalizer(observation: Observation, spec: Spec, status: Status) -> tuple[Action, ...]:
    """Ours stands while a run is under way, or while a deletion has to open the gate."""
    active = status.run is not None and status.run.active
    wanted = active or spec.on_delete is HoldOrRelease.RELEASE
    present = FINALIZER in observation.finalizers
    if wanted == present or (observation.deleting and wanted):
        return ()
    return (SetFinalizer(present=wanted),)


def _let_go(
    observation: Observation, spec: Spec, status: Status, now: datetime, events: tuple[Action, ...]
) -> Decision:
    actions = list(events)
    if spec.on_delete is HoldOrRelease.RELEASE:
        for deployment in observation.deployments:
            if deployment.held:
                actions.extend(open_gate(deployment, "deleted", messages.released_by_deletion(observation.name)))
    actions.extend(housekeeping.expired_jobs(observation, status))
    if FINALIZER in observation.finalizers:
        actions.append(SetFinalizer(present=False))
    return Decision(tuple(actions), summary.deleting(observation, status, now))
