"""When the MigrationReport of an attempt is made: once the attempt and its agent have ended, for as long as the log may become readable.

attempt ends --> agent ends --> StoreReport ... --report in the status--> its Job may expire
                    `---- 60 s after the attempt's end: given up -------------------^
"""

from dataclasses import dataclass
from datetime import datetime

from locktender.api.spec import Spec
from locktender.api.status import Step, StepState, moment
from locktender.core.actions import StoreReport
from locktender.core.evidence import AGENT
from locktender.core.observation import JobState, Observation, PodState
from locktender.core.steps import migrate
from locktender.settings import REPORT_PATIENCE, REPORT_RETRY


@dataclass(frozen=True)
class Due:
    """What to do now, the Jobs whose logs are still needed, and in how many seconds to look again (None: nothing is awaited)."""

    actions: tuple[StoreReport, ...] = ()
    awaited: frozenset[str] = frozenset()
    requeue: float | None = None


def due(observation: Observation, now: datetime) -> Due:
    """The reports that are to be made, by the stored status: a verdict is written down before anybody reads a log."""
    run = observation.status.run
    steps = {step.job: step for step in (run.steps if run else ()) if step.name == migrate.NAME}
    active = run.id if run and run.active else ""
    actions: list[StoreReport] = []
    awaited: dict[str, float] = {}
    for job in observation.jobs.values():
        if job.step != migrate.NAME.lower() or job.ttl is not None or job.deleting or not _has_begun(job.pod):
            continue
        step = steps.get(job.name)
        if step is None:
            if job.ended and job.run_id != active:  # of a run before, which another has followed at once
                actions.append(_store(observation, job))
            continue
        left = _patience_left(step, now)
        if step.report == job.name or left <= 0:
            continue
        over = job.ended or _is_over(job.pod)
        awaited[job.name] = min(left, REPORT_RETRY) if over else left
        if over:
            actions.append(_store(observation, job))
    return Due(tuple(actions), frozenset(awaited), min(awaited.values(), default=None))


def _patience_left(step: Step, now: datetime) -> float:
    """Seconds; 0 while the attempt runs and when it has been over for long."""
    ended = step.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.UNKNOWN, StepState.WAITING)
    if not ended or not step.end_time:
        return 0.0
    return REPORT_PATIENCE - (now - moment(step.end_time)).total_seconds()


def _has_begun(pod: PodState | None) -> bool:
    """Without a migration that was started there is nothing to tell."""
    main = pod.container(migrate.CONTAINER) if pod else None
    return main is not None and main.started


def _is_over(pod: PodState | None) -> bool:
    agent = pod.container(AGENT) if pod else None
    if pod is None or pod.phase in ("Succeeded", "Failed"):
        return True
    return agent is not None and agent.exit_code is not None and not agent.running


def _store(observation: Observation, job: JobState) -> StoreReport:
    agent = job.pod.container(AGENT) if job.pod else None
    return StoreReport(
        name=job.name,
        pod=job.pod.name if job.pod else "",
        run_id=job.run_id,
        attempt=job.attempt,
        image=job.image,
        release=job.release,
        budget=observation.spec.locks.budget if isinstance(observation.spec, Spec) else None,
        restarted=agent is not None and agent.restarts > 0,
    )
