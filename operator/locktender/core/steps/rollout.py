"""The Rollout step (DeployThenMigrate): wait until every replica runs the new version. Costs nothing while it waits."""

from dataclasses import replace

from locktender.api.conditions import Reason
from locktender.api.status import Step, StepState, timestamp
from locktender.core import gate, messages
from locktender.core.actions import EmitEvent
from locktender.core.steps.base import StepContext, StepResult, finished

NAME = "Rollout"


def advance(context: StepContext, record: Step) -> StepResult:
    """Done when every Deployment of the run's release has rolled out."""
    ours = [item for item in context.observation.deployments if gate.belongs(context.spec, item, context.release)]
    if context.observation.deployments and not ours:
        # A newer version is at the gate already: this one can never be seen to be rolled out.
        waiting = replace(
            record, state=StepState.WAITING, reason=Reason.ROLLOUT_STARTED, message=messages.rollout_overtaken()
        )
        return StepResult(waiting)
    behind = sorted(item.name for item in ours if item.held or not item.rolled_out)
    if behind:
        message = messages.rollout_waiting(behind, context.observation.namespace)
        waiting = replace(
            record,
            state=StepState.WAITING,
            start_time=record.start_time or timestamp(context.now),
            reason=Reason.ROLLOUT_STARTED,
            message=message,
        )
        return StepResult(waiting, (EmitEvent(Reason.ROLLOUT_STARTED, message, f"{context.run.id}/rollout"),))
    message = "Every replica runs the new version."
    return StepResult(finished(record, StepState.SUCCEEDED, context.now, Reason.ROLLOUT_COMPLETE, message))
