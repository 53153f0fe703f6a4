"""What is no new version: the gate is not in its way."""

from tests.apiserver.gate.actions import (
    applies,
    applies_server_side,
    creates,
    kubectl,
    merges,
    one_after_the_other,
    updates,
)
from tests.apiserver.gate.expectations import NOTHING_WRITTEN, OWN_PAUSE, PASSES, PASSES_OUTSIDE, refused, replicas
from tests.apiserver.gate.manifests import GATE, Body, images, labelled
from tests.apiserver.gate.people import ANYBODY
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import APPLIED, APPLIED_SERVER_SIDE, NOTHING, OUTSIDE, SERVING


def _renamed(item: Body) -> None:
    item["spec"]["template"]["spec"]["containers"][0]["name"] = "app"


def _colored(item: Body) -> None:
    item["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "COLOR", "value": "red"}]


def _scales(scene: Scene) -> None:
    scene.merge({"spec": {"replicas": 3}}, sub="scale")


ROWS = (
    Row("changes a variable", SERVING, kubectl("set", "env", "deployment/{name}", "COLOR=red"), (PASSES,), ANYBODY),
    Row("changes a variable by reading and writing back", SERVING, updates(_colored), (PASSES,)),
    Row("gives a container another name", SERVING, updates(_renamed), (PASSES,)),
    Row("restarts it with `kubectl rollout restart`", SERVING, kubectl("rollout", "restart", "deployment/{name}"), (PASSES,), ANYBODY),
    Row("scales it with `kubectl scale`", SERVING, kubectl("scale", "deployment/{name}", "--replicas=3"), (PASSES, replicas(3))),
    Row("scales it by the scale subresource", SERVING, _scales, (PASSES, replicas(3))),
    Row("scales it in the Deployment", SERVING, merges({"spec": {"replicas": 3}}), (PASSES, replicas(3))),
    Row("pauses it with `kubectl rollout pause`", SERVING, kubectl("rollout", "pause", "deployment/{name}"), (OWN_PAUSE,), ANYBODY),
    Row("resumes what they paused themselves", SERVING, one_after_the_other(kubectl("rollout", "pause", "deployment/{name}"), kubectl("rollout", "resume", "deployment/{name}")), (PASSES,), ANYBODY),
    Row("applies the same manifest again", APPLIED, applies(), (PASSES, NOTHING_WRITTEN)),
    Row("applies the same manifest again, server-side", APPLIED_SERVER_SIDE, lambda scene: scene.kubectl("apply", "--server-side", body=scene.manifest()), (PASSES, NOTHING_WRITTEN)),
    Row("applies a manifest that says `paused: false`, again and again", APPLIED_SERVER_SIDE, (applies_server_side(paused=False), applies_server_side(paused=False)), (PASSES,)),
    Row("asks `kubectl diff` about the same manifest", APPLIED, lambda scene: scene.kubectl("diff", body=scene.manifest()), (PASSES, NOTHING_WRITTEN)),
    Row("asks `kubectl diff --server-side` about the same manifest", APPLIED_SERVER_SIDE, lambda scene: scene.kubectl("diff", "--server-side", body=scene.manifest()), (PASSES, NOTHING_WRITTEN)),
    Row("adds the label to a Deployment that runs", OUTSIDE, merges(labelled("shop")), (PASSES_OUTSIDE,)),
    Row("names another gate", SERVING, merges(labelled("other")), (PASSES,)),
    Row("removes the label, and sets another image afterwards", SERVING, one_after_the_other(merges(labelled(None)), merges(images("shop:2"))), (PASSES_OUTSIDE,)),
    Row("sets another image of a Deployment without the label", OUTSIDE, merges(images("shop:2")), (PASSES_OUTSIDE,)),
    Row("creates a Deployment without the label", NOTHING, creates(labels={}), (PASSES_OUTSIDE,)),
    Row("creates a Deployment with an empty label", NOTHING, creates(labels={GATE: ""}), (refused("the label locktender.dev/gate is empty"),), ANYBODY),
    Row("empties the label", SERVING, merges(labelled("")), (refused("the label locktender.dev/gate is empty"),), ANYBODY),
)  # fmt: skip

SECTIONS = (Section("What is no new version", "Same images, same key: nothing waits.", ROWS),)
