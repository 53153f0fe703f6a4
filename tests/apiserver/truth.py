"""What the record of a namespace proves, without asking the operator.

A version of a Deployment (its images and its key) is *verified* from the write on in which the container of a migration of its release was
seen to have ended with exit code 0, or a person said so. It is *free* when the Deployment had that version while it carried no gate label.
Every ReplicaSet with replicas and every pod must be of a version that was verified or free before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.kube import facts
from tools.kube.recorder import Recorder, Seen

GATE = "locktender.dev/gate"
KEY = "locktender.dev/key"
RESOLVE = "locktender.dev/resolve"


@dataclass(frozen=True)
class Version:
    """The key K of a Deployment."""

    images: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Success:
    """A migration that has run, as of the write `version`."""

    version: int
    image: str
    release: str


def version_of(owner: dict[str, Any]) -> Version:
    """The version in the template of a Deployment or ReplicaSet, or of a pod."""
    template = owner["spec"].get("template")
    meta, spec = (template.get("metadata") or {}, template["spec"]) if template else (owner["metadata"], owner["spec"])
    images = [part["image"] for part in (*(spec.get("initContainers") or ()), *spec["containers"])]
    return Version(tuple(images), (meta.get("annotations") or {}).get(KEY, ""))


def gate_of(deployment: dict[str, Any]) -> str:
    """The gate label, empty without one."""
    return str((deployment["metadata"].get("labels") or {}).get(GATE, ""))


def unverified(recorder: Recorder) -> list[str]:
    """ReplicaSets and pods of versions that nothing had verified when they appeared. Empty is the promise."""
    if recorder.gaps:
        return [f"the record has a hole: {', '.join(recorder.gaps)}"]
    successes = list(_successes(recorder))
    free = list(_free(recorder))
    found = []
    for event in _appearances(recorder):
        name, version = event.object["metadata"]["labels"]["app"], version_of(event.object)
        if any(at <= event.version and name == its and version == free_one for at, its, free_one in free):
            continue
        if any(one.version < event.version and _speaks_for(recorder, event, version, one) for one in successes):
            continue
        found.append(f"{event.kind} {event.name} of {name} at {version} (write {event.version})")
    return found


def _appearances(recorder: Recorder) -> Iterator[Seen]:
    """The first sight of each pod of an application, and of each of its ReplicaSets that wants pods."""
    seen = set()
    for event in recorder.events("replicasets", "pods"):
        if facts.step(event.object) or event.type == "DELETED":
            continue
        if event.kind == "replicasets" and not event.object["spec"].get("replicas"):
            continue
        uid = event.object["metadata"]["uid"]
        if uid not in seen:
            seen.add(uid)
            yield event


def _successes(recorder: Recorder) -> Iterator[Success]:
    runs: dict[str, tuple[str, str]] = {}
    for event in recorder.events("databasemigrations"):
        run = event.object.get("status", {}).get("run")
        if run:
            runs[run["id"]] = (run.get("image", ""), run.get("release", ""))
    for event in recorder.events("databasemigrations"):
        run_id, _, word = (event.object["metadata"].get("annotations") or {}).get(RESOLVE, "").partition("=")
        if word == "ran" and run_id in runs:
            yield Success(event.version, *runs[run_id])
    for event in recorder.events("pods"):
        if facts.step(event.object) != facts.MIGRATE or event.object["metadata"].get("deletionTimestamp"):
            continue
        end = facts.ended(event.object, facts.MIGRATE)
        run_id = event.object["metadata"]["labels"].get(facts.RUN, "")
        if end and end["exitCode"] == 0 and run_id in runs:
            yield Success(event.version, *runs[run_id])


def _free(recorder: Recorder) -> Iterator[tuple[int, str, Version]]:
    for event in recorder.events("deployments"):
        if not gate_of(event.object) and event.type != "DELETED":
            yield event.version, event.name, version_of(event.object)


def _speaks_for(recorder: Recorder, event: Seen, version: Version, success: Success) -> bool:
    """Whether a success belongs to the version: exactly, where the Deployment carries the migrations; by key or image elsewhere."""
    name = event.object["metadata"]["labels"]["app"]
    exact = success.image in version.images and success.release == version.key
    tied = success.release == version.key if version.key else success.image in version.images
    return any(exact if carrier else tied for carrier in _carried(recorder, name, version, event.version))


def _carried(recorder: Recorder, name: str, version: Version, until: int) -> set[bool]:
    """Whether the Deployment carried the migrations, by every spec in force since it has this version."""
    others = [
        event.version
        for event in recorder.events("deployments")
        if event.name == name and event.version <= until and version_of(event.object) != version
    ]
    since = max(others, default=0)
    specs = [event for event in recorder.events("databasemigrations") if event.version <= until]
    before = [event for event in specs if event.version <= since][-1:]
    found = set()
    for event in (*before, *(event for event in specs if event.version > since)):
        migration = event.object["spec"]["migration"]
        source = migration.get("from", {}).get("deployment")
        found.add(not migration.get("image") and source in (None, name))
    return found
