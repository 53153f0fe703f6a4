"""The main loop's mind: an Observation goes in, a Decision comes out. Pure, so a test can ask it anything.

    observe --> decide --> act --> status        (runtime/reconciler.py turns the wheel)

A status is always stored before the step after it acts: each pass moves a run by at most one step, and asks to be called again.
Nothing is remembered between passes that is not in the objects.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from locktender.api.conditions import Reason
from locktender.api.spec import HoldOrRelease, Spec
from locktender.api.status import Outcome, Run, Status, Verdict, timestamp
from locktender.core import gate, gate_messages, housekeeping, key, messages, report_due, resolve, runs, summary
from locktender.core.actions import Action, EmitEvent, ExpireJob, ReleaseDeployment, SetFinalizer
from locktender.core.observation import Observation
from locktender.core.runs import AT_ONCE
from locktender.core.steps.release import open_gate
from locktender.settings import FINALIZER, TTL_FAILED, TTL_SUCCEEDED


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
        told = summary.stalled(observation, status, Reason.INVALID_SPEC, spec, now)
        return Decision((*_last_finalizer(observation), *housekeeping.hold_events(observation, told)), told)

    # 2. What ran before the gate counts as migrated; a person's word settles what we could not know.
    status, events = _adopt_baselines(observation, spec, status, now)
    answered, restart = (status, None) if spec.suspend else resolve.apply(observation, spec, status, now)
    target = gate.wanted(observation, spec, answered)
    if answered is not status and restart is None:  # a verdict, so it is stored before anything acts on it
        return _with_the_rest(observation, spec, target, now, Decision(events, answered, AT_ONCE))
    status = answered

    # 3. A run under way goes on whatever release is wanted, one step a pass.
    if status.run and status.run.active:
        progress = runs.advance(observation, spec, status, target, now)
        return _with_the_rest(
            observation, spec, target, now, Decision((*events, *progress.actions), progress.status, progress.requeue)
        )

    # 4. On the way out: nothing runs any more, so honour spec.gate.onDelete and let go.
    if observation.deleting:
        return _let_go(observation, spec, status, now, events)

    # 5. A release without a verdict gets its run; it is stored first, and its first step acts in the next pass.
    start = restart or _wants_run(observation, spec, status, target, now)
    if start and not spec.suspend:
        status = replace(status, run=start, last_handled_retry=observation.retry_token or status.last_handled_retry)
        return _with_the_rest(observation, spec, target, now, Decision(events, status, AT_ONCE))

    # 6. Nothing to run: open what verdicts open, tidy up, tell how things stand.
    if observation.retry_token and not spec.suspend:  # a token that finds nothing to retry is answered too
        status = replace(status, last_handled_retry=observation.retry_token)
    return _with_the_rest(observation, spec, target, now, Decision(events, status))


def _with_the_rest(
    observation: Observation, spec: Spec, target: key.Release | gate.NoTarget, now: datetime, decision: Decision
) -> Decision:
    """What is done and told in every pass, whatever was decided."""
    status, actions = decision.status, decision.actions
    reports = report_due.due(observation, now)
    actions = (
        *_finalizer(observation, spec, status),
        *actions,
        *_openings(observation, spec, actions),
        *reports.actions,
        *housekeeping.expired_jobs(observation, status, reports.awaited),
    )
    status = housekeeping.measured(observation, housekeeping.confirmed(observation, status))
    status = summary.standing(observation, spec, status, target, now)
    actions = (*actions, *housekeeping.gate_events(observation, spec, status, target))
    wishes = [seconds for seconds in (decision.requeue, reports.requeue) if seconds is not None]
    return Decision(actions, status, min(wishes, default=None))


def _last_finalizer(observation: Observation) -> tuple[Action, ...]:
    """With a spec that cannot be read a deletion still waits for a migration that runs."""
    run = observation.status.run
    at_work = (
        run is not None
        and run.active
        and any(job.run_id == run.id and not job.ended for job in observation.jobs.values())
    )
    leaves = observation.deleting and FINALIZER in observation.finalizers and not at_work
    return (SetFinalizer(present=False),) if leaves else ()


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


def _wants_run(
    observation: Observation, spec: Spec, status: Status, target: key.Release | gate.NoTarget, now: datetime
) -> Run | None:
    """The run that should start now, if any."""
    fresh_token = observation.retry_token not in ("", status.last_handled_retry or "")
    last = status.run
    if last is not None and gate.blocked_by(observation, spec, last, target):
        mended = key.spec_hash(spec) != last.spec_hash
        again = key.Release(last.key, last.image, last.release)
        return runs.following(spec, status, again, now) if fresh_token or mended else None
    if isinstance(target, gate.NoTarget):
        return None
    verdict = status.verdict(target.key)
    if verdict is None:
        return runs.following(spec, status, target, now)
    if verdict.outcome is Outcome.FAILED:
        mended = last is not None and last.key == target.key and key.spec_hash(spec) != last.spec_hash
        return runs.following(spec, status, target, now) if fresh_token or mended else None
    held_back = any(item.held and gate.belongs(spec, item, target) for item in observation.deployments)
    closed = not any(gate.belongs(spec, item, target) for item, _ in gate.releasable(observation, spec, status))
    return runs.following(spec, status, target, now) if fresh_token and held_back and closed else None


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
            deployment, verdict.run or verdict.key, gate_messages.released(verdict.run or "baseline", verdict.image)
        )
    )


def _finalizer(observation: Observation, spec: Spec, status: Status) -> tuple[Action, ...]:
    """Ours stands while a run is under way, or while a deletion has to open the gate."""
    active = status.run is not None and status.run.active
    wanted = active or spec.on_delete is HoldOrRelease.RELEASE
    if observation.deleting or wanted == (FINALIZER in observation.finalizers):
        return ()  # on the way out it goes last: _let_go
    return (SetFinalizer(present=wanted),)


def _let_go(
    observation: Observation, spec: Spec, status: Status, now: datetime, events: tuple[Action, ...]
) -> Decision:
    actions = list(events)
    if spec.on_delete is HoldOrRelease.RELEASE:
        for deployment in observation.deployments:
            if deployment.held:
                actions.extend(open_gate(deployment, "deleted", gate_messages.released_by_deletion(observation.name)))
    # Nobody will look at the Jobs again, whether they have ended already or are about to.
    unbounded = (job for job in observation.jobs.values() if job.ttl is None and not job.deleting)
    actions.extend(ExpireJob(job.name, TTL_SUCCEEDED if job.complete else TTL_FAILED) for job in unbounded)
    if FINALIZER in observation.finalizers:
        actions.append(SetFinalizer(present=False))
    return Decision(tuple(actions), summary.deleting(observation, status, now))
