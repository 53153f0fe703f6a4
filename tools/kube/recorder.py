"""Records what a namespace goes through: every event of every watched kind, from the first write on.

list -> watch from that list's version -> reconnect at the last version seen. A version that the server no longer has
would leave a hole: it is noted in `gaps`, and a proof that rests on the record fails.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from tools.kube.api import Api, ApiError, Watch

T = TypeVar("T")
GROUPS = {
    "pods": "api/v1",
    "events": "api/v1",
    "replicasets": "apis/apps/v1",
    "deployments": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "databasemigrations": "apis/locktender.dev/v1alpha1",
    "databasebackups": "apis/locktender.dev/v1alpha1",
}


@dataclass(frozen=True)
class Seen:
    """One event. Within one etcd `version` orders the writes of all kinds: that is what proofs compare."""

    kind: str
    type: str
    version: int
    at: float
    object: dict[str, Any]

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object["metadata"]["name"])


@dataclass
class Recorder:
    """A context manager: the record is complete from its entry to its end."""

    api: Api
    namespace: str
    kinds: tuple[str, ...] = tuple(GROUPS)
    seen: list[Seen] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    current: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stopped: bool = False

    def __enter__(self) -> Self:
        for kind in self.kinds:
            version = self._list(kind)
            thread = threading.Thread(target=self._follow, args=(kind, version), name=f"watch {kind}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for watch in list(self._watches.values()):
            watch.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def path(self, kind: str) -> str:
        """The collection of `kind`."""
        return f"/{GROUPS[kind]}/namespaces/{self.namespace}/{kind}"

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """The objects of `kind` as last seen."""
        with self._changed:
            return [body for (its_kind, _), body in self.current.items() if its_kind == kind]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object as last seen."""
        with self._changed:
            return self.current.get((kind, name))

    def events(self, *kinds: str) -> list[Seen]:
        """What was seen of `kinds` so far, in the order of the writes."""
        with self._changed:
            return sorted((event for event in self.seen if event.kind in kinds), key=lambda event: event.version)

    def mark(self) -> int:
        """The newest version seen: events after it belong to what comes next."""
        with self._changed:
            return max((event.version for event in self.seen), default=0)

    def wait(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """The first truthy value of `look`, asked anew after each event. AssertionError with `what` when time is up."""
        end = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            with self._changed:
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {seconds:.0f} s: {what}")
                self._changed.wait(min(left, 1.0))

    def since(self, position: int, seconds: float) -> list[Seen]:
        """The events recorded after the first `position`, waiting up to `seconds` for one."""
        with self._changed:
            if len(self.seen) <= position:
                self._changed.wait(seconds)
            return self.seen[position:]

    def _list(self, kind: str) -> str:
        listed = self.api.call("GET", self.path(kind))
        for body in listed["items"]:
            self._note(kind, "LISTED", body)
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, kind: str, version: str) -> None:
        while not self._stopped:
            try:
                watch = self._watches[kind] = self.api.watch(self.path(kind), version)
                for event in watch:
                    body = event["object"]
                    if event["type"] == "ERROR":
                        version = self._resume(kind, version, int(body.get("code", 0)))
                        break
                    version = body["metadata"]["resourceVersion"]
                    self._note(kind, event["type"], body)
            except ApiError as error:
                version = self._resume(kind, version, error.status)
                time.sleep(0.2)
            except OSError:
                time.sleep(0.2)

    def _resume(self, kind: str, version: str, status: int) -> str:
        """Where to watch on after an error: a new list after 410 Gone, which leaves a hole."""
        if status != 410 or self._stopped:
            return version
        self.gaps.append(f"{kind} after version {version}")
        return self._list(kind)

    def _note(self, kind: str, kind_of_event: str, body: dict[str, Any]) -> None:
        event = Seen(kind, kind_of_event, int(body["metadata"]["resourceVersion"]), time.monotonic(), body)
        with self._changed:
            self.seen.append(event)
            if kind_of_event == "DELETED":
                self.current.pop((kind, event.name), None)
            else:
                self.current[kind, event.name] = body
            self._changed.notify_all()
