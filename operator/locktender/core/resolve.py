"""A person's word on a run whose end cannot be known, and the start of the next attempt. Pure; called by `decide`.

`locktender.dev/resolve: <run id>=ran` stores the verdict Succeeded; `=not-ran` allows one more attempt past the ledger's refusal.
Both are also accepted for a failed run: the person has looked at the database, we have not. When the agent found an *earlier* attempt without
an end, this run has certainly not run, so only `=not-ran` is taken: the earlier one is settled, go on.
"""

from dataclasses import replace
from datetime import datetime

from locktender.api.conditions import Reason
from locktender.api.spec import Spec
from locktender.api.status import Outcome, Run, Status, StepState, Verdict, timestamp
from locktender.core import key, runs
from locktender.core.observation import Observation
from locktender.core.steps import migrate

RAN, NOT_RAN = "ran", "not-ran"


def apply(observation: Observation, spec: Spec, status: Status, now: datetime) -> tuple[Status, Run | None]:
    """The status after a person's word, and the run that it asks for."""
    run = status.run
    run_id, _, word = observation.resolve.partition("=")
    if run is None or run_id != run.id or not _open_question(run):
        return status, None
    if word == RAN and run.step(migrate.NAME).reason != Reason.PREVIOUS_ATTEMPT_UNKNOWN:
        step = replace(
            run.step(migrate.NAME),
            state=StepState.SUCCEEDED,
            reason=Reason.SUCCEEDED,
            message="Declared as run by a person.",
        )
        verdict = Verdict(run.key, Outcome.SUCCEEDED, timestamp(now), run.id, run.image, run.release)
        answered = replace(run.with_step(step), outcome=None, end_time=None)
        return replace(status, run=answered).with_verdict(verdict), None
    if word == NOT_RAN:
        status = runs.end(status, Outcome.UNKNOWN, Reason.NEEDS_ATTENTION, "A person said that it did not run.", now)
        release = key.Release(run.key, run.image, run.release)
        return status, replace(runs.following(spec, status, release, now), overridden=True)
    return status, None


def _open_question(run: Run) -> bool:
    state = run.step(migrate.NAME).state
    return (run.outcome is Outcome.FAILED and state is StepState.FAILED) or (run.active and state is StepState.UNKNOWN)
