"""One test's namespace: what it applies, and a record of everything that happens there from the first write on."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from tests.cluster.kit import databases, manifests
from tests.cluster.kit.databases import Database
from tools.demo.stage import Stage
from tools.kube import facts
from tools.kube.api import Api
from tools.kube.recorder import Recorder

PATIENCE = 150.0  # seconds: a run takes about 6, many of them share 2 cores
ROLLOUT = 120.0


class World:
    """A namespace under Pod Security "restricted" with a Secret and a claim for backups."""

    def __init__(self, stage: Stage, api: Api, name: str, database: Database | None) -> None:
        self.stage, self.api, self.name, self.database = stage, api, name, database
        self.recorder = Recorder(api, name)

    # What a person does

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply` of one file with these objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.stage.run("kubectl", "-n", self.name, "apply", "-f", "-", text=text)

    def kubectl(self, *arguments: str) -> str:
        """The output of a kubectl command in this namespace."""
        return self.stage.run("kubectl", "-n", self.name, *arguments).stdout

    def retry(self) -> None:
        """Ask for another try, as the status message says."""
        self.kubectl("annotate", "dbm", manifests.MIGRATION, f"locktender.dev/retry={time.time_ns()}", "--overwrite")

    # What is seen

    @property
    def dbm(self) -> dict[str, Any] | None:
        """The DatabaseMigration as last seen."""
        return self.recorder.get("databasemigrations", manifests.MIGRATION)

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        """A condition of the DatabaseMigration."""
        return facts.condition(self.dbm, kind)

    def deployment(self, name: str = "web") -> dict[str, Any]:
        """A Deployment as last seen."""
        return self.recorder.get("deployments", name) or {"spec": {}, "metadata": {}}

    def is_held(self, name: str = "web") -> bool:
        """Whether the gate holds the Deployment."""
        return facts.is_held(self.deployment(name))

    def state(self) -> str:
        """What to print when an expectation fails."""
        conditions = {
            c["type"]: f"{c['status']} {c['reason']}: {c['message']}"
            for c in (self.dbm or {}).get("status", {}).get("conditions", [])
        }
        jobs = [body["metadata"]["name"] for body in self.recorder.objects("jobs")]
        return f"{self.name}: conditions {json.dumps(conditions, indent=1)}, Jobs {jobs}"

    def wait(self, look: Any, what: str, seconds: float = PATIENCE) -> Any:
        """The first truthy value of `look`."""
        try:
            return self.recorder.wait(look, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state()}") from None

    def wait_rolled_out(self, release: str, name: str = "web") -> None:
        """Until the Deployment runs a release, every pod ready."""

        def done() -> bool:
            body = self.recorder.get("deployments", name)
            return bool(body) and facts.image(body) == manifests.image(release) and facts.is_rolled_out(body)

        self.wait(done, f"{name} runs {release}")

    def wait_condition(self, kind: str, status: str, *reasons: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Until a condition has this status and, if given, one of the reasons."""

        def met() -> dict[str, Any] | None:
            found = self.condition(kind)
            fits = found.get("status") == status and (not reasons or found.get("reason") in reasons)
            return found if fits else None

        found: dict[str, Any] = self.wait(met, f"condition {kind}={status} {' or '.join(reasons)}", seconds)
        return found

    def wait_words(self, *words: str, seconds: float = PATIENCE) -> str:
        """Until the status says these words somewhere; the sentence that does."""

        def said() -> str | None:
            for text in self.sentences():
                if all(word in text for word in words):
                    return text
            return None

        found: str = self.wait(said, f"the status says {' ... '.join(words)}", seconds)
        return found

    def sentences(self) -> list[str]:
        """Every message of the status."""
        status = (self.dbm or {}).get("status", {})
        steps = status.get("run", {}).get("steps", [])
        return [part.get("message", "") for part in (*status.get("conditions", []), *steps)]

    # What must hold

    def jobs(self, step: str, after: int = 0) -> list[str]:
        """Names of the Jobs of a step that were ever created."""
        events = self.recorder.events("jobs")
        names = [
            e.name
            for e in events
            if e.version > after and facts.step(e.object) == step and e.type in {"ADDED", "LISTED"}
        ]
        return list(dict.fromkeys(names))

    def migrations_started(self, after: int = 0) -> list[str]:
        """Pods in which the migration's container ever started."""
        first: dict[str, int] = {}
        started = {}
        for event in self.recorder.events("pods"):
            born = first.setdefault(event.name, event.version)  # a pod from before still changes afterwards
            state = facts.container(event.object, facts.MIGRATE).get("state", {})
            if born > after and facts.step(event.object) == "migrate" and ("running" in state or "terminated" in state):
                started[event.name] = True
        return list(started)

    def never_too_early(self, release: str, after: int = 0) -> None:
        """No ReplicaSet and no pod of a release before its migration had ended with exit code 0."""
        assert facts.verdict_version(self.recorder, manifests.image(release), after), (
            f"no verdict on {release}\n{self.state()}"
        )
        assert facts.too_early(self.recorder, manifests.image(release), after) == []

    def never_ran(self, release: str) -> None:
        """No ReplicaSet and no pod of a release, ever."""
        assert self.recorder.gaps == []
        assert [event.name for event in facts.appearances(self.recorder, manifests.image(release))] == []


@contextlib.contextmanager
def world(
    stage: Stage, api: Api, name: str, *, major: int = databases.NEWEST, ready: bool = True, owner: bool = True
) -> Iterator[World]:
    """A namespace for the time of a test; with `ready` its Secret and claim are there, else the test brings them."""
    stage.run_unchecked("kubectl", "delete", "namespace", name, "--ignore-not-found", "--timeout=60s")
    database = databases.create(stage, name, major, owner=owner)
    api.create("/api/v1/namespaces", manifests.namespace(name))
    made = World(stage, api, name, database)
    try:
        made.apply(manifests.claim(), *([manifests.secret(url=database.url)] if ready else []))
        with made.recorder:
            yield made
    finally:
        # Deployments first: a namespace's end would otherwise wait for what they start again.
        stage.run_unchecked("kubectl", "delete", "namespace", name, "--wait=false")
        with contextlib.suppress(AssertionError):
            databases.drop(database)
