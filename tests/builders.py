"""Builders that make tests read like sentences: `a_migration().with_held("web", "shop:v2")`.

A `World` is a tiny model of the cluster, as `observe` would show it: `step()` runs `decide` once and carries its actions out on the model,
exactly as often as a test asks. It has no clock of its own and forgets nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from locktender.api import status as statuses
from locktender.api.spec import SpecError, parse
from locktender.api.status import Status
from locktender.core import actions as act
from locktender.core.decide import Decision, decide
from locktender.core.observation import (
    Claim,
    ContainerImage,
    ContainerState,
    GatedDeployment,
    JobState,
    Observation,
    OpenedBy,
    PodState,
    Word,
)
from locktender.settings import FINALIZER

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

BACKUP_FACTS = {
    "id": "b1",
    "directory": "7/16384-shop/2026",
    "file": "data.dump",
    "manifest": "manifest.json",
    "sizeBytes": 1258291,
    "rawBytes": 5000000,
    "sha256": "ab" * 32,
    "rawSha256": "cd" * 32,
    "database": "shop",
    "serverVersion": "18.6",
    "clientVersion": "18.6",
    "startedAt": "2026-03-01T12:00:00Z",
    "finishedAt": "2026-03-01T12:00:02Z",
    "verification": "Decoded",
    "tables": 3,
}


def a_spec(**changes: Any) -> dict[str, Any]:
    """A minimal valid spec, as JSON."""
    spec: dict[str, Any] = {
        "database": {"urlSecretRef": {"name": "shop-db", "key": "url"}},
        "migration": {"framework": "Sql"},
        "backup": {"policy": "Required", "storage": {"pvc": {"claimName": "shop-backups"}}},
    }
    for name, value in changes.items():
        spec[name] = {**spec[name], **value} if isinstance(value, dict) and isinstance(spec.get(name), dict) else value
    return spec


def a_deployment(
    name: str = "web", image: str = "shop:v1", *, held: bool = False, key: str = "", **changes: Any
) -> GatedDeployment:
    """A Deployment at the gate."""
    containers = changes.pop("containers", (ContainerImage("app", image),))
    made = GatedDeployment(
        name, f"uid-{name}", containers, release=key, held=held, held_since=NOON if held else None, rolled_out=not held
    )
    return replace(made, **changes)


def report(outcome: str, reason: str, message: str = "It was so.", kind: str = "sql", **more: Any) -> str:
    """A termination message of the runner."""
    return json.dumps({"kind": kind, "outcome": outcome, "reason": reason, "message": message, **more})


def ended(name: str, code: int, message: str = "", reason: str = "") -> ContainerState:
    """A container that has ended."""
    return ContainerState(
        name, exit_code=code, exit_message=message, exit_reason=reason or ("Completed" if code == 0 else "Error")
    )


def a_pod(*containers: ContainerState, phase: str = "Running", **changes: Any) -> PodState:
    """A Job's pod."""
    return replace(PodState("pod", phase, containers=containers), **changes)


@dataclass
class World:
    """One DatabaseMigration with what belongs to it."""

    raw_spec: dict[str, Any] = field(default_factory=a_spec)
    generation: int = 1
    status: Status = field(default_factory=Status)
    deployments: dict[str, GatedDeployment] = field(default_factory=dict)
    departed: list[GatedDeployment] = field(default_factory=list)
    jobs: dict[str, JobState] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    retry: str = ""
    resolve: str = ""
    deleting: bool = False
    now: datetime = NOON
    created: list[str] = field(default_factory=list)
    steps_of: dict[str, str] = field(default_factory=dict)
    claim: Claim = Claim.FREE
    claimed_for: str = ""
    released: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)
    reports: list[act.StoreReport] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    logs_can_be_read: bool = True
    facts: set[tuple[str, str, str]] = field(default_factory=set)
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def observation(self) -> Observation:
        """What `observe` would return."""
        try:
            spec: Any = parse(self.raw_spec)
        except SpecError as problem:
            spec = str(problem)
        stored = statuses.from_json(json.loads(json.dumps(statuses.to_json(self.status))))
        return Observation(
            "shop", "shop-db", "uid-dbm", self.generation, spec, stored, self.retry, self.resolve,
            self.deleting, self.finalizers, tuple(self.deployments.values()), dict(self.jobs), self._claimed(), "other-db",
            created=NOON, departed=tuple(item for item in self.departed if stored.deployment(item.name)),
        )  # fmt: skip

    def _claimed(self) -> Claim:
        """A claim is for one run."""
        run = self.status.run
        ours = run is not None and run.id == self.claimed_for
        return self.claim if self.claim is Claim.BUSY else Claim.OURS if ours else Claim.FREE

    def decide(self) -> Decision:
        """Ask, and change nothing."""
        return decide(self.observation(), self.now)

    def step(self, seconds: float = 0.0) -> Decision:
        """One pass, `seconds` later."""
        self.now += timedelta(seconds=seconds)
        decision = self.decide()
        for action in decision.actions:
            self.perform(action)
        self.status = decision.status
        if self.status.run is not None:
            for name in self.reported:
                self.status = replace(self.status, run=self.status.run.with_report(name, name))
        for action in decision.actions:
            if isinstance(action, act.EnsureJob) and self.status.run is not None:
                self.status = replace(self.status, run=self.status.run.with_job(action.name, f"uid-{action.name}"))
        return decision

    def settle(self, limit: int = 20) -> Decision:
        """Pass after pass for as long as `decide` asks to be called again at once."""
        for _ in range(limit):
            decision = self.step()
            if decision.requeue != 0.0:
                return decision
        raise AssertionError(f"no rest after {limit} passes: {decision}")

    def perform(self, action: act.Action) -> None:
        """The model's `act`."""
        match action:
            case act.EnsureJob():
                if action.name not in self.jobs:
                    self.created.append(action.step)
                    self.steps_of[action.name] = action.step
                    self.jobs[action.name] = JobState(
                        action.name,
                        f"uid-{action.name}",
                        "uid-dbm",
                        self.now,
                        run_id=action.run_id,
                        step=action.step.lower(),
                        attempt=action.attempt,
                        image=action.image,
                        release=action.release,
                        pod=PodState("pod"),
                    )
            case act.ClaimDatabase(run_id):
                self.claimed_for = run_id
            case act.ExpireJob(name, seconds):
                if name in self.jobs:
                    self.jobs[name] = replace(self.jobs[name], ttl=seconds)
            case act.DeleteJob(name, _):
                self.jobs.pop(name, None)
            case act.EnsureBackup(name):
                self.backups.append(name)
            case act.ReleaseDeployment(name):
                self.released.append((name, self.deployments[name].images))
                word = Word(OpenedBy.RELEASE, action.run_id, self.deployments[name].generation)
                self._opened(name, word, self.deployments[name])
            case act.StoreReport(name):
                self.reports.append(action)
                if self.logs_can_be_read and self.status.run is not None:
                    self.reported.add(name)
            case act.SetFinalizer(present):
                self.finalizers = (FINALIZER,) if present else ()
            case act.EmitEvent():
                identity = (action.deployment, str(action.reason), action.fact)
                if identity not in self.facts:
                    self.facts.add(identity)
                    self.events.append((action.deployment or "dbm", str(action.reason), action.message))

    # What the rest of the cluster does

    def holds(self, name: str, image: str, *, key: str = "") -> World:
        """Somebody applies a Deployment and the gate holds it."""
        self.deployments[name] = replace(a_deployment(name, image, held=True, key=key), **self._kept(name))
        return self

    def runs(self, name: str, image: str, *, key: str = "") -> World:
        """A Deployment runs, and is not held."""
        self.deployments[name] = replace(a_deployment(name, image, key=key), **self._kept(name))
        return self

    def bypasses(self, name: str, image: str, reason: str = "INC-42", *, key: str = "") -> World:
        """Somebody with the verb lets a Deployment through, held or not until now."""
        generation = self.deployments[name].generation if name in self.deployments else 1
        self._opened(name, Word(OpenedBy.BYPASS, reason, generation), a_deployment(name, image, key=key))
        return self

    def asks_in_vain(self, name: str, image: str, reason: str = "INC-42") -> World:
        """Somebody without the verb tries to; the write is held, the word stays."""
        self.holds(name, image)
        word = Word(OpenedBy.BYPASS, reason, self.deployments[name].generation - 1)
        self.deployments[name] = replace(self.deployments[name], word=word)
        return self

    def leaves(self, name: str, reason: str = "") -> World:
        """The label goes; with a reason, by a bypass."""
        left = self.deployments.pop(name)
        if reason:
            left = replace(left, held=False, word=Word(OpenedBy.BYPASS, reason, left.generation))
        self.departed.append(replace(left, generation=left.generation + 1))
        return self

    def _kept(self, name: str) -> dict[str, Any]:
        """What a write of the spec leaves and raises."""
        there = self.deployments.get(name)
        return {"generation": there.generation + 1, "word": there.word} if there else {"generation": 1}

    def _opened(self, name: str, word: Word, shape: GatedDeployment) -> None:
        opened = replace(shape, held=False, held_since=None, generation=word.generation + 1, word=word)
        released = str(word) if word.by is OpenedBy.RELEASE else shape.released
        self.deployments[name] = replace(opened, released=released)

    def job(self, step: str) -> JobState:
        """The newest Job of a step."""
        return [job for name, job in self.jobs.items() if self.steps_of[name] == step][-1]

    def pod_of(self, step: str, pod: PodState | None, **job: Any) -> World:
        """The kubelet reports on the pod of a step's newest Job."""
        current = self.job(step)
        self.jobs[current.name] = replace(current, pod=pod, **job)
        return self

    def backup_ends_well(self) -> World:
        """The backup's container ends with exit code 0 and its report."""
        words = report("Succeeded", "Succeeded", kind="backup", backup=BACKUP_FACTS)
        return self.pod_of("Backup", a_pod(ended("backup", 0, words)), complete=True)

    def migration_ends(self, code: int, words: str = "") -> World:
        """The migration's container ends; where it failed, the agent has ended after it and has seen nothing of note."""
        return self.container_fails(code, words).agent_ends() if code else self.container_fails(code, words)

    def container_fails(self, code: int, words: str = "") -> World:
        """The migration's container ends, and the agent has not yet."""
        agent = ContainerState("agent", running=True)
        return self.pod_of("Migrate", a_pod(agent, ended("migrate", code, words)))

    def agent_ends(self, words: str = "", **locks: Any) -> World:
        """The agent ends; `locks` is what it measured, `words` stands for its whole termination message."""
        message = words or report("Succeeded", "Succeeded", kind="agent", **({"locks": locks} if locks else {}))
        pod = self.job("Migrate").pod
        assert pod is not None
        others = (state for state in pod.containers if state.name != "agent")
        return self.pod_of("Migrate", replace(pod, containers=(ended("agent", 0, message), *others)))

    def condition(self, kind: str) -> tuple[str, str] | None:
        """A condition's status and reason."""
        found = self.status.condition(kind)
        return (found.status, found.reason) if found else None


def a_migration(**changes: Any) -> World:
    """A DatabaseMigration that nobody has looked at yet."""
    return World(raw_spec=a_spec(**changes))


def assert_kstatus(status: Status, generation: int) -> None:
    """The invariants of kstatus that every stored status keeps."""
    kinds = [condition.type for condition in status.conditions]
    assert len(kinds) == len(set(kinds)), kinds
    ready = status.condition("Ready")
    assert ready is not None
    assert status.observed_generation == generation
    assert not ("Stalled" in kinds and "Reconciling" in kinds), kinds
    if ready.status == "True":
        assert "Stalled" not in kinds
        assert "Reconciling" not in kinds
    for condition in status.conditions:
        assert condition.message, condition
        assert condition.reason.isalnum(), condition
