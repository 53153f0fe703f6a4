"""How a Deployment that is not held got past its gate: by a verdict, by somebody's word, or by nobody's. Pure.

    not held --its version is verified------------------> Open
       |-----the word `released` is new-----------------> Open       a run, or a person with the verb, let it through
       |-----the word `bypass` is new-------------------> Bypassed   break-glass
       |-----no new word, and its version is new--------> Skipped    there was no gate for a moment
       `-----no new word, and its version is not new----> as it was

A word is new when the stored status does not know it yet. Bypassed and Skipped last until a migration has verified what runs.
"""

from locktender.api.spec import Spec
from locktender.api.status import GatedDeploymentStatus, GateState, Outcome, Status
from locktender.core import gate, gate_messages, messages
from locktender.core.observation import GatedDeployment, Observation, OpenedBy, Word

SAID_LIMIT = 200  # characters of a reason that are shown: a sentence; the audit log has the whole
SAID_READ = 1000  # characters of it that are looked at: an annotation may be 256 KiB
GENERATION_DIGITS = 18  # of an int64
AT_GATE = (GateState.HELD, GateState.MISMATCH)
UNVERIFIED = (GateState.BYPASSED, GateState.SKIPPED)


def word(by: OpenedBy, annotation: str, generation: int) -> Word | None:
    """The word in an annotation, None when it is none that can have opened this object: that needs an earlier generation of it."""
    said, at, digits = annotation.rpartition("@")
    if not at or not digits.isascii() or not digits.isdigit() or len(digits) > GENERATION_DIGITS:
        return None
    meant = int(digits)
    return Word(by, messages.one_line(said[:SAID_READ], SAID_LIMIT), meant) if 0 < meant < generation else None


def state(observation: Observation, spec: Spec, status: Status, item: GatedDeployment) -> GateState:
    """How a Deployment that is not held stands. `status` holds the verdicts of this pass, the observation what was stored before."""
    before = observation.status.deployment(item.name)
    if verified(spec, item, status):
        return GateState.OPEN
    if item.word is not None and (before is None or before.word != str(item.word)):
        return GateState.BYPASSED if item.word.by is OpenedBy.BYPASS else GateState.OPEN
    if before is None:
        return GateState.SKIPPED if gate.slipped_in(observation, item) else GateState.OPEN
    if before.state in AT_GATE or (before.images, before.key or "") != (item.images, item.release[: gate.KEY_LIMIT]):
        return GateState.SKIPPED
    return before.state


def verified(spec: Spec, item: GatedDeployment, status: Status) -> bool:
    """A stored verdict lets this version run."""
    return any(verdict.opens and gate.belongs(spec, item, verdict) for verdict in status.verdicts)


def unverified(status: Status) -> tuple[GatedDeploymentStatus, ...]:
    """The Deployments that run what no migration has verified."""
    return tuple(item for item in status.deployments if item.state in UNVERIFIED)


def bypassed_now(before: Status, after: Status) -> tuple[GatedDeploymentStatus, ...]:
    """The bypasses that `after` is the first status to know of. One of a verified version counts if it was held."""
    found = []
    for item in after.deployments:
        known = before.deployment(item.name)
        if (
            item.opened_by != OpenedBy.BYPASS
            or item.state in AT_GATE
            or (known is not None and known.word == item.word)
        ):
            continue
        if item.state is GateState.BYPASSED or (known is not None and known.state in AT_GATE):
            found.append(item)
    return tuple(found)


def bypass_of_verified(observation: Observation, item: GatedDeployment) -> bool:
    """It was held when the status was stored, and a bypass that is new opened it, although its version is verified."""
    before = observation.status.deployment(item.name)
    if item.word is None or item.word.by is not OpenedBy.BYPASS or before is None:
        return False
    return before.state in AT_GATE and before.word != str(item.word)


def skipped_now(before: Status, after: Status) -> tuple[GatedDeploymentStatus, ...]:
    """The Deployments that `after` is the first status to find past their gate without any word."""
    stood = {item.name: (item.state, item.images, item.key) for item in before.deployments}
    return tuple(
        item
        for item in after.deployments
        if item.state is GateState.SKIPPED and stood.get(item.name) != (item.state, item.images, item.key)
    )


def asked_in_vain(observation: Observation, item: GatedDeployment) -> bool:
    """It is held, with a word for a bypass that the stored status does not know."""
    before = observation.status.deployment(item.name)
    if not item.held or item.word is None or item.word.by is not OpenedBy.BYPASS:
        return False
    return before is None or before.word != str(item.word)


def left_by_bypass(observation: Observation) -> tuple[GatedDeployment, ...]:
    """The Deployments that left their gate with a bypass that the stored status does not know."""
    found = []
    for item in observation.departed:
        before = observation.status.deployment(item.name)
        if before is None or item.word is None or item.word.by is not OpenedBy.BYPASS:
            continue
        if before.word != str(item.word):
            found.append(item)
    return tuple(found)


def what_next(observation: Observation, spec: Spec, status: Status, item: GatedDeployment) -> str:
    """What becomes of a version that runs unverified, and what a person may type."""
    where = (observation.name, observation.namespace)
    if spec.suspend:
        return messages.suspended(*where)
    release = gate.candidate(spec, item)
    run = status.run
    if run is not None and run.active and (release is None or run.key == release.key):
        return gate_messages.migration_follows(*where, under_way=True)
    if release is None:
        return gate_messages.tie_worker(item.name)
    verdict = status.verdict(release.key)
    if verdict is not None and verdict.outcome is Outcome.FAILED:
        return gate_messages.unverified_failed(*where)
    return gate_messages.migration_follows(*where, under_way=False)
