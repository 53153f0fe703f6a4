"""What the next pass would see if nobody else had done anything: the world of this pass with what the pass itself has changed.

    observe --> decide --> act --> status stored --onward--> decide --> act --> status stored ...

A pass that asks to be called again at once may go on from here without reading everything anew: the status is stored all the same before
the step after it acts. What others did meanwhile shows when a guarded write fails (the Lease's version, the Deployment's generation,
the Job's name), and at the latest in the pass that their event brings about.
"""

from collections.abc import Sequence
from dataclasses import replace

from locktender.api import status as statuses
from locktender.api.status import Status
from locktender.core.actions import (
    Action,
    ClaimDatabase,
    EmitEvent,
    EnsureBackup,
    ExpireJob,
    ReleaseDeployment,
    SetFinalizer,
    StoreReport,
)
from locktender.core.observation import Claim, GatedDeployment, Observation, OpenedBy, Word
from locktender.settings import FINALIZER


def onward(observation: Observation, status: Status, actions: Sequence[Action]) -> Observation | None:
    """The observation after `actions` were carried out and `status` was stored; None when it has to be read anew."""
    claim = observation.claim
    if claim is Claim.OURS and _run(status) != _run(observation.status):
        claim = Claim.FREE  # it was for the run before
    deployments, jobs = observation.deployments, dict(observation.jobs)
    finalizers = observation.finalizers
    for action in actions:
        match action:
            case EmitEvent() | EnsureBackup() | StoreReport():
                pass
            case ClaimDatabase():
                claim = Claim.OURS
            case SetFinalizer(present):
                kept = tuple(name for name in finalizers if name != FINALIZER)
                finalizers = (*kept, FINALIZER) if present else kept
            case ExpireJob(name, seconds) if name in jobs:
                jobs[name] = replace(jobs[name], ttl=seconds)
            case ReleaseDeployment(name, run_id=run_id):
                deployments = tuple(_opened(item, run_id) if item.name == name else item for item in deployments)
            case _:  # a Job made or deleted: its pod is the kubelet's to tell about
                return None
    stored = statuses.from_json(statuses.to_json(status))
    return replace(
        observation,
        status=stored,
        claim=claim,
        deployments=deployments,
        departed=(),
        jobs=jobs,
        finalizers=finalizers,
    )


def _run(status: Status) -> str:
    return status.run.id if status.run else ""


def _opened(deployment: GatedDeployment, run_id: str) -> GatedDeployment:
    """Let go by the word of a run, and about to roll out."""
    word = Word(OpenedBy.RELEASE, run_id, deployment.generation)
    return replace(
        deployment,
        held=False,
        held_since=None,
        rolled_out=False,
        generation=deployment.generation + 1,
        released=str(word),
        word=word,
    )
