"""The milestones of one release as a watch at the API shows them, each with the one who brought it about."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.bench.gate import manifests
from tools.kube import facts
from tools.kube.recorder import Seen

MAIN = {"backup": "backup", "migrate": "migrate"}  # the container whose end is the end of a step


@dataclass(frozen=True)
class Moment:
    """Something happened, `at` seconds on the clock of the record, or after the patch was sent."""

    at: float
    by: str
    what: str
    aside: bool = False
    """It tells what the operator was doing, and brought nothing about by itself."""


@dataclass(frozen=True)
class Sightings:
    """What was seen of one release of one Deployment and of the run of its DatabaseMigration."""

    seen: list[Seen]
    deployment: str
    migration: str
    release: str

    def moments(self) -> list[Moment]:
        """The first sight of each milestone."""
        first: dict[str, Moment] = {}
        for event in self.seen:
            for by, what in self._told(event.kind, event.object):
                first.setdefault(what, Moment(event.at, by, what))
        return list(first.values())

    def _told(self, kind: str, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
        match kind:
            case "deployments" if body["metadata"]["name"] == self.deployment and self._is_new(
                body["spec"]["template"]
            ):
                held = facts.is_held(body)
                yield ("API server", "held: stored, paused") if held else ("operator", "gate open: the hold is removed")
            case "replicasets" if self._is_new(body["spec"]["template"]):
                yield "Deployment controller", "ReplicaSet created"
            case "jobs" if step := facts.step(body):
                yield "operator", f"{step}: Job created"
            case "pods" if step := facts.step(body):
                yield from _pod(body, step, "Job controller")
                if facts.ended(body, MAIN[step]):
                    yield "kubelet", f"{step}: end seen at the API"
            case "pods" if self._is_new(body) and body["metadata"].get("labels", {}).get("app") == self.deployment:
                yield from _pod(body, "new version", "ReplicaSet controller")
                if "running" in facts.container(body, "app").get("state", {}):
                    yield "kubelet", "new version: running, seen at the API"
            case "databasemigrations" if body["metadata"]["name"] == self.migration:
                yield from self._run(body.get("status", {}).get("run", {}))
            case _:
                pass

    def _run(self, run: dict[str, Any]) -> Iterator[tuple[str, str]]:
        if run.get("release") != self.release:
            return
        yield "operator", "run stored"
        for step in run.get("steps", ()):
            if step["state"] == "Succeeded" and step["name"] != "Release":
                yield "operator", "verdict stored" if step["name"] == "Migrate" else "backup recorded"

    def _is_new(self, owner: dict[str, Any]) -> bool:
        return release_of(owner) == self.release


def _pod(body: dict[str, Any], whose: str, maker: str) -> Iterator[tuple[str, str]]:
    yield maker, f"{whose}: pod created"
    if body["spec"].get("nodeName"):
        yield "scheduler", f"{whose}: pod scheduled"


def release_of(owner: dict[str, Any]) -> str:
    """The key that the bench gives to each release."""
    return str(owner["metadata"].get("annotations", {}).get(f"{manifests.GROUP}/key", ""))
