"""What the demo promises, checked against the record; each promise that did not hold is a sentence."""

from dataclasses import dataclass, field
from typing import Any

from tools.demo.story import WAITING
from tools.kube import facts
from tools.kube.recorder import Recorder, Seen


@dataclass
class Promises:
    """Collects how each promise fared."""

    kept: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def check(self, promise: str, problem: str) -> None:
        """`problem` is empty when the promise held."""
        if problem:
            self.broken.append(f"{promise}: {problem}")
        else:
            self.kept.append(promise)


def rollout(promises: Promises, recorder: Recorder, version: str, after: int) -> None:
    """The promises of a rollout that succeeds; `after` is the version before its first write."""
    image = f"localhost/shop:{version}"
    promises.check(f"{version} was held by the write that brought it", _held_at_once(recorder, image, after))
    early = facts.too_early(recorder, image, after)
    promises.check(f"no pod of {version} before its migration had ended well", ", ".join(early))
    jobs = _jobs(recorder, after)
    promises.check(f"{version}: one backup, one migration", _one_of_each(recorder, after))
    promises.check(f"{version}: the backup was proved before the migration began", _backup_first(recorder, jobs, after))


def held_back(promises: Promises, recorder: Recorder, version: str, after: int) -> None:
    """The promises of a rollout whose migration fails."""
    image = f"localhost/shop:{version}"
    promises.check(f"{version} was held by the write that brought it", _held_at_once(recorder, image, after))
    found = [f"{event.kind} {event.name}" for event in facts.appearances(recorder, image, after)]
    promises.check(f"no pod of {version} ever", ", ".join(found))
    deployment = recorder.get("deployments", "web")
    promises.check(f"{version} is still held", "" if deployment and facts.is_held(deployment) else "it is not")


def _held_at_once(recorder: Recorder, image: str, after: int) -> str:
    for event in recorder.events("deployments"):
        if event.version > after and event.name == "web" and facts.image(event.object) == image:
            return "" if facts.is_held(event.object) else "its first version was not paused"
    return "no Deployment with it was seen"


def _jobs(recorder: Recorder, after: int) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {"backup": [], "migrate": []}
    for event in recorder.events("jobs"):
        if event.version > after and event.type == "ADDED":
            found.setdefault(facts.step(event.object), []).append((event.version, event.object))
    return found


def _one_of_each(recorder: Recorder, after: int) -> str:
    """A backup that found no database yet ended with exit code 75 and did nothing: it does not count."""
    ran: dict[str, set[str]] = {"backup": set(), "migrate": set()}
    born: dict[str, int] = {}
    for event in recorder.events("pods"):
        step = facts.step(event.object)
        # A pod of the release before may still be told of: what counts is when it was first seen.
        ours = born.setdefault(event.name, event.version) > after
        end = facts.ended(event.object, step) if ours and step in ran else None
        if end and end["exitCode"] != WAITING:
            ran[step].add(event.name)
    return ", ".join(f"{len(found)} runs of {step}" for step, found in ran.items() if len(found) != 1)


def _born(recorder: Recorder, kind: str, after: int) -> list[Seen]:
    """The events of objects that came after version `after`; those from before still change now and then."""
    first: dict[str, int] = {}
    events = recorder.events(kind)
    for event in events:
        first.setdefault(event.name, event.version)
    return [event for event in events if first[event.name] > after]


def _backup_first(recorder: Recorder, jobs: dict[str, list[tuple[int, dict[str, Any]]]], after: int) -> str:
    backups = _born(recorder, "databasebackups", after)
    proved = [event.version for event in backups if "sha256" in event.object.get("status", {})]
    if not proved:
        return "no DatabaseBackup with a hash was seen"
    first = min((version for version, _ in jobs["migrate"]), default=0)
    return "" if proved[0] < first else "the migration's Job is older than the proof"
