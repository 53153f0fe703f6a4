"""The Backup step: a proved backup before anything is changed. A lost attempt may be repeated, a failed one may not be skipped."""

from dataclasses import replace

from locktender.api.conditions import Reason
from locktender.api.spec import BackupPolicy
from locktender.api.status import Step, StepState
from locktender.core import gate, messages
from locktender.core.actions import EmitEvent, EnsureBackup
from locktender.core.evidence import Finding, MainContainer
from locktender.core.steps.base import StepContext, StepResult, advance_job, finished, took, wait_again
from locktender.settings import BACKUP_TIMEOUT

NAME = "Backup"
CONTAINER = "backup"


def advance(context: StepContext, record: Step) -> StepResult:
    """Start, follow and judge the backup Job."""
    observation, spec, run = context.observation, context.spec, context.run
    if spec.backup.policy is BackupPolicy.SKIP:
        message = messages.backup_skipped(spec.backup.reason)
        event = EmitEvent(Reason.BACKUP_SKIPPED, message, f"{run.id}/skipped", warning=True)
        return StepResult(finished(record, StepState.SKIPPED, context.now, Reason.BACKUP_SKIPPED, message), (event,))
    started = EmitEvent(Reason.BACKUP_STARTED, messages.backup_running(spec.backup.claim_name), f"{run.id}/backup")
    result, evidence = advance_job(
        context, record, MainContainer(CONTAINER, is_runner=True, timeout=BACKUP_TIMEOUT), started
    )
    if evidence is None:
        return result
    record = result.record
    if evidence.finding is Finding.LOST:
        return wait_again(context, record, evidence.reason, evidence.message)
    report = evidence.report
    facts = report.backup if report else {}
    if evidence.finding is Finding.SUCCEEDED and report and facts:
        message = messages.backup_ready(
            record.job or "?", int(facts["sizeBytes"]), str(facts["sha256"]), took(record, context.now)
        )
        done = finished(record, StepState.SUCCEEDED, context.now, Reason.BACKUP_READY, message)
        recorded = EnsureBackup(record.job or "", run.id, tuple(sorted(facts.items())), spec, report.free)
        return StepResult(done, (recorded, EmitEvent(Reason.BACKUP_READY, message, f"{run.id}/backup-ready")))
    if evidence.finding is Finding.SUCCEEDED:
        # The pod said "done" without its report (it was removed before we looked): a backup that is not described is none.
        return wait_again(context, record, Reason.NOT_RECORDED, messages.end_not_recorded(record.job or "?", ""))
    runs = gate.runs_already(observation, spec, context.release)
    where = (observation.name, observation.namespace)
    message = messages.backup_failed(evidence.message, record.job or "?", *where, runs=runs)
    failed = finished(record, StepState.FAILED, context.now, evidence.reason, message)
    return replace(
        result,
        record=failed,
        actions=(*result.actions, EmitEvent(Reason.BACKUP_FAILED, message, f"{run.id}/backup-failed", warning=True)),
    )
