"""Who opens a gate, and by which word."""

from typing import Any

from tests.apiserver.gate.actions import merges
from tests.apiserver.gate.connection import JSON_PATCH
from tests.apiserver.gate.expectations import HELD, LET_THROUGH, STAYS_HELD, annotated, refused
from tests.apiserver.gate.manifests import BYPASS, RELEASED, Body, as_exported, images, labelled, open_gate, release
from tests.apiserver.gate.people import Person
from tests.apiserver.gate.row import Action, Row, Section
from tests.apiserver.gate.rows.holds import LEAVING
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import NEW, NOTHING, SERVING, WAITING

OPERATOR, RELEASER, ON_CALL, EDITOR = (Person.OPERATOR,), (Person.RELEASER,), (Person.ON_CALL,), (Person.EDITOR,)
MAY_RELEASE = (Person.OPERATOR, Person.RELEASER, Person.ADMINISTRATOR)
MAY_RELEASE_AND_WRITE = (Person.RELEASER, Person.ADMINISTRATOR)  # Locktender may patch, neither create nor replace
MAY_BYPASS = (Person.ON_CALL, Person.ADMINISTRATOR)
MAY_NOT_BYPASS = (Person.EDITOR, Person.OPERATOR, Person.RELEASER, Person.NEIGHBOUR)
IMAGE = "/spec/template/spec/containers/0/image"


def opens(annotation: str, said: str, *, ahead: int = 0, **more: Any) -> Action:
    """Remove the pause and the mark, with a word for the generation that is there (or `ahead` of it)."""

    def _open(scene: Scene) -> None:
        body = open_gate(**{annotation: scene.word(said, ahead)})
        body["metadata"].update(more.get("metadata", {}))
        body["spec"].update(more.get("spec", {}))
        scene.merge(body)

    return _open


def releases(*image: str, also: list[Body] | None = None) -> Action:
    """Locktender's own patch."""
    return lambda scene: scene.send("PATCH", [*release(scene.word("run-1"), *image), *(also or [])], content=JSON_PATCH)


def _half_opened(scene: Scene) -> None:
    scene.merge({"spec": {"paused": None}, "metadata": {"annotations": {RELEASED: scene.word("run-1")}}})


def _other_half_opened(scene: Scene) -> None:
    word = scene.word("run-1")
    scene.merge({"metadata": {"annotations": {RELEASED: word, "locktender.dev/held": None}}})


def _released_since(scene: Scene) -> None:
    """The word was right; another writer came first."""
    word = scene.word("run-1")
    scene.api(
        "PATCH", scene.path(scene.name), {"metadata": {"annotations": {"note": "x"}}}, "application/merge-patch+json"
    )
    scene.before = scene.get()
    scene.merge(open_gate(released=word))


def _announced_before(annotation: str) -> Action:
    """Somebody without the verb writes the very word that will be needed, one write earlier."""

    def _announce(scene: Scene) -> None:
        word = scene.word("run-1", ahead=1)
        named = {"metadata": {"annotations": {f"locktender.dev/{annotation}": word}}}
        scene.api("PATCH", scene.path(scene.name), named, "application/merge-patch+json", Person.EDITOR)
        scene.before = scene.get()
        assert scene.word("run-1") == word
        scene.merge(open_gate(**{annotation: word}))

    return _announce


def _old_export(scene: Scene) -> None:
    """Every verb, the right images, a word that once opened this very gate: still not meant for this hold."""
    export = as_exported(scene.get())
    scene.change_image("shop:2")
    scene.let_through()
    scene.change_image("shop:1")
    scene.before = scene.get()
    scene.send("PUT", export)


def _word_of_last_time(scene: Scene) -> None:
    scene.change_image("shop:2")
    scene.before = scene.get()
    scene.merge(open_gate(released=scene.before["metadata"]["annotations"][RELEASED]))


def _bypasses(image: str, said: str = "INC-42") -> Action:
    def _bypass(scene: Scene) -> None:
        scene.merge({"metadata": {"annotations": {BYPASS: scene.word(said)}}, **images(image)})

    return _bypass


def _bypasses_twice(scene: Scene) -> None:
    word = scene.word("INC-42")
    scene.send("PUT", scene.manifest(image="shop:2", annotations={BYPASS: word}))
    scene.verified.add(("shop:2", ""))
    scene.before = scene.get()
    scene.send("PUT", scene.manifest(image="shop:3", annotations={BYPASS: word}))


def _creates_with(annotation: str) -> tuple[Action, ...]:
    def _create(said: str) -> Action:
        def _send(scene: Scene) -> None:
            scene.name, scene.before = f"{scene.name}x", None
            scene.send("POST", scene.manifest(annotations={annotation: said}))

        return _send

    return tuple(_create(said) for said in ("INC-42", "INC-42@", "INC-42@0", "INC-42@1"))


RELEASE = (
    Row("releases it: a run and the generation, the pause and the mark in one patch", NEW, releases("shop:1"), (LET_THROUGH, annotated(RELEASED, "run-1@1")), MAY_RELEASE),
    Row("releases the next version", WAITING, releases("shop:2"), (LET_THROUGH,), MAY_RELEASE),
    Row("releases it by a merge patch", NEW, opens("released", "by-hand"), (LET_THROUGH,), MAY_RELEASE),
    Row("releases it without the verb", NEW, opens("released", "run-1"), (STAYS_HELD,), (Person.EDITOR, Person.ON_CALL, Person.NEIGHBOUR)),
    Row("releases it without a word", NEW, (merges(open_gate()), merges(open_gate(released=""))), (STAYS_HELD,), MAY_RELEASE),
    Row("releases it by a word without the generation, or with another one", NEW, (merges(open_gate(released="by-hand")), merges(open_gate(released="by-hand@")), opens("released", "by-hand", ahead=9), opens("released", "by-hand", ahead=-1), merges(open_gate(released="by-hand@0"))), (STAYS_HELD,), MAY_RELEASE),
    Row("releases it by the word of the last release", SERVING, _word_of_last_time, (STAYS_HELD,), MAY_RELEASE),
    Row("releases it by a word that was right before another write", NEW, _released_since, (STAYS_HELD,), MAY_RELEASE),
    Row("releases it by a word that somebody else wrote before", NEW, _announced_before("released"), (STAYS_HELD,), MAY_RELEASE),
    Row("replaces it by an old export of the same images", SERVING, _old_export, (STAYS_HELD,), MAY_RELEASE_AND_WRITE),
    Row("releases an image that has changed since", WAITING, releases("shop:1"), (refused("the server rejected our request due to an error in our request", by="Kubernetes"),), MAY_RELEASE),
    Row("brings another image along with the release", NEW, releases("shop:1", also=[{"op": "replace", "path": IMAGE, "value": "shop:2"}]), (STAYS_HELD,), MAY_RELEASE),
    Row("writes a word that fits, and another image", SERVING, lambda scene: scene.send("PUT", scene.manifest(image="shop:2", annotations={RELEASED: scene.word("run-1")})), (HELD,), MAY_RELEASE_AND_WRITE),
    Row("creates it with a word", NOTHING, _creates_with(RELEASED), (HELD,), MAY_RELEASE_AND_WRITE),
    Row("removes the pause and leaves the mark", NEW, _half_opened, (refused("go together: remove both in one request"),), OPERATOR),
)  # fmt: skip

BREAK_GLASS = (
    Row("opens it with a reason and the generation", NEW, opens("bypass", "INC-42"), (LET_THROUGH,), MAY_BYPASS),
    Row("sets another image with a reason and the generation", SERVING, _bypasses("shop:2"), (LET_THROUGH,), MAY_BYPASS),
    Row("opens it without the verb", NEW, opens("bypass", "INC-42"), (STAYS_HELD,), MAY_NOT_BYPASS),
    Row("sets another image with a reason, without the verb", SERVING, _bypasses("shop:2"), (HELD,), MAY_NOT_BYPASS),
    Row("sets another image by the reason of the last time", SERVING, _bypasses_twice, (HELD,), MAY_BYPASS),
    Row("opens it by a reason that was there", NEW, _announced_before("bypass"), (STAYS_HELD,), MAY_BYPASS),
    Row("opens it with a blank reason", NEW, (opens("bypass", ""), opens("bypass", "  ")), (STAYS_HELD,), MAY_BYPASS),
    Row("opens it with a reason for another generation", NEW, (opens("bypass", "INC-42", ahead=-1), opens("bypass", "INC-42", ahead=1), opens("bypass", "INC-42", ahead=10)), (STAYS_HELD,), MAY_BYPASS),
    Row("opens it without a reason", NEW, merges(open_gate()), (STAYS_HELD,), MAY_BYPASS),
    Row("creates it with a reason", NOTHING, _creates_with(BYPASS), (HELD,), (*MAY_BYPASS, Person.EDITOR)),
    Row("leaves the gate with a reason", NEW, opens("bypass", "INC-42", **labelled(None)), (LET_THROUGH,), MAY_BYPASS),
    Row("leaves the gate with a reason, without the verb", NEW, opens("bypass", "INC-42", **labelled(None)), (refused(LEAVING),), MAY_NOT_BYPASS),
    Row("moves to a gate that they may bypass", NEW, opens("bypass", "INC-42", **labelled("other")), (refused(LEAVING),), (Person.NEIGHBOUR,)),
)  # fmt: skip

SECTIONS = (
    Section(
        "Release",
        "A word `<run>@<generation>` by an account with the verb `release`, in the write that opens the gate.",
        RELEASE,
    ),
    Section(
        "Break-glass",
        "A word `<reason>@<generation>` by an account with the verb `bypass`, in the write that needs it.",
        BREAK_GLASS,
    ),
)
