"""What may be expected of the gate. Each is a check of the API server's objects, and the words for it in the documentation."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.apiserver.gate.manifests import HELD as MARK
from tests.apiserver.gate.manifests import Body, held, key_of, paused_and_marked
from tests.apiserver.gate.scene import Scene, soon


@dataclass(frozen=True)
class Expectation:
    """`opens`: the key that the Deployment has afterwards may run."""

    words: str
    check: Callable[[Scene], None]
    refuses: bool = False
    opens: bool = False


def _was_held(scene: Scene) -> bool:
    return scene.before is not None and paused_and_marked(scene.before) == (True, True)


def _held(scene: Scene) -> None:
    assert not _was_held(scene), "it was held before: the row means STAYS_HELD"
    assert held(scene.get())


def _stays_held(scene: Scene) -> None:
    assert _was_held(scene), "it was not held before: the row means HELD"
    assert held(scene.get())


def _passes(scene: Scene) -> None:
    assert not _was_held(scene), "it was held before: the row means LET_THROUGH"
    assert not held(scene.get())


def _let_through(scene: Scene) -> None:
    before, now = scene.before, scene.get()
    assert not held(now)
    assert before is not None
    changed = key_of(before["spec"]["template"]) != key_of(now["spec"]["template"])
    assert _was_held(scene) or changed, "there was nothing to let through: the row means PASSES"


def _own_pause(scene: Scene) -> None:
    now = scene.get()
    assert now["spec"].get("paused") is True
    assert MARK not in now["metadata"].get("annotations", {})


def _gone(scene: Scene) -> None:
    soon(lambda: scene.found() is None, "the Deployment is gone")


def _nothing_written(scene: Scene) -> None:
    assert scene.before is not None
    assert scene.get()["metadata"]["resourceVersion"] == scene.before["metadata"]["resourceVersion"]


def _none_stored(scene: Scene) -> None:
    assert scene.found() is None


def _shown_as_held(scene: Scene) -> None:
    assert held(scene.answer)
    assert scene.found() == scene.before


HELD = Expectation("**held**", _held)
STAYS_HELD = Expectation("**stays held**", _stays_held)
PASSES = Expectation("passes", _passes)
# Its K may be any: it is not a gated one.
PASSES_OUTSIDE = Expectation("passes: not gated", _passes, opens=True)
LET_THROUGH = Expectation("**let through**", _let_through, opens=True)
OWN_PAUSE = Expectation("passes; the pause is theirs, not the gate's", _own_pause)
GONE = Expectation("deleted; the gate does not hold deletions", _gone)
NOTHING_WRITTEN = Expectation("nothing is written", _nothing_written)
NOTHING_CREATED = Expectation("nothing is created", _none_stored)
SHOWN_AS_HELD = Expectation("the answer shows it held, nothing is written", _shown_as_held)


def refused(words: str, *, by: str = "") -> Expectation:
    """Refused with a message that holds `words`; what is stored stays as it was. `by`: who refuses, where it is not the gate."""

    def _refused(scene: Scene) -> None:
        assert scene.refusal is not None, f"not refused: {scene.answer}"
        assert words in scene.refusal, scene.refusal
        assert not by or "locktender" not in scene.refusal, "refused by the gate"
        assert _written(scene.found()) == _written(scene.before)

    return Expectation(f"**refused**{f' by {by}' if by else ''}: “{words}”", _refused, refuses=True)


def _written(item: Body | None) -> Body | None:
    """What people write: controllers may have changed the status meanwhile."""
    if item is None:
        return None
    metadata = {name: item["metadata"].get(name) for name in ("labels", "annotations", "generation", "uid")}
    return {"metadata": metadata, "spec": item["spec"]}


def replicas(count: int) -> Expectation:
    """The number of replicas asked for."""

    def _check(scene: Scene) -> None:
        soon(lambda: bool(scene.get()["spec"]["replicas"] == count), f"replicas become {count}")

    return Expectation(f"replicas become {count}", _check)


def pods_run(*images: str) -> Expectation:
    """The pods that there are, by their images."""

    def _check(scene: Scene) -> None:
        soon(lambda: scene.images_of_pods() == sorted(images), f"pods run {images}, not {scene.images_of_pods()}")

    words = f"pods run {', '.join(f'`{image}`' for image in dict.fromkeys(images))}" if images else "no pod runs"
    return Expectation(words, _check)


def image_is(*images: str) -> Expectation:
    """The images that are stored."""

    def _check(scene: Scene) -> None:
        assert [item["image"] for item in scene.get()["spec"]["template"]["spec"]["containers"]] == list(images)

    return Expectation(f"its image is `{', '.join(images)}`", _check)


def annotated(name: str, value: str | None) -> Expectation:
    """An annotation that is stored, None: absent."""

    def _check(scene: Scene) -> None:
        assert scene.get()["metadata"].get("annotations", {}).get(name) == value

    return Expectation(f"`{name}` is {f'`{value}`' if value is not None else 'not there'}", _check)


def says(words: str) -> Expectation:
    """What kubectl prints."""

    def _check(scene: Scene) -> None:
        assert words in str(scene.answer), scene.answer

    return Expectation(f"kubectl says “{words}”", _check)
