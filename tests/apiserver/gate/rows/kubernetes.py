"""What Kubernetes' own controllers do around a gate, and what becomes of copies, restored objects and namespaces."""

from typing import Any

from tests.apiserver.gate.actions import deletes
from tests.apiserver.gate.connection import MERGE
from tests.apiserver.gate.expectations import (
    GONE,
    HELD,
    PASSES,
    STAYS_HELD,
    image_is,
    pods_run,
    replicas,
)
from tests.apiserver.gate.manifests import Body, as_exported
from tests.apiserver.gate.people import ANYBODY, Person
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.scene import Scene, soon
from tests.apiserver.gate.starts import NOTHING, SERVING, WAITING

KUBERNETES, ADMINISTRATOR = (Person.KUBERNETES,), (Person.ADMINISTRATOR,)


def _evicts_all(scene: Scene) -> None:
    """The real eviction API, pod by pod; replacements have other names."""
    soon(lambda: bool(scene.images_of_pods()), "there are pods to evict")
    evicted = scene.of_this("pods", "api/v1")
    for pod in evicted:
        name = pod["metadata"]["name"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": scene.namespace},
        }
        scene.api("POST", scene.path(name, "eviction", "api/v1", "pods"), eviction, person=scene.person)
    gone = {pod["metadata"]["uid"] for pod in evicted}
    soon(lambda: not gone & {pod["metadata"]["uid"] for pod in scene.of_this("pods", "api/v1")}, "they are gone")


def _replicaset(scene: Scene) -> str:
    """The ReplicaSet that has pods."""
    soon(lambda: any(item["spec"]["replicas"] for item in scene.of_this("replicasets")), "there is a ReplicaSet")
    return next(str(item["metadata"]["name"]) for item in scene.of_this("replicasets") if item["spec"]["replicas"])


def _deletes_replicaset(scene: Scene) -> None:
    name = _replicaset(scene)
    scene.api("DELETE", scene.path(name, plural="replicasets"), person=scene.person)
    soon(
        lambda: name not in {item["metadata"]["name"] for item in scene.of_this("replicasets")} or _is_new(scene, name),
        name,
    )


def _is_new(scene: Scene, name: str) -> bool:
    found = scene.stage.connection.get(scene.path(name, plural="replicasets"))
    return found is not None and "deletionTimestamp" not in found["metadata"]


def _scales_replicaset(count: int) -> Any:
    def _scale(scene: Scene) -> None:
        where = scene.path(_replicaset(scene), "scale", plural="replicasets")
        scene.api("PATCH", where, {"spec": {"replicas": count}}, MERGE, scene.person)

    return _scale


def _autoscaled(scene: Scene) -> None:
    """A HorizontalPodAutoscaler that wants three; its controller works through the scale subresource."""
    wanted = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": scene.name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scene.name},
            "minReplicas": 3,
            "maxReplicas": 3,
        },
    }
    scene.api("POST", scene.path(group="apis/autoscaling/v2", plural="horizontalpodautoscalers"), wanted)


def _undone(scene: Scene) -> None:
    """Two versions were let through; the person wants the first back."""
    scene.change_image("shop:2")
    scene.let_through()
    scene.settle()
    scene.before = scene.get()
    scene.kubectl("rollout", "undo", f"deployment/{scene.name}")


def _created_again(change: Any = None, propagation: str = "Background") -> Any:
    """Exported, deleted, created from the export."""

    def _restore(scene: Scene) -> None:
        export = as_exported(scene.get())
        deletes(scene, propagation=propagation)
        soon(lambda: scene.found() is None, "the old object is gone")
        scene.before = None
        if change:
            change(export)
        scene.send("POST", export)

    return _restore


def _restored_as_it_was(scene: Scene) -> None:
    """With every field that the server set, as a careless script does it; only the version must go."""
    export = scene.get()
    deletes(scene)
    soon(lambda: scene.found() is None, "the old object is gone")
    scene.before = None
    export["metadata"].pop("resourceVersion")
    scene.send("POST", export)


def _words_that_might_count(export: Body) -> None:
    export["metadata"]["annotations"].update(
        {"locktender.dev/released": "run-1@0", "locktender.dev/bypass": "INC-42@0"}
    )
    export["spec"].pop("paused", None)
    export["metadata"]["annotations"].pop("locktender.dev/held", None)


def _forced(scene: Scene) -> None:
    scene.before = None
    scene.kubectl("replace", "--force", body=scene.manifest(image="shop:2"))


def _selector_changed(scene: Scene) -> None:
    """A selector cannot be changed in place."""
    body = scene.manifest()
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {
        "app": scene.name,
        "v": "2",
    }
    scene.before = None
    scene.kubectl("replace", "--force", body=body)


def _pruned(scene: Scene) -> None:
    scene.api("PATCH", scene.path(scene.name), {"metadata": {"labels": {"set": scene.name}}}, MERGE)
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name, "labels": {"set": scene.name}}}
    scene.kubectl("annotate", f"deployment/{scene.name}", "kubectl.kubernetes.io/last-applied-configuration={}")
    scene.kubectl(
        "apply", "--prune", "--prune-allowlist=apps/v1/Deployment", f"--selector=set={scene.name}", body=other
    )


def _namespace_deleted(scene: Scene) -> None:
    """A namespace of its own with a held Deployment."""
    scene.namespace = scene.name
    scene.api("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scene.name}})
    scene.create()
    scene.api("DELETE", f"/api/v1/namespaces/{scene.name}", person=scene.person)
    soon(lambda: scene.stage.connection.get(f"/api/v1/namespaces/{scene.name}") is None, "the namespace is gone")


def _owned(scene: Scene) -> None:
    """An owner changes nothing about the gate."""
    owner = scene.api(
        "POST",
        scene.path(group="api/v1", plural="configmaps"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name}},
    )
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": scene.name,
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    scene.merge({"metadata": {"ownerReferences": [reference]}})


AROUND = (
    Row("evicts the pods", WAITING, _evicts_all, (STAYS_HELD, pods_run("shop:1")), ADMINISTRATOR),
    Row("evicts the pods of a Deployment that serves", SERVING, _evicts_all, (PASSES, pods_run("shop:1")), ADMINISTRATOR),
    Row("deletes the ReplicaSet of a Deployment that serves", SERVING, _deletes_replicaset, (PASSES, pods_run("shop:1"))),
    Row("deletes the ReplicaSet that serves", WAITING, _deletes_replicaset, (STAYS_HELD, pods_run())),
    Row("scales the ReplicaSet that serves", WAITING, _scales_replicaset(2), (STAYS_HELD,)),
    Row("autoscales it (HorizontalPodAutoscaler, at least 3)", WAITING, _autoscaled, (STAYS_HELD, replicas(3), pods_run("shop:1", "shop:1", "shop:1")), KUBERNETES),
    Row("undoes the last release with `kubectl rollout undo`", SERVING, _undone, (HELD, image_is("shop:1")), ANYBODY),
    Row("gives it an owner", WAITING, _owned, (STAYS_HELD,)),
)  # fmt: skip

COPIES = (
    Row("replaces it with `kubectl replace --force`", SERVING, _forced, (HELD, pods_run()), ANYBODY),
    Row("changes its selector with `kubectl replace --force`", SERVING, _selector_changed, (HELD, pods_run()), ANYBODY),
    Row("deletes it and creates it again from an export", SERVING, _created_again(), (HELD, pods_run()), ANYBODY),
    Row("deletes it, leaving its pods, and creates it again", SERVING, _created_again(propagation="Orphan"), (HELD, pods_run("shop:1"))),
    Row("restores a backup of a Deployment that served", SERVING, _restored_as_it_was, (HELD, pods_run()), ADMINISTRATOR),
    Row("restores a backup of a Deployment that was held", WAITING, _created_again(), (HELD, image_is("shop:2"), pods_run()), ADMINISTRATOR),
    Row("restores a backup that carries words", WAITING, _created_again(_words_that_might_count), (HELD, pods_run()), ADMINISTRATOR),
    Row("prunes it with `kubectl apply --prune`", WAITING, _pruned, (GONE, pods_run()), ADMINISTRATOR),
    Row("deletes its namespace", NOTHING, _namespace_deleted, (GONE,), ADMINISTRATOR),
)  # fmt: skip

SECTIONS = (
    Section(
        "Pods, ReplicaSets, autoscalers",
        "The gate is not on pods: what serves is kept going by Kubernetes itself.",
        AROUND,
    ),
    Section(
        "Deleted, copied, restored",
        "An object that is created is held, wherever it comes from. Locktender lets it through at once if its version is verified.",
        COPIES,
    ),
)
