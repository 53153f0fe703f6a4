"""From what is known to what is shown: the conditions (kstatus) and the gate section of the status.

`Ready` is True only when the newest release is through its gate. `Reconciling` is there while something is at work, `Stalled` only when
a person is needed; never both. Every function returns the status to store.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from locktender.api.conditions import ConditionType, Reason
from locktender.api.spec import Spec, Strategy
from locktender.api.status import (
    Condition,
    GatedDeploymentStatus,
    GateState,
    Outcome,
    Status,
    Step,
    StepState,
    timestamp,
)
from locktender.core import gate, gate_messages, messages, passage
from locktender.core.key import Release
from locktender.core.observation import Observation
from locktender.core.steps import STRATEGIES, backup, migrate

SAYS_ENOUGH = (
    Reason.SUSPENDED,
    Reason.DELETING,
)  # whatever else a person is told to do has no effect while spec.suspend is true


@dataclass(frozen=True)
class Standing:
    """How the whole stands: the value of Ready, its reason and sentence, and which of the two abnormal conditions holds."""

    ready: str
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False


def stalled(observation: Observation, status: Status, reason: str, message: str, now: datetime) -> Status:
    """Nothing can be done until a person changes something."""
    return _conclude(observation, None, status, Standing("False", reason, message, stalled=True), now)


def without_job(observation: Observation, step: str, reason: str, message: str, now: datetime) -> Status:
    """The Job of a step cannot be made: the step waits, so that a newer version may overtake its run."""
    status, spec = observation.status, observation.spec
    if status.run is None or not isinstance(spec, Spec):
        return stalled(observation, status, reason, message, now)
    waiting = replace(status.run.step(step), state=StepState.WAITING, reason=str(reason), message=messages.fit(message))
    status = replace(status, run=status.run.with_step(waiting))
    return _conclude(observation, spec, status, _of_step(observation, spec, waiting), now)


def deleting(observation: Observation, status: Status, now: datetime) -> Status:
    """The resource is on its way out."""
    standing = Standing("False", Reason.DELETING, messages.deleting(), reconciling=True)
    spec = observation.spec if isinstance(observation.spec, Spec) else None
    return _conclude(observation, spec, status, standing, now)


def standing(
    observation: Observation, spec: Spec, status: Status, target: Release | gate.NoTarget, now: datetime
) -> Status:
    """However it stands: on the way out, under way, or at rest."""
    if observation.deleting:
        return deleting(observation, status, now)
    return running(observation, spec, status, target, now)


def running(
    observation: Observation, spec: Spec, status: Status, target: Release | gate.NoTarget, now: datetime
) -> Status:
    """A run is under way, or has ended in this very pass."""
    run = status.run
    if run is None or not run.active:
        return settled(observation, spec, status, target, now)
    status = replace(status, key=run.key, image=run.image or None)
    step = next(
        (
            run.step(name)
            for name, _ in STRATEGIES[Strategy(run.strategy) if run.strategy else spec.strategy]
            if not run.step(name).done
        ),
        None,
    )
    return _conclude(observation, spec, status, _of_step(observation, spec, step), now)


def _of_step(observation: Observation, spec: Spec, step: Step | None) -> Standing:
    if step is None or step.state is StepState.PENDING:
        if spec.suspend:
            return Standing("False", Reason.SUSPENDED, messages.suspended(observation.name, observation.namespace))
        return Standing("Unknown", Reason.RUNNING, "The next step is about to start.", reconciling=True)
    message = step.message or f"Step {step.name} is at work."
    if step.state is StepState.UNKNOWN:
        return Standing("False", step.reason or Reason.NEEDS_ATTENTION, message, stalled=True)
    reason = step.reason if step.state is StepState.WAITING and step.reason else Reason.RUNNING
    return Standing("Unknown", reason, message, reconciling=True)


def settled(
    observation: Observation, spec: Spec, status: Status, target: Release | gate.NoTarget, now: datetime
) -> Status:
    """No run is under way."""
    if isinstance(target, Release):
        status = replace(status, key=target.key, image=target.image or None)
    return _conclude(observation, spec, status, _standing(observation, spec, status, target), now)


def _standing(observation: Observation, spec: Spec, status: Status, target: Release | gate.NoTarget) -> Standing:
    where = (observation.name, observation.namespace)
    run = status.run
    if run is not None and gate.blocked_by(observation, spec, run, target):
        migrated = run.step(migrate.NAME).state is StepState.FAILED
        message = messages.previous_failed(run.id, *where, backed_up=migrated)
        return Standing("False", Reason.PREVIOUS_MIGRATION_FAILED, message, stalled=True)
    if isinstance(target, gate.NoTarget):
        return Standing("False", target.reason, target.message, stalled=target.stalled)
    verdict = status.verdict(target.key)
    if verdict is None:
        if spec.suspend:
            return Standing("False", Reason.SUSPENDED, messages.suspended(*where))
        return Standing("Unknown", Reason.RUNNING, "A run is about to start.", reconciling=True)
    if verdict.outcome is Outcome.FAILED:
        why = _why_failed(status, verdict.run)
        runs = gate.runs_already(observation, spec, target)
        return Standing("False", Reason.FAILED, messages.runs_meanwhile(why) if runs else why, stalled=True)
    return _standing_of_gate(observation, spec, status, target, verdict.outcome)


def _standing_of_gate(
    observation: Observation, spec: Spec, status: Status, target: Release, outcome: Outcome
) -> Standing:
    """The wanted release is verified: what still stands at the gate?"""
    held = [item for item in observation.deployments if item.held]
    opened = {item.name for item, _ in gate.releasable(observation, spec, status)}
    strangers = [item for item in held if item.name not in opened and not gate.belongs(spec, item, target)]
    if strangers:
        message = messages.mismatch(strangers[0].name, target.image, target.release, by_spec=gate.names_its_own(spec))
        return Standing("False", Reason.GATE_MISMATCH, message)
    if any(item.name not in opened for item in held):
        return Standing("False", Reason.REVERT_HELD, messages.revert_held(observation.name, observation.namespace))
    if held and spec.suspend:
        return Standing("False", Reason.SUSPENDED, messages.suspended(observation.name, observation.namespace))
    if held:
        return Standing("Unknown", Reason.RUNNING, "The gate is opening.", reconciling=True)
    if (past := _unverified(observation, spec, status)) is not None:
        return Standing("False", *past)
    if outcome is Outcome.BASELINE:
        return Standing("True", Reason.BASELINE_ADOPTED, messages.baseline(target.image))
    return Standing(
        "True", Reason.SUCCEEDED, messages.succeeded(target.image, target.release, len(observation.deployments))
    )


def _why_failed(status: Status, run_id: str) -> str:
    if status.run and status.run.id == run_id:
        failed = next((step for step in status.run.steps if step.state is StepState.FAILED), None)
        if failed and failed.message:
            return failed.message
    entry = next((entry for entry in status.history if entry.id == run_id), None)
    return (entry.message if entry else None) or f"Run {run_id} failed."


def _conclude(observation: Observation, spec: Spec | None, status: Status, standing: Standing, now: datetime) -> Status:
    """Write the conditions and the gate section."""
    if spec is not None and spec.suspend and standing.ready == "False" and standing.reason not in SAYS_ENOUGH:
        resume = messages.resume_too(observation.name, observation.namespace)
        standing = replace(standing, message=messages.advised(standing.message, resume))
    wanted: list[tuple[ConditionType, str, str, str]] = [
        (ConditionType.READY, standing.ready, standing.reason, standing.message)
    ]
    if standing.reconciling:
        wanted.append((ConditionType.RECONCILING, "True", standing.reason, standing.message))
    if standing.stalled:
        wanted.append((ConditionType.STALLED, "True", standing.reason, standing.message))
    if spec is not None:
        status = replace(status, deployments=_at_gate(observation, spec, status))
        wanted.extend(_of_steps(status))
        wanted.append(_of_gate(observation, spec, status))
    elif held := sorted(item.name for item in observation.deployments if item.held):
        wanted.append((ConditionType.GATE_OPEN, "False", Reason.HELD, gate_messages.gate_held(held)))
    conditions = tuple(_condition(observation, kind, value, reason, text, now) for kind, value, reason, text in wanted)
    return replace(status, conditions=conditions, observed_generation=observation.generation)


def _of_steps(status: Status) -> list[tuple[ConditionType, str, str, str]]:
    found = []
    steps = status.run.steps if status.run else ()
    for kind, name in ((ConditionType.BACKUP_READY, backup.NAME), (ConditionType.MIGRATION_SUCCEEDED, migrate.NAME)):
        step = next((item for item in steps if item.name == name), None)
        if step is not None and step.state is not StepState.PENDING:
            value = {StepState.SUCCEEDED: "True", StepState.FAILED: "False", StepState.SKIPPED: "False"}.get(
                step.state, "Unknown"
            )
            found.append((kind, value, step.reason or Reason.RUNNING, step.message or ""))
    return found


def _of_gate(observation: Observation, spec: Spec, status: Status) -> tuple[ConditionType, str, str, str]:
    held = sorted(item.name for item in observation.deployments if item.held)
    past = _unverified(observation, spec, status)
    if held:
        told = f"{gate_messages.gate_held(held)} {past[1]}" if past else gate_messages.gate_held(held)
        return ConditionType.GATE_OPEN, "False", Reason.HELD, told
    if past:
        return ConditionType.GATE_OPEN, "True", *past
    return ConditionType.GATE_OPEN, "True", Reason.OPEN, gate_messages.gate_open()


def _unverified(observation: Observation, spec: Spec, status: Status) -> tuple[Reason, str] | None:
    """What runs unmigrated although it is gated, and what becomes of it."""
    told: list[tuple[Reason, str]] = []
    for item in observation.deployments:
        state = GateState.OPEN if item.held else passage.state(observation, spec, status, item)
        follows = passage.what_next(observation, spec, status, item)
        if state is GateState.BYPASSED:
            said = item.word.said if item.word else ""
            told.append((Reason.GATE_BYPASSED, gate_messages.bypassed(item.name, item.images, said, follows)))
        elif state is GateState.SKIPPED:
            told.append((Reason.GATE_SKIPPED, gate_messages.skipped(item.name, item.images, follows)))
    return (told[0][0], " ".join(text for _, text in told)) if told else None


def _at_gate(observation: Observation, spec: Spec, status: Status) -> tuple[GatedDeploymentStatus, ...]:
    current = Release(status.key, status.image or "", _release_of(status)) if status.key else None
    found = []
    for item in sorted(observation.deployments, key=lambda deployment: deployment.name):
        if item.held:
            known = current is None or gate.belongs(spec, item, current)
            state = GateState.HELD if known else GateState.MISMATCH
        else:
            state = passage.state(observation, spec, status, item)
        entry = GatedDeploymentStatus(
            name=item.name,
            state=state,
            images=item.images,
            key=item.release[: gate.KEY_LIMIT] or None,
            held_since=timestamp(item.held_since) if item.held and item.held_since else None,
            opened_by=str(item.word.by) if item.word else None,
            word=str(item.word) if item.word else None,
        )
        found.append(entry)
    return tuple(found)


def _release_of(status: Status) -> str:
    """The key string of the current release, from its verdict or its run."""
    verdict = status.verdict(status.key or "")
    if verdict is not None:
        return verdict.release
    return status.run.release if status.run and status.run.key == status.key else ""


def _condition(
    observation: Observation, kind: ConditionType, value: str, reason: str, message: str, now: datetime
) -> Condition:
    """A condition whose transition time moves only when its status does."""
    before = observation.status.condition(kind)
    since = before.last_transition_time if before is not None and before.status == value else timestamp(now)
    return Condition(str(kind), value, str(reason), messages.fit(message), since, observation.generation)
