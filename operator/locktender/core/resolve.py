"""A person's word on a run whose end cannot be known, and the start of the next attempt. Pure; called by `decide`.

`locktender.dev/resolve: <run id>=ran` stores the verdict Succeeded; `=not-ran` allows one more attempt past the ledger's refusal.
Both are also accepted for a failed run: the person has looked at the database, we have not.
"""

from dataclasses import replace
from datetime import datetime

from locktender.api.conditions import Reason
from locktender.api.spec import Spec
from locktender.api.status import HistoryEntry, Outcome, Run, Status, StepState, Verdict, timestamp
from locktender.core import key
from locktender.core.observation import Observation
from locktender.core.steps import migrate

RAN, NOT_RAN = "ran", "not-ran"


def apply(observation: Observation, spec: Spec, status: Status, now: datetime) -> tuple[Status, Run | None]:
    """The status after a person's word, and the run that it asks for."""
    run = status.run
    run_id, _, word = observation.resolve.partition("=")
    if run is None or run_id != run.id or not _open_question(run):
        return status, None
    if word == RAN:
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
        ended = replace(run, outcome=Outcome.UNKNOWN, end_time=timestamp(now))
        entry = HistoryEntry(
            run.id,
            run.key,
            Outcome.UNKNOWN,
            run.start_time,
            timestamp(now),
            run.image,
            run.release,
            Reason.NEEDS_ATTENTION,
        )
        status = replace(status, run=ended).with_history(entry)
        release = key.Release(run.key, run.image, run.release)
        return status, replace(next_run(spec, status, release, now), overridden=True)
    return status, None


def _open_question(run: Run) -> bool:
    state = run.step(migrate.NAME).state
    return (run.outcome is Outcome.FAILED and state is StepState.FAILED) or (run.active and state is StepState.UNKNOWN)


def next_run(spec: Spec, status: Status, release: key.Release, now: datetime) -> Run:
    """The next attempt at a release: its number is one above the highest that is still known."""
    known = [entry.id for entry in status.history if entry.key == release.key]
    if status.run and status.run.key == release.key:
        known.append(status.run.id)
    attempts = [int(number) for _, _, number in (run_id.rpartition("-") for run_id in known) if number.isdigit()]
    attempt = max(attempts, default=0) + 1
    return Run(
        id=key.run_id(release.key, attempt),
        key=release.key,
        attempt=attempt,
        start_time=timestamp(now),
        spec_hash=key.spec_hash(spec),
        image=release.image,
        release=release.release,
    )
