"""A shop in a namespace of its own: Deployments at a gate, what people do to them, and what must hold whatever they do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.apiserver.gate_server import GateServer
from tests.apiserver.kubelet import Kubelet
from tests.apiserver.truth import GATE, KEY, gate_of, unverified, version_of
from tests.builders import a_spec
from tools.kube import facts
from tools.kube.api import APPLY, MERGE, ApiError
from tools.kube.recorder import Recorder, Seen

T = TypeVar("T")
MIGRATION = "shop-db"
LATE = 3.0  # seconds by which one watch may be behind another
PATIENCE = 30.0  # seconds: what is promised for a way out
COMMAND = (
    "kubectl ",
    "spec.",
    "locktender.dev/key",
    "Apply one",
    "apply the other half",
    "Label one",
)  # something to do


class Shop:
    """One namespace with its record, and a stand-in for its kubelet."""

    def __init__(self, server: GateServer, recorder: Recorder, kubelet: Kubelet) -> None:
        self.server, self.recorder, self.kubelet = server, recorder, kubelet
        self.namespace = recorder.namespace

    # What people do

    def migration(self, name: str = MIGRATION, **spec: Any) -> None:
        """`kubectl apply` of a DatabaseMigration."""
        body = {
            "apiVersion": "locktender.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": name},
            "spec": a_spec(**{"backup": {"policy": "Skip", "storage": None, "reason": "a test"}, **spec}),
        }
        body["spec"]["backup"] = {key: value for key, value in body["spec"]["backup"].items() if value is not None}
        self._apply(f"{self.recorder.path('databasemigrations')}/{name}", body)

    def change(self, name: str = MIGRATION, **spec: Any) -> None:
        """A merge patch on a DatabaseMigration's spec; None removes a field."""
        self.server.alice.merge(f"{self.recorder.path('databasemigrations')}/{name}", {"spec": spec})

    def annotate(self, annotation: str, value: str | None, name: str = MIGRATION) -> None:
        """`kubectl annotate dbm`."""
        patch = {"metadata": {"annotations": {f"locktender.dev/{annotation}": value}}}
        self.server.alice.merge(f"{self.recorder.path('databasemigrations')}/{name}", patch)

    def deploy(self, name: str, image: str, *, key: str = "", gate: str | None = MIGRATION, **more: Any) -> None:
        """`kubectl apply --server-side` of a Deployment's whole manifest; `more` are fields of its spec."""
        template: dict[str, Any] = {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": image}]},
        }
        if key:
            template["metadata"]["annotations"] = {KEY: key}
        env = more.pop("env", None)
        if env:
            template["spec"]["containers"][0]["env"] = [{"name": "COLOR", "value": env}]
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {GATE: gate} if gate else {}},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **more},
        }
        self._apply(f"{self.recorder.path('deployments')}/{name}", body)

    def patch(self, name: str, patch: Any) -> None:
        """`kubectl patch deployment`."""
        content = "application/json-patch+json" if isinstance(patch, list) else MERGE
        self.server.alice.call("PATCH", f"{self.recorder.path('deployments')}/{name}", patch, content)

    def delete(self, kind: str, name: str, propagation: str = "Background") -> None:
        self.server.alice.delete(f"{self.recorder.path(kind)}/{name}", propagation)

    def _apply(self, where: str, body: dict[str, Any]) -> None:
        self.server.alice.call("PATCH", f"{where}?fieldManager=alice&force=true", body, APPLY)

    # What is seen

    def live(self, name: str) -> dict[str, Any] | None:
        """A Deployment as the API server has it now."""
        found: dict[str, Any] | None = self.server.admin.get(f"{self.recorder.path('deployments')}/{name}")
        return found

    def dbm(self, name: str = MIGRATION) -> dict[str, Any] | None:
        """A DatabaseMigration as last seen."""
        return self.recorder.get("databasemigrations", name)

    def ready(self, name: str = MIGRATION) -> tuple[str, str, str]:
        """Ready's value, reason and message."""
        found = facts.condition(self.dbm(name), "Ready")
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def held(self) -> list[dict[str, Any]]:
        """The Deployments that are held, as last seen."""
        return [item for item in self.recorder.objects("deployments") if facts.is_held(item)]

    def is_held(self, name: str) -> bool:
        return any(item["metadata"]["name"] == name for item in self.held())

    def runs(self, image: str, *names: str) -> bool:
        """The named Deployments run the image, all replicas of it and nothing else."""
        found = [self.recorder.get("deployments", name) for name in names]
        return all(item is not None and facts.image(item) == image and facts.is_rolled_out(item) for item in found)

    def jobs(self, step: str = facts.MIGRATE) -> list[Seen]:
        """The Jobs of a step that were ever made."""
        events = self.recorder.events("jobs")
        first = {
            event.object["metadata"]["uid"]: event for event in reversed(events) if facts.step(event.object) == step
        }
        return list(first.values())

    def events_about(self, uid: str, since: int = 0) -> list[dict[str, Any]]:
        """The Events about an object that were posted after the write `since`, oldest first."""
        seen = [event for event in self.recorder.events("events") if event.version > since and event.type != "DELETED"]
        return [event.object for event in seen if event.object["involvedObject"].get("uid") == uid]

    def wait(self, look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        """The first truthy value of `look`."""
        try:
            return self.recorder.wait(look, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state()}") from None

    def state(self) -> str:
        """How things stand, for people."""
        lines = [f"namespace {self.namespace}"]
        for item in self.recorder.objects("deployments"):
            held = "held" if facts.is_held(item) else "paused" if item["spec"].get("paused") else "open"
            lines.append(f"  deployment {item['metadata']['name']}: {held}, gate {gate_of(item)!r}, {version_of(item)}")
            lines += [
                f"    {event['reason']}: {event['message']}" for event in self.events_about(item["metadata"]["uid"])
            ]
        for item in self.recorder.objects("databasemigrations"):
            lines.append(f"  dbm {item['metadata']['name']} {item['spec']}")
            lines += [
                f"    {found['type']}={found['status']} {found['reason']}: {found['message']}"
                for found in item.get("status", {}).get("conditions", ())
            ]
            lines.append(f"    run {item.get('status', {}).get('run')}")
        return "\n".join(lines)

    # What must hold

    def assert_nothing_unverified(self) -> None:
        """The promise, over everything that ever was. Kinds are watched apart: what explains a pod may be seen after it."""
        try:
            self.recorder.wait(lambda: not unverified(self.recorder), LATE, "what explains a pod is seen")
        except AssertionError:
            raise AssertionError("\n".join((*unverified(self.recorder), self.state()))) from None

    def assert_explained(self, seconds: float = 15.0) -> None:
        """Within a moment each held Deployment tells why it is held and what to do."""
        try:
            self.recorder.wait(lambda: not self.unexplained(), seconds, "every hold is explained")
        except AssertionError:
            raise AssertionError("\n".join((*self.unexplained(), self.state()))) from None

    def unexplained(self) -> list[str]:
        """What is missing of the explanations of the held Deployments."""
        return [fault for item in self.held() for fault in self._faults(item)]

    def _faults(self, item: dict[str, Any]) -> Iterator[str]:
        name, gate = item["metadata"]["name"], gate_of(item)
        told = self.events_about(item["metadata"]["uid"], self._held_since(name))
        reasons = [event["reason"] for event in told]
        migration = self.dbm(gate)
        if migration is None:
            if not any(
                "there is no DatabaseMigration" in event["message"] and _says_what_to_do(event["message"])
                for event in told
            ):
                yield f"{name}: no Event says that there is no DatabaseMigration {gate}: {reasons}"
            return
        if "Held" not in reasons:
            yield f"{name}: no Event Held since write {self._held_since(name)}: {reasons}"
        ready, open_ = facts.condition(migration, "Ready"), facts.condition(migration, "GateOpen")
        if migration.get("status", {}).get("observedGeneration") != migration["metadata"]["generation"]:
            yield f"{gate}: the status is not of this generation"
        if ready.get("status") == "True":
            yield f"{gate}: Ready although {name} is held"
        if open_.get("status") != "False" or name not in open_.get("message", ""):
            yield f"{gate}: GateOpen does not name {name}: {open_}"
        at_work = facts.condition(migration, "Reconciling").get("status") == "True" and ready.get("reason") == "Running"
        if at_work or not ready:
            return
        if not _says_what_to_do(ready.get("message", "")):
            yield f"{gate}: the condition does not say what to do: {ready}"
        if not any(event["reason"] == ready["reason"] and _says_what_to_do(event["message"]) for event in told):
            yield f"{name}: no Event {ready['reason']} says why and what to do: {reasons}"

    def _held_since(self, name: str) -> int:
        """The write that held the Deployment."""
        since = 0
        for event in self.recorder.events("deployments"):
            if event.name == name and not (event.type != "DELETED" and facts.is_held(event.object)):
                since = event.version
        return since


def _says_what_to_do(message: str) -> bool:
    return any(command in message for command in COMMAND)


@contextmanager
def open_shop(server: GateServer, namespace: str = "", **fates: Any) -> Iterator[Shop]:
    """A shop whose namespace is removed at the end."""
    namespace = namespace or f"shop-{uuid.uuid4().hex[:8]}"
    where = f"/api/v1/namespaces/{namespace}"
    if server.admin.get(where) is None:
        server.admin.create(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
    end = time.monotonic() + PATIENCE
    while server.admin.get(f"{where}/serviceaccounts/default") is None:  # pods need it
        assert time.monotonic() < end, "no default service account: is kube-controller-manager running?"
        time.sleep(0.02)
    recorder = Recorder(server.admin, namespace)
    try:
        with recorder, Kubelet(server.admin, recorder, **fates) as kubelet:
            yield Shop(server, recorder, kubelet)
    finally:
        server.admin.delete(where)


def refused(write: Callable[[], None]) -> str:
    """The message with which a write is refused; fails where it is accepted."""
    try:
        write()
    except ApiError as error:
        return str(error)
    raise AssertionError("not refused")
