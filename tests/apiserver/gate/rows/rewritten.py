"""Another webhook rewrites the images, before or after the gate has looked at them: what is stored counts."""

from tests.apiserver.gate.actions import creates, merges, replaces
from tests.apiserver.gate.expectations import HELD, OWN_PAUSE, PASSES, STAYS_HELD, image_is
from tests.apiserver.gate.manifests import GATE, images
from tests.apiserver.gate.people import ANYBODY
from tests.apiserver.gate.rewriter import LABEL, NAMES, digest_of
from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.scene import Scene
from tests.apiserver.gate.starts import NOTHING, SERVING, WAITING

FIRST, SECOND = image_is(digest_of("shop:1")), image_is(digest_of("shop:2"))


def _rows(when: str) -> tuple[Row, ...]:
    labels = {GATE: "shop", LABEL: when}
    serving, waiting = SERVING.of(labels=labels), WAITING.of(labels=labels)

    def _paused_by_them(scene: Scene) -> None:
        scene.merge({"spec": {"paused": True}})
        scene.merge(images("shop:1"))

    return (
        Row(f"creates it by a tag, rewritten {when} the gate", NOTHING, creates(labels=labels), (HELD, FIRST), ANYBODY),
        Row(f"sets the next tag, rewritten {when} the gate", serving, merges(images("shop:2")), (HELD, SECOND)),
        Row(f"sets the tag that serves already, rewritten {when} the gate", serving, merges(images("shop:1")), (PASSES, FIRST)),
        Row(f"replaces it by its manifest, rewritten {when} the gate", serving, replaces(labels=labels), (PASSES, FIRST), ANYBODY),
        Row(f"pauses it and sets the tag that serves already, rewritten {when} the gate", serving, _paused_by_them, (OWN_PAUSE, FIRST)),
        Row(f"sets the tag that waits already, rewritten {when} the gate", waiting, merges(images("shop:2")), (STAYS_HELD, SECOND), ANYBODY),
    )  # fmt: skip


SECTIONS = (
    Section(
        "Another webhook rewrites the images",
        "Tags become digests, in a webhook that is called before or after the gate's carrier. The gate judges what is stored.",
        tuple(row for when in NAMES for row in _rows(when)),
    ),
)
