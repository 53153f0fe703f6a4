"""The Migrate step: the application's migration, once. An end that was not seen is never guessed."""

from dataclasses import replace

from locktender.api.conditions import Reason
from locktender.api.spec import Framework
from locktender.api.status import Step, StepState
from locktender.core import gate, messages
from locktender.core.actions import EmitEvent
from locktender.core.evidence import Finding, MainContainer
from locktender.core.steps.base import StepContext, StepResult, advance_job, finished, took

NAME = "Migrate"
CONTAINER = "migrate"


def advance(context: StepContext, record: Step) -> StepResult:
    """Start, follow and judge the migration Job."""
    observation, spec, run = context.observation, context.spec, context.run
    framework = spec.migration.framework
    started = EmitEvent(Reason.MIGRATION_STARTED, messages.migration_running(framework, run.image), f"{run.id}/migrate")
    main = MainContainer(CONTAINER, is_runner=framework is Framework.SQL, timeout=spec.migration.timeout)
    result, evidence = advance_job(context, record, main, started)
    if evidence is None:
        return result
    record = result.record
    where = (observation.name, observation.namespace)
    if evidence.finding is Finding.SUCCEEDED:
        message = messages.migration_succeeded(run.image, took(record, context.now))
        done = finished(record, StepState.SUCCEEDED, context.now, Reason.MIGRATION_SUCCEEDED, message)
        return StepResult(done, (EmitEvent(Reason.MIGRATION_SUCCEEDED, message, f"{run.id}/migrated"),))
    earlier = evidence.reason == Reason.PREVIOUS_ATTEMPT_UNKNOWN
    if evidence.finding is Finding.LOST or earlier:
        message = (messages.earlier_unknown if earlier else messages.needs_attention)(evidence.message, run.id, *where)
        reason = Reason.PREVIOUS_ATTEMPT_UNKNOWN if earlier else Reason.NEEDS_ATTENTION
        unknown = finished(record, StepState.UNKNOWN, context.now, reason, message)
        event = EmitEvent(Reason.NEEDS_ATTENTION, message, f"{run.id}/unknown", warning=True)
        return replace(result, record=unknown, actions=(*result.actions, event))
    runs = gate.runs_already(observation, spec, context.release)
    message = messages.migration_failed(evidence.message, record.job or "?", *where, runs=runs)
    failed = finished(record, StepState.FAILED, context.now, evidence.reason, message)
    event = EmitEvent(Reason.MIGRATION_FAILED, message, f"{run.id}/failed", warning=True)
    return replace(result, record=failed, actions=(*result.actions, event))
