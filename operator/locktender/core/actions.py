"""What a decision may ask for. Each action is idempotent: doing it twice is the same as once. `kube/act.py` carries them out."""

from dataclasses import dataclass

from locktender.api.spec import Spec


@dataclass(frozen=True)
class EnsureJob:
    """Create the Job of one attempt of one step, unless it is there already."""

    name: str
    step: str
    run_id: str
    attempt: int
    image: str
    release: str
    spec: Spec
    overridden: bool = False
    settled: tuple[str, ...] = ()
    """Ids of runs whose end is known here: a row of theirs that the ledger still calls running is no question."""


@dataclass(frozen=True)
class ClaimDatabase:
    """Claim the database for a run, if the Lease still is the one that was seen (`version`, empty: there was none)."""

    run_id: str
    version: str


@dataclass(frozen=True)
class ExpireJob:
    """Let a Job whose result is stored be removed after `seconds`."""

    name: str
    seconds: int


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job that can never start its main container. Guarded by its uid."""

    name: str
    uid: str


@dataclass(frozen=True)
class EnsureBackup:
    """Create the DatabaseBackup that records a proved backup. `facts` is the runner's own report, already checked for shape.

    `free` is what is left of the volume, in bytes, where the runner said so.
    """

    name: str
    run_id: str
    facts: tuple[tuple[str, str | int], ...]
    spec: Spec
    free: int | None = None


@dataclass(frozen=True)
class StoreReport:
    """Make the MigrationReport of an attempt that has ended, out of its agent's log. Best effort; nothing waits for it.

    `restarted` says that the agent's container was started more than once, so that there is an earlier log too. `budget` is in seconds.
    """

    name: str
    pod: str
    run_id: str
    attempt: int
    image: str
    release: str
    budget: float | None = None
    restarted: bool = False


@dataclass(frozen=True)
class ReleaseDeployment:
    """Open the gate for one Deployment, guarded by tests on its images and on the generation that was judged."""

    name: str
    init_images: tuple[str, ...]
    images: tuple[str, ...]
    generation: int
    run_id: str


@dataclass(frozen=True)
class SetFinalizer:
    """Add or remove our finalizer on the DatabaseMigration."""

    present: bool


@dataclass(frozen=True)
class EmitEvent:
    """Post one Event, once: `fact` identifies it, so a repeated pass posts nothing new.

    `deployment` and `deployment_uid` name the Deployment it is about; empty means the DatabaseMigration itself.
    """

    reason: str
    message: str
    fact: str
    warning: bool = False
    deployment: str = ""
    deployment_uid: str = ""


Action = (
    EnsureJob
    | ClaimDatabase
    | ExpireJob
    | DeleteJob
    | EnsureBackup
    | StoreReport
    | ReleaseDeployment
    | SetFinalizer
    | EmitEvent
)
