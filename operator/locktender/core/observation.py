"""What one pass knows of the world: everything `decide` may look at, and nothing else.

`kube/observe.py` fills it from live reads. All times are aware datetimes in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from locktender.api.spec import Spec
from locktender.api.status import Status


@dataclass(frozen=True)
class ContainerImage:
    """A container of a pod template."""

    name: str
    image: str


class OpenedBy(StrEnum):
    """The two words that open a gate: annotations `locktender.dev/released` and `locktender.dev/bypass`."""

    RELEASE = "Release"
    BYPASS = "Bypass"


@dataclass(frozen=True)
class Word:
    """What somebody wrote to open a gate: a run or a reason, made fit to show, and the generation of the object it was meant for."""

    by: OpenedBy
    said: str
    generation: int

    def __str__(self) -> str:
        return f"{self.said}@{self.generation}"


@dataclass(frozen=True)
class GatedDeployment:
    """A Deployment that carries our gate label.

    `images` is the ordered list of the key K (init containers first); `rolled_out` is true when every replica runs the newest
    template (the rule of `kubectl rollout status`). `generation` counts the writes to its spec: one more, and it is another release.
    `word` is the newest word that may have opened its gate. `gated_since` is its creation when it carried the label from the first; None
    when it was labelled later, or when that cannot be told.
    """

    name: str
    uid: str
    containers: tuple[ContainerImage, ...]
    init_containers: tuple[ContainerImage, ...] = ()
    release: str = ""
    held: bool = False
    held_since: datetime | None = None
    rolled_out: bool = True
    generation: int = 0
    released: str = ""
    """The word that opened the gate last: a hold after it is another hold, even of the same images in the same second."""
    word: Word | None = None
    gated_since: datetime | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """All images in the order of the key K."""
        return tuple(container.image for container in (*self.init_containers, *self.containers))


@dataclass(frozen=True)
class ContainerState:
    """A container's state as the kubelet reports it; `exit_code` None while it has not ended."""

    name: str
    running: bool = False
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    restarts: int = 0

    @property
    def started(self) -> bool:
        """The container's process has been started at least once."""
        never_ran = self.exit_reason in ("StartError", "ContainerCannotRun", "ContainerStatusUnknown")
        return self.running or (self.exit_code is not None and not never_ran)


@dataclass(frozen=True)
class PodState:
    """The one pod of a Job."""

    name: str
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    unschedulable: str = ""
    interrupted: bool = False
    """It was evicted, preempted or deleted: what its containers did at the end they may have done for that reason."""
    containers: tuple[ContainerState, ...] = ()

    def container(self, name: str) -> ContainerState | None:
        """The state of a container, None while the kubelet has not reported it."""
        return next((state for state in self.containers if state.name == name), None)


@dataclass(frozen=True)
class JobState:
    """A Job of ours, found by label. `owner_uid` is the uid of the DatabaseMigration that it was made for."""

    name: str
    uid: str
    owner_uid: str
    created: datetime
    complete: bool = False
    failed: bool = False
    failure: str = ""
    ttl: int | None = None
    deleting: bool = False
    run_id: str = ""
    step: str = ""
    """In lower case, as its label has it."""
    attempt: int = 1
    image: str = ""
    release: str = ""
    pod: PodState | None = None
    counted: bool = False
    """The Job controller has counted the end of a pod: it does so before it lets the pod go, and before it says that the Job has ended."""

    @property
    def ended(self) -> bool:
        """The Job controller has said so."""
        return self.complete or self.failed


class Claim(StrEnum):
    """Who may work on the database: a Lease names the last run that claimed it; a claim lasts for as long as that run is under way."""

    OURS = "Ours"
    FREE = "Free"
    BUSY = "Busy"


@dataclass(frozen=True)
class Observation:
    """One DatabaseMigration and all that belongs to it, read live in one pass."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec | str
    """The parsed spec, or the sentence that says what is wrong with it."""
    status: Status
    retry_token: str = ""
    resolve: str = ""
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    deployments: tuple[GatedDeployment, ...] = ()
    jobs: Mapping[str, JobState] = field(default_factory=dict)
    claim: Claim = Claim.FREE
    claimed_by: str = ""
    claim_version: str = ""
    """The name of the other DatabaseMigration whose run has claimed the database (Claim.BUSY), and the Lease's version (empty: none)."""
    created: datetime | None = None
    departed: tuple[GatedDeployment, ...] = ()
    """Deployments that were here when the status was stored, and carry the label of no gate now."""
    source_gate: str = ""
    """The other gate whose label the Deployment of spec.migration.from carries, when it is none of `deployments`."""
