"""Deployments of the table, and the writes that open a gate."""

from typing import Any

Body = dict[str, Any]

GATE = "locktender.dev/gate"
HELD = "locktender.dev/held"
RELEASED = "locktender.dev/released"
BYPASS = "locktender.dev/bypass"
KEY = "locktender.dev/key"
SERVER_FIELDS = ("resourceVersion", "uid", "generation", "managedFields", "creationTimestamp")


def deployment(
    name: str,
    *,
    image: str = "shop:1",
    init: str | None = None,
    key: str | None = None,
    env: str | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    containers: list[Body] | None = None,
    pod: Body | None = None,
    **spec: Any,
) -> Body:
    """A Deployment with one container `web` and the label of the gate `shop`, unless told otherwise."""
    container: Body = {"name": "web", "image": image, **({"env": [{"name": "COLOR", "value": env}]} if env else {})}
    pods: Body = {"containers": containers or [container], **(pod or {})}
    if init:
        pods["initContainers"] = [{"name": "init", "image": init}]
    template: Body = {"labels": {"app": name}, **({"annotations": {KEY: key}} if key else {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {GATE: "shop"} if labels is None else labels,
            "annotations": annotations or {},
        },
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": template, "spec": pods}, **spec},
    }


def images(*names: str, kind: str = "containers") -> Body:
    """A merge patch that replaces the containers."""
    first = "web" if kind == "containers" else "init"
    listed = [{"name": first if place == 0 else f"{first}-{place}", "image": name} for place, name in enumerate(names)]
    return {"spec": {"template": {"spec": {kind: listed}}}}


def labelled(gate: str | None) -> Body:
    """A merge patch of the gate's label."""
    return {"metadata": {"labels": {GATE: gate}}}


def keyed(key: str | None) -> Body:
    """A merge patch of the template's key."""
    return {"spec": {"template": {"metadata": {"annotations": {KEY: key}}}}}


def open_gate(**annotations: str) -> Body:
    """A merge patch that lets a Deployment go, if the gate agrees."""
    named = {f"locktender.dev/{name}": value for name, value in annotations.items()}
    return {"spec": {"paused": None}, "metadata": {"annotations": {HELD: None, **named}}}


def release(word: str, *image: str) -> list[Body]:
    """Locktender's own patch, guarded by the images that it opens for."""
    return [
        *(
            {"op": "test", "path": f"/spec/template/spec/containers/{place}/image", "value": name}
            for place, name in enumerate(image)
        ),
        {"op": "remove", "path": "/spec/paused"},
        {"op": "remove", "path": "/metadata/annotations/locktender.dev~1held"},
        {"op": "add", "path": "/metadata/annotations/locktender.dev~1released", "value": word},
    ]


def key_of(template: Body) -> tuple[str, ...]:
    """K: what the gate watches in a pod template."""
    pod = template["spec"]
    listed = [item.get("image", "") for kind in ("initContainers", "containers") for item in pod.get(kind, [])]
    return (*listed, template["metadata"].get("annotations", {}).get(KEY, ""))


def held(item: Body) -> bool:
    """Held, or neither paused nor marked; a test that meets one without the other fails here."""
    paused, marked = paused_and_marked(item)
    assert paused == marked, f"paused: {paused}, marked: {marked}"
    return paused


def paused_and_marked(item: Body) -> tuple[bool, bool]:
    """`spec.paused`, and whether the gate's mark is there."""
    return bool(item["spec"].get("paused", False)), item["metadata"].get("annotations", {}).get(HELD) == "true"


def as_exported(item: Body) -> Body:
    """As `kubectl get -o yaml` gives it, without the fields that the server would refuse or set itself."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in SERVER_FIELDS}
    return {**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata}
