"""The gate's own marks, written by somebody else; and the side doors of the API."""

from tests.apiserver.gate.actions import creates, merges
from tests.apiserver.gate.connection import MERGE
from tests.apiserver.gate.expectations import HELD, PASSES, STAYS_HELD, annotated, image_is, refused, replicas
from tests.apiserver.gate.manifests import BYPASS, RELEASED, Body, images, open_gate
from tests.apiserver.gate.manifests import HELD as MARK
from tests.apiserver.gate.people import ANYBODY, Person
from tests.apiserver.gate.row import Action, Row, Section
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import NEW, NOTHING, SERVING, WAITING

FORGED = "only the gate sets the annotation locktender.dev/held"
STATUS = "the annotations of the gate do not change through the status"
ADMINISTRATOR = (Person.ADMINISTRATOR,)


def _status(body: Body) -> Action:
    return lambda scene: scene.send("PATCH", body, content=MERGE, sub="status")


def _word_by_status(annotation: str) -> Action:
    def _write(scene: Scene) -> None:
        named = {"metadata": {"annotations": {annotation: scene.word("run-1")}}}
        scene.send("PATCH", named, content=MERGE, sub="status")

    return _write


def _status_report(item: Body) -> None:
    item["spec"]["template"]["spec"]["containers"][0]["image"] = "shop:9"


def _image_by_status(scene: Scene) -> None:
    item = scene.get()
    _status_report(item)
    scene.send("PUT", item, sub="status")


def _image_by_scale(scene: Scene) -> None:
    scene.merge({"spec": {"replicas": 2, **images("shop:2")["spec"]}}, sub="scale")


MARKS = (
    Row("sets the mark and the pause", SERVING, merges({"spec": {"paused": True}, "metadata": {"annotations": {MARK: "true"}}}), (PASSES, annotated(MARK, None)), ANYBODY),
    Row("sets the mark alone", SERVING, merges({"metadata": {"annotations": {MARK: "true"}}}), (refused(FORGED),), ANYBODY),
    Row("creates it with the mark", NOTHING, creates(annotations={MARK: "true"}), (HELD,), ANYBODY),
    Row("writes a word of release in advance", NEW, merges({"metadata": {"annotations": {RELEASED: "run-1@2"}}}), (STAYS_HELD,), ANYBODY),
    Row("writes a word of bypass in advance", NEW, merges({"metadata": {"annotations": {BYPASS: "INC-42@2"}}}), (STAYS_HELD,), (Person.EDITOR, Person.ON_CALL)),
    Row("removes the words of former releases", SERVING, merges({"metadata": {"annotations": {RELEASED: None, BYPASS: None}}}), (PASSES,)),
)  # fmt: skip

SIDE_DOORS = (
    Row("removes the mark through the status", WAITING, (_status({"metadata": {"annotations": {MARK: None}}}), _status({"metadata": {"annotations": {MARK: "false"}}}), _status({"metadata": {"annotations": None}})), (refused(STATUS),), ADMINISTRATOR),
    Row("sets the mark through the status", SERVING, _status({"metadata": {"annotations": {MARK: "true"}}}), (refused(STATUS),), ADMINISTRATOR),
    Row("writes a word through the status", NEW, (_word_by_status(RELEASED), _word_by_status(BYPASS)), (refused(STATUS),), ADMINISTRATOR),
    Row("removes the pause through the status", WAITING, _status(open_gate()), (refused(STATUS),), ADMINISTRATOR),
    Row("sets another image through the status", SERVING, _image_by_status, (PASSES, image_is("shop:1")), ADMINISTRATOR),
    Row("sets another annotation through the status, as Kubernetes does", WAITING, _status({"metadata": {"annotations": {"note": "seen"}}}), (STAYS_HELD, annotated("note", "seen")), ADMINISTRATOR),
    Row("sets another image through the scale subresource", SERVING, _image_by_scale, (PASSES, image_is("shop:1"), replicas(2)), ANYBODY),
)  # fmt: skip

SECTIONS = (
    Section("Forged marks", "The annotations are the gate's.", MARKS),
    Section("Side doors", "Other ways to write a Deployment.", SIDE_DOORS),
)
