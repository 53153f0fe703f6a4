"""A row of the behaviour table: a sentence, a person, a Deployment, what is done, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.apiserver.gate.connection import Refusal
from tests.apiserver.gate.expectations import Expectation
from tests.apiserver.gate.manifests import key_of
from tests.apiserver.gate.people import Person
from tests.apiserver.gate.scene import Scene, Stage
from tests.apiserver.gate.starts import Start

Action = Callable[[Scene], Any]


@dataclass(frozen=True)
class Row:
    """`does` completes "somebody who may edit ...". Several `act` are tried one after the other; each has the same outcome."""

    does: str
    on: Start
    act: Action | tuple[Action, ...]
    then: tuple[Expectation, ...]
    by: tuple[Person, ...] = (Person.EDITOR,)
    covered: bool = True  # False: an image may start that was not let through, and the documentation says so

    def play(self, stage: Stage, person: Person) -> None:
        """Do it on a real API server and check what comes of it."""
        scene = Scene(stage, person)
        self.on.prepare(scene, self.on.fields)
        scene.settle()
        for act in self.act if isinstance(self.act, tuple) else (self.act,):
            scene.before, scene.refusal = scene.found(), None
            try:
                act(scene)
            except Refusal as refusal:
                if not any(expected.refuses for expected in self.then):
                    raise
                scene.refusal = str(refusal)
            for expected in self.then:
                expected.check(scene)
        self._nothing_unverified_runs(scene)

    def _nothing_unverified_runs(self, scene: Scene) -> None:
        """No ReplicaSet of a key that nobody let through, whatever was done: this is what the gate is for."""
        now = scene.found()
        if now is not None and any(expected.opens for expected in self.then):
            scene.verified.add(key_of(now["spec"]["template"]))
        scene.settle()
        running = {key_of(item["spec"]["template"]) for item in scene.of_this("replicasets")}
        if self.covered:
            assert running <= scene.verified
        else:
            assert not running <= scene.verified, "this is covered after all"


@dataclass(frozen=True)
class Section:
    """Rows that belong together. `words` is the sentence under the heading."""

    title: str
    words: str
    rows: tuple[Row, ...] = field(repr=False)
