"""The Release step: open the gate for every held Deployment that belongs to the run's release."""

from dataclasses import replace

from locktender.api.conditions import Reason
from locktender.api.status import Step, StepState, timestamp
from locktender.core import gate, gate_messages
from locktender.core.actions import Action, EmitEvent, ReleaseDeployment
from locktender.core.observation import GatedDeployment
from locktender.core.steps.base import StepContext, StepResult, finished

NAME = "Release"


def open_gate(deployment: GatedDeployment, run_id: str, message: str) -> tuple[Action, ...]:
    """The guarded patch and the Event that tells of it."""
    images = tuple(item.image for item in deployment.containers)
    init_images = tuple(item.image for item in deployment.init_containers)
    fact = f"{run_id}/released/{deployment.name}"
    return (
        ReleaseDeployment(deployment.name, init_images, images, deployment.generation, run_id),
        EmitEvent(Reason.RELEASED, message, fact, deployment=deployment.name, deployment_uid=deployment.uid),
    )


def advance(context: StepContext, record: Step) -> StepResult:
    """Release what belongs to the run; done when nothing that belongs is held any more."""
    run = context.run
    held = [
        item
        for item in context.observation.deployments
        if item.held and gate.belongs(context.spec, item, context.release)
    ]
    first = gate.first_to_roll_out(context.spec)
    message = gate_messages.released_before_migration(run.id) if first else gate_messages.released(run.id, run.image)
    if not held:
        return StepResult(finished(record, StepState.SUCCEEDED, context.now, Reason.RELEASED, message))
    if not context.may_start:
        return StepResult(record)
    record = replace(
        record, state=StepState.RUNNING, start_time=record.start_time or timestamp(context.now), reason=Reason.RUNNING
    )
    return StepResult(record, tuple(action for item in held for action in open_gate(item, run.id, message)), 0.0)
