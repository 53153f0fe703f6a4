"""What is a new version, whoever brings it and however."""

from typing import Any

from tests.apiserver.gate.actions import (
    applies,
    applies_server_side,
    creates,
    kubectl,
    merges,
    patches,
    patches_strategically,
    replaces,
    updates,
)
from tests.apiserver.gate.expectations import (
    HELD,
    NOTHING_CREATED,
    NOTHING_WRITTEN,
    PASSES,
    SHOWN_AS_HELD,
    image_is,
    pods_run,
    refused,
)
from tests.apiserver.gate.manifests import Body, images, keyed, labelled
from tests.apiserver.gate.people import ANYBODY, Person
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import APPLIED, APPLIED_SERVER_SIDE, NOTHING, OUTSIDE, SERVING

PEOPLE = (*ANYBODY, Person.ON_CALL, Person.RELEASER)
DIGEST = "shop@sha256:" + "ab" * 32
TWO = [{"name": "web", "image": "shop:1"}, {"name": "side", "image": "side:1"}]
SIDECAR = {"initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]}


def _creates_by_generated_name(scene: Scene) -> None:
    body = scene.manifest()
    body["metadata"]["generateName"] = f"{body['metadata'].pop('name')}-"
    scene.send("POST", body)
    scene.name = scene.answer["metadata"]["name"]


def _without(*fields: str) -> Any:
    def _create(scene: Scene) -> None:
        body = scene.manifest()
        for name in fields:
            del body["metadata"][name]
        scene.send("POST", body)

    return _create


def _turned_round(item: Body) -> None:
    item["spec"]["template"]["spec"]["containers"].reverse()


def _sidecar_renewed(item: Body) -> None:
    item["spec"]["template"]["spec"]["initContainers"][0]["image"] = "proxy:2"


def _many(count: int, version: int) -> list[Body]:
    """Names as long as real ones with a digest."""
    return [
        {
            "name": f"c{number}",
            "image": f"registry.example/team/product/service-{number}:{version}.0.0@sha256:{'ab' * 32}",
        }
        for number in range(count)
    ]


def _one_of_many_renewed(item: Body) -> None:
    item["spec"]["template"]["spec"]["containers"][-1]["image"] = "shop:2"


def _same_variable_twice(scene: Scene) -> None:
    body = scene.manifest(env="red")
    body["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "COLOR", "value": "blue"})
    scene.send("POST", body)
    kept = scene.get()["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["value"] for item in kept] == ["red", "blue"]


def _without_an_image(scene: Scene) -> None:
    body = scene.manifest()
    del body["spec"]["template"]["spec"]["containers"][0]["image"]
    scene.send("POST", body)


CREATED = (
    Row("creates it", NOTHING, creates(), (HELD, pods_run()), PEOPLE),
    Row("creates it without any annotation", NOTHING, _without("annotations"), (HELD,)),
    Row("creates it by generateName", NOTHING, _creates_by_generated_name, (HELD,)),
    Row("creates it with `kubectl create`", NOTHING, lambda scene: scene.kubectl("create", body=scene.manifest()), (HELD,)),
    Row("creates it with `kubectl apply`", NOTHING, applies(), (HELD,)),
    Row("creates it with `kubectl apply --server-side`", NOTHING, lambda scene: scene.kubectl("apply", "--server-side", body=scene.manifest()), (HELD,)),
    Row("creates it paused", NOTHING, creates(paused=True), (HELD,)),
    Row("creates it with `paused: false`", NOTHING, creates(paused=False), (HELD,)),
    Row("creates it without replicas", NOTHING, creates(replicas=0), (HELD,)),
    Row("creates it with a variable that is there twice", NOTHING, _same_variable_twice, (HELD,)),
    Row("creates it with 200 containers", NOTHING, creates(containers=_many(200, 1)), (HELD,)),
    Row("creates it without an image", NOTHING, _without_an_image, (refused("image: Required value", by="Kubernetes"),)),
    Row("creates it by a dry run", NOTHING, lambda scene: scene.send("POST", scene.manifest(), query={"dryRun": "All"}), (SHOWN_AS_HELD, NOTHING_CREATED)),
)  # fmt: skip

CHANGED = (
    Row("sets another image", SERVING, merges(images("shop:2")), (HELD, pods_run("shop:1")), (*PEOPLE, Person.OPERATOR)),
    Row("sets the image of the same version by its digest", SERVING, merges(images(DIGEST)), (HELD,)),
    Row("sets another image with `kubectl set image`", SERVING, kubectl("set", "image", "deployment/{name}", "web=shop:2"), (HELD,)),
    Row("sets another image by a JSON patch", SERVING, patches({"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop:2"}), (HELD,)),
    Row("sets another image by a strategic merge patch", SERVING, patches_strategically(images("shop:2")), (HELD,)),
    Row("sets another image by a server-side apply of that field alone", SERVING, applies_server_side(manager="bot", image="shop:2"), (HELD,)),
    Row("applies a manifest with another image", APPLIED, applies(image="shop:2"), (HELD,)),
    Row("applies a manifest with another image, server-side", APPLIED_SERVER_SIDE, lambda scene: scene.kubectl("apply", "--server-side", body=scene.manifest(image="shop:2")), (HELD,)),
    Row("replaces it by a manifest with another image", SERVING, replaces(image="shop:2"), (HELD,), ANYBODY),
    Row("replaces it with `kubectl replace`", SERVING, lambda scene: scene.kubectl("replace", body=scene.manifest(image="shop:2")), (HELD,)),
    Row("edits the image with `kubectl edit`", SERVING, kubectl("edit", "deployment/{name}", KUBE_EDITOR="sed -i s/shop:1/shop:2/"), (HELD,)),
    Row("sets another image and `paused: false` in one write", SERVING, merges({"spec": {"paused": False, **images("shop:2")["spec"]}}), (HELD,)),
    Row("sets another image of a Deployment that they paused", SERVING, lambda scene: (scene.merge({"spec": {"paused": True}}), scene.merge(images("shop:2"))), (HELD,)),
    Row("adds a container", SERVING, merges(images("shop:1", "side:1")), (HELD,)),
    Row("removes a container", SERVING.of(containers=TWO), merges(images("shop:1")), (HELD,)),
    Row("changes the order of containers", SERVING.of(containers=TWO), updates(_turned_round), (HELD,)),
    Row("sets another image of the last of 200 containers", SERVING.of(containers=_many(200, 1)), updates(_one_of_many_renewed), (HELD,)),
    Row("adds an init container", SERVING, merges(images("init:1", kind="initContainers")), (HELD,)),
    Row("sets another image of an init container", SERVING.of(init="init:1"), merges(images("init:2", kind="initContainers")), (HELD,)),
    Row("removes the init containers", SERVING.of(init="init:1"), merges({"spec": {"template": {"spec": {"initContainers": None}}}}), (HELD,)),
    Row("sets another image of a sidecar", SERVING.of(pod=SIDECAR), updates(_sidecar_renewed), (HELD,)),
    Row("adds the key", SERVING, merges(keyed("1.1")), (HELD,)),
    Row("sets another key", SERVING.of(key="1.0"), merges(keyed("1.1")), (HELD,)),
    Row("removes the key", SERVING.of(key="1.0"), merges(keyed(None)), (HELD,)),
    Row("adds the label together with another image", OUTSIDE, merges({**labelled("shop"), **images("shop:2")}), (HELD,)),
    Row("names another gate together with another image", SERVING, merges({**labelled("other"), **images("shop:2")}), (HELD,)),
    Row("sets another image by a dry run", SERVING, lambda scene: scene.merge(images("shop:2"), query={"dryRun": "All"}), (SHOWN_AS_HELD,)),
    Row("sets another image with `--dry-run=server`", SERVING, kubectl("set", "image", "deployment/{name}", "web=shop:2", "--dry-run=server"), (PASSES, NOTHING_WRITTEN, image_is("shop:1"))),
    Row("sets another image with `--dry-run=client`", SERVING, kubectl("set", "image", "deployment/{name}", "web=shop:2", "--dry-run=client"), (PASSES, NOTHING_WRITTEN, image_is("shop:1"))),
)  # fmt: skip

SECTIONS = (
    Section("A new Deployment", "Nobody creates a Deployment that starts, whatever rights they have.", CREATED),
    Section("A new version", "The version that runs goes on serving.", CHANGED),
)
