"""What is tidied and told in every pass, whatever else is decided: ended Jobs, the Job's own confirmation, Events at the gate."""

import hashlib
from collections.abc import Collection
from dataclasses import replace

from locktender.api.conditions import ConditionType, Reason
from locktender.api.spec import Spec
from locktender.api.status import Status, Step, StepState
from locktender.core import gate, gate_messages, locks, messages, passage, past_the_gate
from locktender.core.actions import Action, EmitEvent, ExpireJob
from locktender.core.key import Release
from locktender.core.observation import GatedDeployment, JobState, Observation
from locktender.core.steps import migrate
from locktender.settings import TTL_FAILED, TTL_SUCCEEDED


def expired_jobs(observation: Observation, status: Status, awaited: Collection[str] = ()) -> tuple[Action, ...]:
    """A time to live for every ended Job whose result is stored. Never before: a Job that is gone tells nothing.

    `awaited` are those whose logs are still to be read.
    """
    stored = {step.job for step in (observation.status.run.steps if observation.status.run else ()) if _ended(step)}
    current = {step.job for step in (status.run.steps if status.run else ())}
    active = status.run.id if status.run and status.run.active else None
    actions: list[Action] = []
    for job in observation.jobs.values():
        if not job.ended or job.ttl is not None or job.deleting or job.name in awaited:
            continue
        unsettled = job.name in current or (active is not None and job.run_id == active)
        if unsettled and job.name not in stored:
            continue
        actions.append(ExpireJob(job.name, TTL_SUCCEEDED if job.complete else TTL_FAILED))
    return tuple(actions)


def _ended(step: Step) -> bool:
    return step.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.UNKNOWN)


def confirmed(observation: Observation, status: Status) -> Status:
    """Note on each finished step that the Job's own end has been seen to agree with the container's exit code."""
    run = status.run
    if run is None:
        return status
    for step in run.steps:
        job = observation.jobs.get(step.job or "")
        if step.confirmed or job is None or step.job_uid != job.uid:
            continue
        if step.state is StepState.SUCCEEDED and job.complete:
            run = run.with_step(replace(step, confirmed=True))
    return replace(status, run=run)


def measured(observation: Observation, status: Status) -> Status:
    """Note on the ended attempt of the migration what its agent measured. Its word may come after the verdict, which never waits for it."""
    run = status.run
    step = next((item for item in run.steps if item.name == migrate.NAME), None) if run else None
    if run is None or step is None or not (_ended(step) or (step.state is StepState.WAITING and step.end_time)):
        return status
    job = observation.jobs.get(step.job or "")
    if (step.locks is not None and step.locks.attempt == step.attempt) or job is None or step.job_uid != job.uid:
        return status
    summary = locks.agents_word(job)
    if summary is None:
        return status
    return replace(status, run=run.with_step(replace(step, locks=locks.facts(summary, step.attempt))))


def disputed(observation: Observation, status: Status) -> tuple[JobState, ...]:
    """Jobs marked failed although their main container was seen to end with exit code 0."""
    steps = status.run.steps if status.run else ()
    jobs = (observation.jobs.get(step.job or "") for step in steps if step.state is StepState.SUCCEEDED)
    return tuple(job for job in jobs if job is not None and job.failed)


def gate_events(
    observation: Observation, spec: Spec, status: Status, target: Release | gate.NoTarget
) -> tuple[Action, ...]:
    """Tell on each held Deployment that it waits, why, and what to do; of what came past its gate; of a Job that contradicts its container."""
    events = list(hold_events(observation, status))
    for deployment in observation.deployments:
        if not deployment.held:
            continue
        if isinstance(target, gate.NoTarget):
            events.append(_why(deployment, target.reason, target.message))
        elif not gate.belongs(spec, deployment, target) and not passage.verified(spec, deployment, status):
            text = messages.mismatch(deployment.name, target.image, target.release, by_spec=gate.names_its_own(spec))
            events.append(_why(deployment, Reason.GATE_MISMATCH, text))
    events.extend(past_the_gate.events(observation, spec, status))
    events.extend(
        EmitEvent(Reason.VERDICT_DISPUTED, messages.verdict_disputed(job.name), f"disputed/{job.uid}", warning=True)
        for job in disputed(observation, status)
    )
    return tuple(dict.fromkeys(events))


def hold_events(observation: Observation, status: Status) -> tuple[EmitEvent, ...]:
    """What each held Deployment is told: that it is held and, where nothing is at work, what the condition Ready says.

    `status` is the one about to be stored, so that an Event never says anything else than the condition.
    """
    ready = status.condition(ConditionType.READY)
    waits = status.condition(ConditionType.RECONCILING) is not None
    at_work = ready is None or (waits and ready.reason in (Reason.RUNNING, Reason.DELETING))
    events: list[EmitEvent] = []
    for deployment in observation.deployments:
        if not deployment.held:
            continue
        held = gate_messages.held(observation.name, observation.namespace)
        events.append(_about(deployment, Reason.HELD, held, f"held/{_fingerprint(deployment)}", warning=False))
        if ready is not None and not at_work:
            # Each attempt of a wait has a sentence of its own; one Event is enough for all of them.
            which = status.run.id if waits and status.run else ""
            events.append(_why(deployment, ready.reason, ready.message, which, warning=not waits))
    return tuple(events)


def _why(deployment: GatedDeployment, reason: str, message: str, which: str = "", *, warning: bool = True) -> EmitEvent:
    """An Event that tells why. The same hold, reason and sentence (or `which`) are one fact."""
    told = which or hashlib.sha256(message.encode()).hexdigest()[:10]
    fact = f"{reason}/{_fingerprint(deployment)}/{told}"
    return _about(deployment, reason, message, fact, warning=warning and reason != Reason.SUSPENDED)


def _about(deployment: GatedDeployment, reason: str, message: str, fact: str, *, warning: bool) -> EmitEvent:
    return EmitEvent(
        str(reason), message, fact, warning=warning, deployment=deployment.name, deployment_uid=deployment.uid
    )


def _fingerprint(deployment: GatedDeployment) -> str:
    """Identifies one hold: the same images held again later, after another release, are another fact."""
    since = deployment.held_since.isoformat() if deployment.held_since else ""
    text = "\0".join((deployment.name, *deployment.images, deployment.release, since, deployment.released))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
