"""What the gate does not cover. Each row fails the day it is covered, so this list is as true as the others."""

from tests.apiserver.gate.actions import creates, deletes
from tests.apiserver.gate.connection import MERGE
from tests.apiserver.gate.expectations import NOTHING_CREATED, PASSES, PASSES_OUTSIDE, STAYS_HELD, image_is, pods_run
from tests.apiserver.gate.manifests import Body, images
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.rows.kubernetes import _replicaset
from tests.apiserver.gate.scene import Scene, soon
from tests.apiserver.gate.starts import NOTHING, SERVING, WAITING


def _image_volume(reference: str) -> Body:
    volume = {"name": "assets", "image": {"reference": reference}}
    return {"volumes": [volume]}


def _other_volume(scene: Scene) -> None:
    scene.merge({"spec": {"template": {"spec": _image_volume("assets:2")}}})


def _edits_replicaset(scene: Scene) -> None:
    name = _replicaset(scene)
    scene.api("PATCH", scene.path(name, plural="replicasets"), images("shop:2"), MERGE, scene.person)


def _edits_pod(scene: Scene) -> None:
    soon(lambda: bool(scene.images_of_pods()), "there is a pod")
    pod = scene.of_this("pods", "api/v1")[0]["metadata"]["name"]
    body = {"spec": {"containers": [{"name": "web", "image": "shop:2"}]}}
    scene.api(
        "PATCH",
        scene.path(pod, group="api/v1", plural="pods"),
        body,
        "application/strategic-merge-patch+json",
        scene.person,
    )


def _creates_pod(scene: Scene) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": scene.name, "labels": {"app": scene.name, "locktender.dev/gate": "shop"}},
        "spec": {"containers": [{"name": "web", "image": "shop:2"}]},
    }
    scene.api("POST", scene.path(group="api/v1", plural="pods"), body, person=scene.person)


def _creates_replicaset(scene: Scene) -> None:
    deployment = scene.manifest(image="shop:2", replicas=1, labels={"app": scene.name, "locktender.dev/gate": "shop"})
    scene.api("POST", scene.path(plural="replicasets"), {**deployment, "kind": "ReplicaSet"}, person=scene.person)


def _without_the_label(scene: Scene) -> None:
    deletes(scene)
    soon(lambda: scene.found() is None, "the old object is gone")
    scene.before = None
    creates(labels={}, image="shop:2")(scene)


ROWS = (
    Row("deletes it and creates it again without the label", SERVING, _without_the_label, (PASSES_OUTSIDE,)),
    Row("sets another image of a volume (`volumes[].image`)", SERVING.of(pod=_image_volume("assets:1")), _other_volume, (PASSES,)),
    Row("sets another image in its ReplicaSet", SERVING, _edits_replicaset, (PASSES, image_is("shop:1")), covered=False),
    Row("sets another image in its pod", WAITING, _edits_pod, (STAYS_HELD, pods_run("shop:2"))),
    Row("creates a ReplicaSet", NOTHING, _creates_replicaset, (NOTHING_CREATED, pods_run("shop:2")), covered=False),
    Row("creates a pod", NOTHING, _creates_pod, (NOTHING_CREATED, pods_run("shop:2"))),
)  # fmt: skip

SECTIONS = (
    Section(
        "What the gate does not cover",
        "The gate watches Deployments. Who may write ReplicaSets or pods, or delete the Deployment, can start any image; give those rights to few.",
        ROWS,
    ),
)
