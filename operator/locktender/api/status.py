"""The status of a DatabaseMigration as frozen dataclasses, with the way to and from the API's JSON.

`Status` holds what must outlive the objects it was derived from: the run under way, the verdicts, the history. Everything else is
computed anew in each pass. Times are RFC 3339 strings in UTC with whole seconds, as the API server stores them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MAX_HISTORY = 10  # runs kept for people to read (design, section 3)
MAX_VERDICTS = 50  # verdicts kept for reverts; matches maxItems in the CRD


class GateState(StrEnum):
    """Where a Deployment stands. Bypassed and Skipped run a version that no migration has verified."""

    OPEN = "Open"
    HELD = "Held"
    MISMATCH = "Mismatch"
    BYPASSED = "Bypassed"
    SKIPPED = "Skipped"


class StepState(StrEnum):
    """Where a step stands. Succeeded, Skipped, Failed and Unknown are ends."""

    PENDING = "Pending"
    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Outcome(StrEnum):
    """How a run ended, or why a version counts as verified."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    BASELINE = "Baseline"
    UNKNOWN = "Unknown"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True)
class LockFacts:
    """What attempt number `attempt` did to other sessions, as its agent measured it. Durations are for people: `1.2 s`."""

    attempt: int
    budget: str = ""
    worst_wait: str = ""
    blocked_seconds: str = ""
    waits: int = 0
    queue: int = 0
    worst: str = ""
    own_wait: str = ""
    blockers: tuple[str, ...] = ()
    cancelled: int = 0
    terminated: int = 0
    cause: str = ""
    deadlocks: int = 0


@dataclass(frozen=True)
class Step:
    """One step of a run. `attempt` counts Jobs; `confirmed` says that the Job's own end agreed with the pod's.

    `lock_failures` counts the attempts that ended because of locks. `locks` is what the newest of those whose agent's word was read did to
    others; `report` names the MigrationReport of the newest reported attempt. A running step with an `end_time` is one whose container
    has failed, and whose agent is still to be heard.
    """

    name: str
    state: StepState = StepState.PENDING
    job: str | None = None
    job_uid: str | None = None
    attempt: int = 1
    start_time: str | None = None
    end_time: str | None = None
    reason: str | None = None
    message: str | None = None
    confirmed: bool = False
    lock_failures: int = 0
    locks: LockFacts | None = None
    report: str | None = None

    @property
    def done(self) -> bool:
        """The next step may start."""
        return self.state in (StepState.SUCCEEDED, StepState.SKIPPED)


@dataclass(frozen=True)
class Run:
    """One release going through its steps. `outcome` None means that it is still under way."""

    id: str
    key: str
    attempt: int
    start_time: str
    spec_hash: str
    image: str = ""
    release: str = ""
    strategy: str = ""
    overridden: bool = False
    end_time: str | None = None
    outcome: Outcome | None = None
    steps: tuple[Step, ...] = ()

    @property
    def active(self) -> bool:
        """The run is under way, or waits for a person's word (outcome Unknown is not an end)."""
        return self.outcome is None

    def step(self, name: str) -> Step:
        """The record of a step; a pending one when it has none yet."""
        return next((step for step in self.steps if step.name == name), Step(name))

    def with_job(self, name: str, uid: str) -> "Run":
        """The run with the uid of a Job noted in the step that made it."""
        return replace(
            self, steps=tuple(replace(step, job_uid=uid) if step.job == name else step for step in self.steps)
        )

    def with_report(self, job: str, name: str) -> "Run":
        """The run with the name of a MigrationReport noted in the step whose Job it is about."""
        return replace(
            self, steps=tuple(replace(step, report=name) if step.job == job else step for step in self.steps)
        )

    def with_step(self, step: Step) -> "Run":
        """The run with one step's record replaced or appended."""
        if any(known.name == step.name for known in self.steps):
            return replace(self, steps=tuple(step if known.name == step.name else known for known in self.steps))
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True)
class Verdict:
    """What is known of one release key. Only Succeeded and Baseline open a gate."""

    key: str
    outcome: Outcome
    time: str
    run: str = ""
    image: str = ""
    release: str = ""

    @property
    def opens(self) -> bool:
        """Deployments of this release may roll out."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.BASELINE)


@dataclass(frozen=True)
class HistoryEntry:
    """One finished run, for people."""

    id: str
    key: str
    outcome: Outcome
    start_time: str
    end_time: str
    image: str = ""
    release: str = ""
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class GatedDeploymentStatus:
    """One Deployment at the gate. `opened_by` and `word` tell of the newest word that opened it."""

    name: str
    state: GateState
    images: tuple[str, ...] = ()
    key: str | None = None
    held_since: str | None = None
    opened_by: str | None = None
    word: str | None = None


@dataclass(frozen=True)
class Condition:
    """A Kubernetes condition (KEP-1623)."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int


@dataclass(frozen=True)
class Status:
    """The whole status."""

    observed_generation: int = -1
    key: str | None = None
    image: str | None = None
    last_handled_retry: str | None = None
    run: Run | None = None
    deployments: tuple[GatedDeploymentStatus, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    conditions: tuple[Condition, ...] = field(default=())

    def deployment(self, name: str) -> GatedDeploymentStatus | None:
        """How a Deployment stood at the gate when this was stored."""
        return next((item for item in self.deployments if item.name == name), None)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if there is one."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def verdict(self, key: str) -> Verdict | None:
        """The verdict for a release key, if one is stored."""
        return next((verdict for verdict in self.verdicts if verdict.key == key), None)

    def with_verdict(self, verdict: Verdict) -> "Status":
        """The status with a verdict replaced or put first. Beyond MAX_VERDICTS the oldest failures fall off, then the oldest others.

        A failure only keeps a run from being repeated; losing the verdict of a version that runs would have it migrated again.
        """
        kept = [verdict, *(known for known in self.verdicts if known.key != verdict.key)]
        while len(kept) > MAX_VERDICTS:
            failures = [position for position, known in enumerate(kept) if position and not known.opens]
            del kept[failures[-1] if failures else -1]
        return replace(self, verdicts=tuple(kept))

    def with_history(self, entry: HistoryEntry) -> "Status":
        """The status with a finished run put first."""
        others = tuple(known for known in self.history if known.id != entry.id)
        return replace(self, history=(entry, *others)[:MAX_HISTORY])


def timestamp(moment: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The reverse of `timestamp`; also accepts fractions and offsets. Raises ValueError."""
    return datetime.fromisoformat(text)


_NAMES = {"job_uid": "jobUID"}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return _NAMES.get(name, head + "".join(part.title() for part in rest))


def _dump(value: object) -> dict[str, Any]:
    """A dataclass as API JSON: camelCase, without empty values."""
    result: dict[str, Any] = {}
    for item in fields(value):  # type: ignore[arg-type]  # every caller passes one of the dataclasses above
        content = getattr(value, item.name)
        if content in (None, "", ()) or content is False or (item.name == "lock_failures" and not content):
            continue
        if isinstance(content, LockFacts):
            content = _dump(content)
        elif isinstance(content, tuple):
            content = [entry if isinstance(entry, str) else _dump(entry) for entry in content]
        elif isinstance(content, StrEnum):
            content = str(content)
        result[_camel(item.name)] = content
    return result


def to_json(status: Status) -> dict[str, Any]:
    """The status as the API stores it."""
    result = _dump(replace(status, run=None, deployments=()))
    if status.run:
        result["run"] = _dump(status.run)
        if status.run.steps:
            result["run"]["step"] = status.run.steps[-1].name
    if status.deployments:
        result["gate"] = {"deployments": [_dump(item) for item in status.deployments]}
    return result


def _load(kind: type[Any], raw: Mapping[str, Any], **converted: Any) -> Any:
    values = {item.name: raw[_camel(item.name)] for item in fields(kind) if _camel(item.name) in raw}
    return kind(**(values | converted))


def from_json(raw: Mapping[str, Any]) -> Status:
    """Parse a stored status. Raises TypeError or ValueError on one that we did not write."""
    run = raw.get("run")
    return Status(
        observed_generation=raw.get("observedGeneration", -1),
        key=raw.get("key"),
        image=raw.get("image"),
        last_handled_retry=raw.get("lastHandledRetry"),
        run=_run(run) if run else None,
        deployments=tuple(
            _load(
                GatedDeploymentStatus,
                item,
                state=_gate_state(item["state"]),
                images=tuple(item.get("images", ())),
            )
            for item in raw.get("gate", {}).get("deployments", ())
        ),
        verdicts=tuple(_load(Verdict, item, outcome=Outcome(item["outcome"])) for item in raw.get("verdicts", ())),
        history=tuple(_load(HistoryEntry, item, outcome=Outcome(item["outcome"])) for item in raw.get("history", ())),
        conditions=tuple(
            _load(Condition, {"observedGeneration": -1, "message": "", **item}) for item in raw.get("conditions", ())
        ),
    )


def _gate_state(raw: str) -> GateState:
    """`Released` was a state of its own once."""
    return GateState.OPEN if raw == "Released" else GateState(raw)


def _run(raw: Mapping[str, Any]) -> Run:
    steps = tuple(_step(item) for item in raw.get("steps", ()))
    outcome = Outcome(raw["outcome"]) if raw.get("outcome") else None
    run: Run = _load(Run, {"specHash": "", **raw}, steps=steps, outcome=outcome)
    return run


def _step(raw: Mapping[str, Any]) -> Step:
    known = raw.get("locks")
    locks = _load(LockFacts, known, blockers=tuple(known.get("blockers", ()))) if known else None
    step: Step = _load(Step, raw, state=StepState(raw["state"]), locks=locks)
    return step
