"""One try of each variant, measured in the same way: from the request that changes something to what a watch at the API shows.

Times are of this process's monotonic clock. The watch runs all the time, on a connection of its own.
"""

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.bench.gate import manifests
from tools.bench.gate.manifests import NAMESPACE
from tools.bench.gate.scene import PATIENCE, Scene
from tools.kube import facts
from tools.kube.api import environment
from tools.kube.recorder import Seen

JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Try:
    """One measured try: when it was asked for and when its goal was seen. `position`: where its events begin in the record."""

    variant: str
    release: str
    position: int
    begun: float
    ended: float
    verdict_to_release: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun


@dataclass
class Tries:
    """Makes tries in one scene; every one is a release that was never seen before."""

    scene: Scene
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def plain(self) -> Try:
        """Image change of an ungated Deployment to its new container running."""
        return self._rollout("plain_rollout", manifests.PLAIN, self._patch)

    def noop(self) -> Try:
        """The same behind the gate, with a migration that does nothing and no backup."""
        return self._with_verdict(self._rollout("noop", manifests.GATED, self._patch))

    def with_backup(self) -> Try:
        """The same with a backup of the realistic database."""
        return self._with_verdict(self._rollout("with_backup", manifests.GATED_WITH_BACKUP, self._patch))

    def helm_hook(self) -> Try:
        """The same by `helm upgrade` with a pre-upgrade hook that is a Job which does nothing; Helm's own start counts."""
        return self._rollout("helm_hook", manifests.HOOKED, self._upgrade)

    def bare_job(self) -> Try:
        """A Job that does nothing, from its creation to `succeeded` in its status."""
        name = f"{manifests.JOB}-{next(self._numbers)}"
        position = len(self.scene.recorder.seen)
        begun = time.monotonic()
        self.scene.api.create(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", manifests.job(name))
        seen = self._first(
            position, "jobs", lambda body: _named(body, name) and body.get("status", {}).get("succeeded") == 1
        )
        return Try("bare_job", name, position, begun, seen.at)

    def _rollout(self, variant: str, name: str, change: Callable[[str, str, str], Any]) -> Try:
        number = next(self._numbers)
        release, image = f"r{number}", self._other_image(name)
        position = len(self.scene.recorder.seen)
        begun = time.monotonic()
        change(name, image, release)
        seen = self._first(position, "pods", lambda body: _runs(body, name, image, release))
        return Try(variant, release, position, begun, seen.at)

    def _other_image(self, name: str) -> str:
        body = self.scene.recorder.get("deployments", name)
        if body is None:
            raise AssertionError(f"the Deployment {name} is gone")
        one, two = manifests.IMAGES
        return two if facts.image(body) == one else one

    def _patch(self, name: str, image: str, release: str) -> None:
        where = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
        self.scene.api.call("PATCH", where, manifests.change(image, release), JSON_PATCH)

    def _upgrade(self, name: str, image: str, release: str) -> None:
        known = environment(self.scene.stage.kubeconfig, self.scene.stage.tools)
        values = ("--set", f"image={image}", "--set", f"release={release}")
        command = ("helm", "upgrade", name, str(self.scene.chart), "--namespace", NAMESPACE, *values)
        done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"helm upgrade: {done.stderr.strip()}")

    def _with_verdict(self, made: Try) -> Try:
        """The same try with the time from the verdict, seen in the pod's status, to the open gate, seen in the Deployment."""
        earlier, events = self.scene.recorder.seen[: made.position], self.scene.recorder.seen[made.position :]
        # Pods of the try before are seen once more while they are cleaned up.
        known = {event.name for event in earlier if event.kind == "pods"}
        verdict = next(
            event for event in events if event.kind == "pods" and event.name not in known and _migrated(event.object)
        )
        name = manifests.GATED if made.variant == "noop" else manifests.GATED_WITH_BACKUP
        opened = next(
            event
            for event in events
            if event.kind == "deployments"
            and _named(event.object, name)
            and _release_of(event.object["spec"]["template"]) == made.release
            and not event.object["spec"].get("paused")
        )
        return Try(made.variant, made.release, made.position, made.begun, made.ended, opened.at - verdict.at)

    def _first(self, position: int, kind: str, fits: Callable[[dict[str, Any]], bool]) -> Seen:
        """The first event after `position` whose object fits."""
        looked = position

        def look() -> Seen | None:
            nonlocal looked
            fresh = self.scene.recorder.seen[looked:]
            looked += len(fresh)
            return next((event for event in fresh if event.kind == kind and fits(event.object)), None)

        return self.scene.recorder.wait(look, PATIENCE, f"the goal of a try is seen among the {kind}")


def _named(body: dict[str, Any], name: str) -> bool:
    return bool(body["metadata"]["name"] == name)


def _release_of(owner: dict[str, Any]) -> str:
    return str(owner["metadata"].get("annotations", {}).get(f"{manifests.GROUP}/key", ""))


def _runs(pod: dict[str, Any], name: str, image: str, release: str) -> bool:
    ours = (
        pod["metadata"].get("labels", {}).get("app") == name
        and facts.image(pod) == image
        and _release_of(pod) == release
    )
    return ours and "running" in facts.container(pod, "app").get("state", {})


def _migrated(pod: dict[str, Any]) -> bool:
    end = facts.ended(pod, facts.MIGRATE)
    return end is not None and end["exitCode"] == 0
