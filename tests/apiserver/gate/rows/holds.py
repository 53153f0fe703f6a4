"""A hold lasts, whatever people and their tools do to it."""

from tests.apiserver.gate.actions import (
    applies,
    applies_server_side,
    deletes,
    kubectl,
    merges,
    patches,
    patches_strategically,
    replaces,
    updates,
)
from tests.apiserver.gate.expectations import (
    GONE,
    NOTHING_WRITTEN,
    SHOWN_AS_HELD,
    STAYS_HELD,
    image_is,
    pods_run,
    refused,
    replicas,
)
from tests.apiserver.gate.manifests import HELD as MARK
from tests.apiserver.gate.manifests import Body, images, labelled, open_gate
from tests.apiserver.gate.people import ANYBODY, Person
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import NEW, WAITING

LEAVING = "cannot leave its gate: keep the label locktender.dev/gate: shop until the migration has succeeded"
MARK_PATH = "/metadata/annotations/locktender.dev~1held"


def _opened(item: Body) -> None:
    item["spec"].pop("paused")
    item["metadata"]["annotations"].pop(MARK)


def _scales(scene: Scene) -> None:
    scene.merge({"spec": {"replicas": 3}}, sub="scale")


def _applied_twice(scene: Scene) -> None:
    """The second apply of a manifest that says `paused: false` writes nothing."""
    applies_server_side(paused=False)(scene)
    scene.settle()
    scene.before = scene.get()
    applies_server_side(paused=False)(scene)


def _deletes_a_finalized(scene: Scene) -> None:
    scene.api(
        "PATCH",
        scene.path(scene.name),
        {"metadata": {"finalizers": ["shop.example/wait"]}},
        "application/merge-patch+json",
    )
    deletes(scene)
    scene.merge({"metadata": {"finalizers": None}})


def _undone_third(scene: Scene) -> None:
    """Two versions were let through, the third is held."""
    scene.let_through()
    scene.settle()
    scene.change_image("shop:3")
    scene.before = scene.get()
    scene.kubectl("rollout", "undo", f"deployment/{scene.name}")


WRITES = (
    Row("resumes it with `kubectl rollout resume`", NEW, kubectl("rollout", "resume", "deployment/{name}"), (STAYS_HELD, NOTHING_WRITTEN), ANYBODY),
    Row("resumes the next version with `kubectl rollout resume`", WAITING, kubectl("rollout", "resume", "deployment/{name}"), (STAYS_HELD, pods_run("shop:1")), ANYBODY),
    Row("pauses it with `kubectl rollout pause`", NEW, kubectl("rollout", "pause", "deployment/{name}"), (refused("is already paused", by="kubectl"),)),
    Row("undoes it with `kubectl rollout undo`, having run one version", WAITING, kubectl("rollout", "undo", "deployment/{name}"), (refused("no rollout history found", by="kubectl"),), ANYBODY),
    Row("undoes it with `kubectl rollout undo`", WAITING, _undone_third, (refused("cannot rollback a paused deployment", by="kubectl"),), ANYBODY),
    Row("restarts it with `kubectl rollout restart`", WAITING, kubectl("rollout", "restart", "deployment/{name}"), (refused("can't restart paused deployment", by="kubectl"),), ANYBODY),
    Row("removes `spec.paused`", NEW, merges({"spec": {"paused": None}}), (STAYS_HELD,), ANYBODY),
    Row("removes the mark", NEW, merges({"metadata": {"annotations": {MARK: None}}}), (STAYS_HELD,), ANYBODY),
    Row("removes all annotations", NEW, merges({"metadata": {"annotations": None}}), (STAYS_HELD,), ANYBODY),
    Row("sets the mark to `false`", NEW, merges({"metadata": {"annotations": {MARK: "false"}}}), (STAYS_HELD,), ANYBODY),
    Row("removes the pause and the mark", NEW, (merges(open_gate()), patches_strategically(open_gate()), patches({"op": "remove", "path": "/spec/paused"}, {"op": "remove", "path": MARK_PATH}), updates(_opened)), (STAYS_HELD,), (*ANYBODY, Person.ON_CALL, Person.RELEASER)),
    Row("removes the pause and the mark without a word", NEW, (merges(open_gate()), patches({"op": "remove", "path": "/spec/paused"}, {"op": "remove", "path": MARK_PATH})), (STAYS_HELD,), (Person.OPERATOR,)),
    Row("removes both by a dry run", NEW, lambda scene: scene.merge(open_gate(), query={"dryRun": "All"}), (SHOWN_AS_HELD, STAYS_HELD), ANYBODY),
    Row("replaces it by its manifest", NEW, (replaces(), replaces(paused=False)), (STAYS_HELD,), ANYBODY),
    Row("replaces it with `kubectl replace`", NEW, lambda scene: scene.kubectl("replace", body=scene.manifest()), (STAYS_HELD,), ANYBODY),
    Row("replaces it by a manifest with another image", NEW, replaces(image="shop:2"), (STAYS_HELD, image_is("shop:2")), ANYBODY),
    Row("applies its manifest", NEW, applies(), (STAYS_HELD,), ANYBODY),
    Row("applies its manifest with `paused: false`, again and again", NEW, _applied_twice, (STAYS_HELD, NOTHING_WRITTEN), ANYBODY),
    Row("edits the pause away with `kubectl edit`", NEW, kubectl("edit", "deployment/{name}", KUBE_EDITOR="sed -i /paused:/d"), (STAYS_HELD,)),
    Row("goes back to the image that serves", WAITING, merges(images("shop:1")), (STAYS_HELD, pods_run("shop:1"))),
    Row("goes on to a third image", WAITING, merges(images("shop:3")), (STAYS_HELD, pods_run("shop:1"))),
    Row("scales it with `kubectl scale`", WAITING, kubectl("scale", "deployment/{name}", "--replicas=3"), (STAYS_HELD, replicas(3), pods_run("shop:1", "shop:1", "shop:1")), ANYBODY),
    Row("scales it by the scale subresource", WAITING, _scales, (STAYS_HELD, replicas(3), pods_run("shop:1", "shop:1", "shop:1"))),
    Row("changes a variable", WAITING, kubectl("set", "env", "deployment/{name}", "COLOR=red"), (STAYS_HELD, pods_run("shop:1"))),
    Row("deletes it", WAITING, deletes, (GONE, pods_run())),
    Row("deletes it, and a finalizer is removed afterwards", NEW, _deletes_a_finalized, (GONE,)),
)  # fmt: skip

LABELS = (
    Row("removes the label", NEW, merges(labelled(None)), (refused(LEAVING),), ANYBODY),
    Row("removes all labels", NEW, merges({"metadata": {"labels": None}}), (refused(LEAVING),), ANYBODY),
    Row("names another gate", NEW, merges(labelled("other")), (refused(LEAVING),), ANYBODY),
    Row("empties the label", NEW, merges(labelled("")), (refused(LEAVING),), ANYBODY),
    Row("removes the label, the pause and the mark", NEW, merges({**open_gate(), "metadata": {**open_gate()["metadata"], **labelled(None)["metadata"]}}), (refused(LEAVING),), ANYBODY),
    Row("replaces it by a manifest without the label", WAITING, replaces(labels={}), (refused(LEAVING),), ANYBODY),
)  # fmt: skip

SECTIONS = (
    Section(
        "While it is held",
        "Every verb on Deployments is not enough, and nothing else than the hold is kept back.",
        WRITES,
    ),
    Section("The label while it is held", "A Deployment that is held cannot leave its gate.", LABELS),
)
