"""What people do, as small functions of a scene. `{name}` in an argument of kubectl is the Deployment's name."""

from collections.abc import Callable
from typing import Any

from tests.apiserver.gate.connection import APPLY, JSON_PATCH, STRATEGIC
from tests.apiserver.gate.manifests import Body, as_exported
from tests.apiserver.gate.row import Action
from tests.apiserver.gate.scene import Scene, again_within

CONFLICT_SECONDS = 10.0


def kubectl(*arguments: str, **environment: str) -> Action:
    """A kubectl command."""
    return lambda scene: scene.kubectl(
        *(argument.replace("{name}", scene.name) for argument in arguments), environment=environment
    )


def merges(body: Body) -> Action:
    """A JSON merge patch."""
    return lambda scene: scene.merge(body)


def patches(*operations: Body) -> Action:
    """A JSON patch."""
    return lambda scene: scene.send("PATCH", list(operations), content=JSON_PATCH)


def patches_strategically(body: Body) -> Action:
    """A strategic merge patch, as kubectl's client-side apply and set send it."""
    return lambda scene: scene.send("PATCH", body, content=STRATEGIC)


def creates(**fields: Any) -> Action:
    """Create it from a manifest."""
    return lambda scene: scene.send("POST", scene.manifest(**fields))


def replaces(**fields: Any) -> Action:
    """Replace it by a manifest (PUT), as `kubectl replace` does."""
    return lambda scene: scene.send("PUT", scene.manifest(**fields))


def applies(**fields: Any) -> Action:
    """`kubectl apply` of a manifest, client-side."""
    return lambda scene: scene.kubectl("apply", body=scene.manifest(**fields))


def applies_server_side(*, manager: str = "kubectl", **fields: Any) -> Action:
    """A server-side apply that takes conflicts over, as GitOps controllers do."""
    query = {"fieldManager": manager, "force": "true"}
    return lambda scene: scene.send("PATCH", scene.manifest(**fields), content=APPLY, query=query)


def updates(change: Callable[[Body], None]) -> Action:
    """Read, change, write back, as `kubectl edit` and most programs do."""

    def _once(scene: Scene) -> None:
        item = scene.get()
        change(item)
        scene.send("PUT", item)

    return lambda scene: again_within(CONFLICT_SECONDS, lambda: _once(scene))


def deletes(scene: Scene, *, propagation: str = "Background") -> None:
    """Delete it."""
    scene.send("DELETE", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation})


def one_after_the_other(*acts: Action) -> Action:
    """Several steps of one undertaking."""

    def _all(scene: Scene) -> None:
        for act in acts:
            act(scene)

    return _all


def exported(scene: Scene) -> Body:
    """What a backup of the cluster keeps of it."""
    return as_exported(scene.get())
