"""The Deployments that somebody comes upon."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.apiserver.gate.manifests import key_of
from tests.apiserver.gate.scene import Scene


def _nothing(_: Scene, __: dict[str, Any]) -> None:
    """There is no Deployment of that name."""


def _new(scene: Scene, fields: dict[str, Any]) -> None:
    scene.create(**fields)


def _serving(scene: Scene, fields: dict[str, Any]) -> None:
    scene.create(**fields)
    scene.let_through()
    scene.settle()


def _waiting(scene: Scene, fields: dict[str, Any]) -> None:
    _serving(scene, fields)
    scene.change_image()


def _outside(scene: Scene, fields: dict[str, Any]) -> None:
    scene.create(**{"labels": {}, **fields})
    scene.settle()
    scene.verified.add(key_of(scene.get()["spec"]["template"]))


def _applied(*how: str) -> Callable[[Scene, dict[str, Any]], None]:
    def _prepare(scene: Scene, fields: dict[str, Any]) -> None:
        scene.kubectl("apply", *how, body=scene.manifest(**fields))
        scene.let_through()
        scene.settle()

    return _prepare


@dataclass(frozen=True)
class Start:
    """`words` go into the documentation; `fields` are those of manifests.deployment."""

    words: str
    prepare: Callable[[Scene, dict[str, Any]], None]
    fields: dict[str, Any] = field(default_factory=dict)

    def of(self, **fields: Any) -> "Start":
        """The same with another manifest."""
        return replace(self, fields={**self.fields, **fields})


NOTHING = Start("no Deployment yet", _nothing)
NEW = Start("a new Deployment, held", _new)
SERVING = Start("a Deployment that serves", _serving)
WAITING = Start("a Deployment that serves, held at its next version", _waiting)
OUTSIDE = Start("a Deployment without the label", _outside)
APPLIED = Start("a Deployment that serves, applied by kubectl", _applied())
APPLIED_SERVER_SIDE = Start("a Deployment that serves, applied server-side", _applied("--server-side"))
