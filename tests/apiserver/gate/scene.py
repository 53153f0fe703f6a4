"""One Deployment at the gate, one person, and what the API server keeps of it."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.gate.connection import JSON_PATCH, MERGE, Connection, Refusal
from tests.apiserver.gate.manifests import RELEASED, Body, deployment, held, images, key_of, release
from tests.apiserver.gate.people import Person

CONTROLLER_SECONDS = 30.0  # the Deployment controller needs milliseconds; a busy machine takes longer
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Stage:
    """An API server with its controllers, where one carrier of the gate is installed."""

    carrier: str
    connection: Connection
    kubectl: Kubectl
    namespace: str


@dataclass
class Scene:
    """What one row of the table works on. `person` acts; what has to be prepared is done by the administrator of the stage."""

    stage: Stage
    person: Person
    name: str = field(default_factory=lambda: f"web-{next(_numbers)}")
    namespace: str = ""
    verified: set[tuple[str, ...]] = field(
        default_factory=set
    )  # the keys that were let through: the only ones that may run
    before: Body | None = None
    answer: Any = None
    refusal: str | None = None

    def __post_init__(self) -> None:
        self.namespace = self.namespace or self.stage.namespace

    # What the person does. The answer is kept for the expectations.

    def send(
        self, method: str, body: Any, *, content: str = "", sub: str = "", query: dict[str, str] | None = None
    ) -> Any:
        """Write the Deployment, or a subresource of it, as the person."""
        where = self.path(self.name if method != "POST" else "", sub) + (f"?{urlencode(query)}" if query else "")
        self.answer = self.stage.connection.call(method, where, body, content=content, user=self.person.user)
        return self.answer

    def merge(self, body: Body, **options: Any) -> Any:
        """Send a merge patch."""
        return self.send("PATCH", body, content=MERGE, **options)

    def kubectl(self, *arguments: str, body: Any = None, environment: dict[str, str] | None = None) -> str:
        """Run kubectl as the person; Refusal when it fails."""
        told = Kubectl(self.stage.kubectl.program, self.stage.kubectl.kubeconfig, self.namespace)
        done = told.run(*arguments, body=body, user=self.person.user or None, environment=environment)
        if done.returncode != 0:
            raise Refusal(done.stderr + done.stdout)
        self.answer = done.stdout
        return done.stdout

    def manifest(self, **fields: Any) -> Body:
        """A manifest of this Deployment."""
        return deployment(self.name, **fields)

    def word(self, said: str, ahead: int = 0) -> str:
        """What opens this gate: a run or a reason, and the generation that is opened."""
        return f"{said}@{self.get()['metadata']['generation'] + ahead}"

    # What is prepared, and what is there.

    def path(self, name: str = "", sub: str = "", group: str = "apis/apps/v1", plural: str = "deployments") -> str:
        """The path of an object in this scene's namespace."""
        parts = [group, "namespaces", self.namespace, plural, name, sub]
        return "/" + "/".join(part for part in parts if part)

    def api(
        self, method: str, path: str, body: Any = None, content: str = "", person: Person = Person.KUBERNETES
    ) -> Any:
        """Any request, as the administrator unless told otherwise."""
        return self.stage.connection.call(method, path, body, content=content, user=person.user)

    def get(self) -> Body:
        """The Deployment as it is stored."""
        item: Body = self.stage.connection.call("GET", self.path(self.name))
        return item

    def found(self) -> Body | None:
        """The Deployment, None where there is none."""
        return self.stage.connection.get(self.path(self.name))

    def create(self, **fields: Any) -> None:
        """Have it created."""
        self.api("POST", self.path(), self.manifest(**fields))

    def let_through(self) -> None:
        """Locktender's release of what is held now."""
        now = self.get()
        wanted = [item["image"] for item in now["spec"]["template"]["spec"]["containers"]]
        run = f"run-{next(_numbers)}@{now['metadata']['generation']}"
        self.api("PATCH", self.path(self.name), release(run, *wanted), JSON_PATCH, Person.OPERATOR)
        after = self.get()
        assert not held(after)
        assert after["metadata"]["annotations"][RELEASED] == run
        self.verified.add(key_of(after["spec"]["template"]))

    def change_image(self, image: str = "shop:2") -> None:
        """Have another image arrive."""
        self.api("PATCH", self.path(self.name), images(image), MERGE)

    def of_this(self, plural: str, group: str = "apis/apps/v1") -> list[Body]:
        """The ReplicaSets or pods of this Deployment."""
        listed = self.api("GET", self.path(group=group, plural=plural) + f"?labelSelector=app%3D{self.name}")
        return [item for item in listed["items"] if "deletionTimestamp" not in item["metadata"]]

    def images_of_pods(self) -> list[str]:
        """The image of each pod of this Deployment."""
        return sorted(item["spec"]["containers"][0]["image"] for item in self.of_this("pods", "api/v1"))

    def settle(self) -> None:
        """Until the Deployment controller has dealt with what is stored."""
        until(self._settled, f"the Deployment controller has seen {self.name}", CONTROLLER_SECONDS)

    def _settled(self) -> bool:
        now = self.found()
        if now is None:
            return True
        status = now.get("status", {})
        if status.get("observedGeneration", 0) < now["metadata"]["generation"]:
            return False
        return bool(now["spec"].get("paused")) or status.get("updatedReplicas", 0) == now["spec"]["replicas"]


def soon(holds: Callable[[], bool], what: str) -> None:
    """Until Kubernetes' own controllers have done it."""
    until(holds, what, CONTROLLER_SECONDS)


def dumped(body: Any) -> str:
    """As an argument of kubectl."""
    return json.dumps(body)


def again_within(seconds: float, attempt: Callable[[], Any]) -> Any:
    """Try a write again that met another writer (409)."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Refusal as refusal:
            if not str(refusal).startswith("409 ") or time.monotonic() > deadline:
                raise
