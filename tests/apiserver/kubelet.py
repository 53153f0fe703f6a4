"""A stand-in for the kubelet in one namespace: application pods become ready, pods of Jobs end as the test says.

Everything else is real. It reads the namespace's record, so it needs no watch of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

from tests.builders import BACKUP_FACTS, report
from tools.kube import facts
from tools.kube.api import MERGE, Api, ApiError
from tools.kube.recorder import Recorder

BEAT = 0.05  # seconds between two looks at pods whose fate has changed


class Fate(StrEnum):
    """What becomes of the main container of a Job's pod."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    RUNS = "runs"  # until the fate changes
    PENDING = "pending"  # the kubelet says nothing


class Kubelet:
    """A context manager. `backup` and `migrate` may be changed at any time; pods that have not ended follow.

    `images` overrides `migrate` for runs of an image (as named in the run of the DatabaseMigration). `agent` is the last word of a
    migration's agent, which ends the pod; "" while the agent goes on, whatever became of the main container; None for a pod without one.
    """

    def __init__(
        self, api: Api, recorder: Recorder, *, backup: Fate = Fate.SUCCEEDS, migrate: Fate = Fate.SUCCEEDS
    ) -> None:
        self.api, self.recorder = api, recorder
        self.backup, self.migrate = backup, migrate
        self.images: dict[str, Fate] = {}
        self.agent: str | None = None
        self._told: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kubelet", daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=10)
        if self.error is not None:
            raise AssertionError("the stand-in for the kubelet failed") from self.error

    def _work(self) -> None:
        position = 0
        while not self._stopped.is_set():
            position += len(self.recorder.since(position, BEAT))
            time.sleep(BEAT)  # many events are one look
            for pod in self.recorder.objects("pods"):
                try:
                    self._tend(pod)
                except (ApiError, OSError) as error:
                    if getattr(error, "status", 0) not in (0, 404, 409, 429, 500, 502, 503):
                        self.error = error
                        return

    def _tend(self, pod: dict[str, Any]) -> None:
        if pod["metadata"].get("deletionTimestamp") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        step = facts.step(pod)
        if not step:
            self._say(pod, "ready", _ready)
            return
        match self._fate(pod, step):
            case Fate.SUCCEEDS:
                self._end(pod, step, 0)
            case Fate.FAILS:
                self._end(pod, step, 1)
            case Fate.RUNS:
                self._say(pod, "running", lambda _: _running(step))
            case Fate.PENDING:
                pass

    def _end(self, pod: dict[str, Any], step: str, code: int) -> None:
        word = self.agent if step == facts.MIGRATE else None
        self._say(pod, f"ended {code} {word}", lambda _: _with_agent(_ended(step, code), word))

    def _fate(self, pod: dict[str, Any], step: str) -> Fate:
        if step != facts.MIGRATE:
            return self.backup
        if not self.images:
            return self.migrate
        run = pod["metadata"]["labels"].get(facts.RUN)
        for migration in self.recorder.objects("databasemigrations"):
            known = migration.get("status", {}).get("run", {})
            if known.get("id") == run and known.get("image") in self.images:
                return self.images[known["image"]]
        return self.migrate

    def _say(self, pod: dict[str, Any], word: str, status: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        uid = pod["metadata"]["uid"]
        if self._told.get(uid) == word:
            return
        where = f"{self.recorder.path('pods')}/{pod['metadata']['name']}/status"
        # The uid is a precondition: a pod that was deleted and made anew is another one.
        self.api.call("PATCH", where, {"metadata": {"uid": uid}, "status": status(pod)}, MERGE)
        self._told[uid] = word


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _container(name: str, state: dict[str, Any], *, ready: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "image": "x",
        "imageID": "x",
        "containerID": "x://y",
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }


def _ready(pod: dict[str, Any]) -> dict[str, Any]:
    names = [container["name"] for container in pod["spec"]["containers"]]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": _now()} for kind in ("Ready", "ContainersReady")
    ]
    states = [_container(name, {"running": {"startedAt": _now()}}, ready=True) for name in names]
    return {"phase": "Running", "conditions": conditions, "containerStatuses": states}


def _running(step: str) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [_container(step, {"running": {"startedAt": _now()}})]}


def _with_agent(status: dict[str, Any], word: str | None) -> dict[str, Any]:
    """The same pod with an agent that goes on (""), or that has ended after the main container with a last word."""
    if word is None:
        return status
    if not word:
        agent = _container("agent", {"running": {"startedAt": _now()}}, ready=True)
        return {**status, "phase": "Running", "initContainerStatuses": [agent]}
    return {**status, "initContainerStatuses": [_container("agent", {"terminated": _end_state(0, word)})]}


def _ended(step: str, code: int) -> dict[str, Any]:
    words = (
        report("Succeeded", "Succeeded", kind="backup", backup=BACKUP_FACTS)
        if step == "backup" and not code
        else "boom"
    )
    ended = _container(step, {"terminated": _end_state(code, words)})
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [ended]}


def _end_state(code: int, words: str) -> dict[str, Any]:
    return {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "message": words,
        "startedAt": _now(),
        "finishedAt": _now(),
        "containerID": "x://y",
    }
