"""Which release is wanted, and which held Deployments a verdict opens. Pure; called by `decide` and the Release step.

    held Deployment --candidate()--> Release --verdict?--> released | run it | GateMismatch

A Deployment that carries the migrations belongs to the release of its own image and key, and to no other. Any other Deployment
(a worker built as another image, or every Deployment when `spec.migration.image` is set) belongs to a release by an equal
`locktender.dev/key`, or, where one side has no key, by having the release's image among its own. Anything else stays closed: half a
release that arrives first must not be let through on an old verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from locktender.api.conditions import Reason
from locktender.api.spec import HoldOrRelease, Spec, Strategy
from locktender.api.status import Outcome, Run, Status, Verdict
from locktender.core import key, messages
from locktender.core.observation import GatedDeployment, Observation, OpenedBy

KEY_LIMIT = 253  # characters of locktender.dev/key: an annotation has no limit of its own, our status has


@dataclass(frozen=True)
class NoTarget:
    """There is nothing to run, and why. `stalled` means that only a person can change that."""

    reason: Reason
    message: str
    stalled: bool = False


def names_its_own(spec: Spec) -> bool:
    """The migrations come from the spec (an image or a ConfigMap), not from a gated Deployment."""
    return bool(spec.migration.image or spec.migration.config_map)


def carries(spec: Spec, deployment: GatedDeployment) -> bool:
    """Whether the migrations may come from this Deployment's image."""
    source = spec.migration.source
    return not names_its_own(spec) and (source is None or source.deployment == deployment.name)


def candidate(spec: Spec, deployment: GatedDeployment) -> key.Release | None:
    """The release that this Deployment carries; None when it carries none, or when it is not said which of its images does."""
    if not carries(spec, deployment):
        return None
    wanted = spec.migration.source.container if spec.migration.source else None
    everything = (*deployment.init_containers, *deployment.containers)
    images = {item.image for item in everything if wanted in (None, item.name)}
    return key.of_deployment(images.pop(), deployment.release) if len(images) == 1 else None


def belongs(spec: Spec, deployment: GatedDeployment, release: key.Release | Verdict) -> bool:
    """Whether a verdict on this release speaks for the Deployment."""
    if carries(spec, deployment):
        own = candidate(spec, deployment)
        return own is not None and own.key == release.key
    if deployment.release:
        return deployment.release == release.release
    return bool(release.image) and release.image in deployment.images


def wanted(observation: Observation, spec: Spec, status: Status) -> key.Release | NoTarget:
    """The release that should be verified next, or why there is none."""
    too_long = next((item.name for item in observation.deployments if len(item.release) > KEY_LIMIT), None)
    if too_long:
        return NoTarget(Reason.INVALID_SPEC, messages.key_too_long(too_long, KEY_LIMIT), stalled=True)
    if names_its_own(spec):
        return key.of_spec(spec)
    if spec.migration.source and observation.source_gate:
        text = messages.source_elsewhere(spec.migration.source.deployment, observation.source_gate, observation.name)
        return NoTarget(Reason.GATE_MISMATCH, text, stalled=True)
    if not observation.deployments:
        return NoTarget(Reason.AWAITING_DEPLOYMENT, messages.awaiting_deployment(observation.name))
    sources: dict[str, key.Release] = {}
    for deployment in observation.deployments:
        if not carries(spec, deployment):
            continue
        release = candidate(spec, deployment)
        if release is None:
            named = spec.migration.source is not None and spec.migration.source.container is not None
            message = messages.source_missing(spec) if named else messages.ambiguous_container(deployment.name)
            return NoTarget(Reason.GATE_MISMATCH if named else Reason.AMBIGUOUS_SOURCE, message, stalled=True)
        sources[deployment.name] = release
    if not sources:
        return NoTarget(Reason.GATE_MISMATCH, messages.source_missing(spec), stalled=True)
    if len({repository(release.image) for release in sources.values()}) > 1:
        message = messages.ambiguous_source(observation.name, sorted(sources))
        return NoTarget(Reason.AMBIGUOUS_SOURCE, message, stalled=True)
    return _next_of(observation, spec, status, sources)


def _next_of(
    observation: Observation, spec: Spec, status: Status, sources: Mapping[str, key.Release]
) -> key.Release | NoTarget:
    """Of the releases at the gate (or, when nothing is held, of those that run) the one that has no verdict yet."""
    held = {deployment.name for deployment in observation.deployments if deployment.held}
    waiting = {release for name, release in sources.items() if name in held}
    running = set(sources.values()) - waiting
    unresolved = {release for release in waiting if not _opened(status, release)}
    unresolved = unresolved or {release for release in running if status.verdict(release.key) is None}
    choice = unresolved or waiting or running
    if len(choice) > 1 and unresolved:
        names = sorted(name for name, release in sources.items() if release in choice)
        return NoTarget(Reason.AMBIGUOUS_SOURCE, messages.ambiguous_source(observation.name, names), stalled=True)
    release = _latest(status, choice)
    if release in unresolved and release.release and spec.release and spec.release != release.release:
        return NoTarget(Reason.GATE_MISMATCH, messages.release_differs(spec.release, release.release))
    return release


def repository(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


def _opened(status: Status, release: key.Release) -> bool:
    verdict = status.verdict(release.key)
    return verdict is not None and verdict.opens


def _latest(status: Status, choice: set[key.Release]) -> key.Release:
    """Of several verified releases, the one judged last (verdicts are kept newest first)."""
    order = {verdict.key: position for position, verdict in enumerate(status.verdicts)}
    return min(choice, key=lambda release: (order.get(release.key, len(order)), release.key))


def baselines(observation: Observation, spec: Spec, status: Status) -> tuple[key.Release, ...]:
    """Releases that ran before they were gated.

    Only a Deployment that is seen for the first time can be that (or before anything was ever judged here), and only if none of its release
    waits at the gate: whatever else runs without a verdict is migrated like any other release. So is what a bypass let through, and what
    was created under this gate without being held.
    """
    untouched = not (status.verdicts or status.history or status.run)
    known = set() if untouched else {item.name for item in observation.status.deployments}
    gated = [(item, candidate(spec, item)) for item in observation.deployments]
    waiting = {release for item, release in gated if item.held}
    found = {
        release
        for item, release in gated
        if release is not None and not item.held and item.name not in known and not _came_past(observation, item)
    } - waiting
    active = status.run.key if status.run and status.run.active else None
    judged = {entry.key for entry in status.history} | {verdict.key for verdict in status.verdicts} | {active}
    return tuple(sorted((release for release in found if release.key not in judged), key=lambda release: release.key))


def _came_past(observation: Observation, item: GatedDeployment) -> bool:
    bypassed = item.word is not None and item.word.by is OpenedBy.BYPASS
    return bypassed or slipped_in(observation, item)


def slipped_in(observation: Observation, item: GatedDeployment) -> bool:
    """It was created under this gate, so it had to be held, and no word has opened it since."""
    since = item.gated_since
    return since is not None and observation.created is not None and since > observation.created and item.word is None


def releasable(observation: Observation, spec: Spec, status: Status) -> tuple[tuple[GatedDeployment, Verdict], ...]:
    """The held Deployments that a stored verdict opens, each with its verdict.

    With `spec.gate.revert: Hold` only the verdict of the newest run counts; an older one does not open the gate again.
    """
    current = status.run.id if status.run else None
    found = []
    for deployment in observation.deployments:
        if not deployment.held:
            continue
        for verdict in status.verdicts:
            if spec.revert is HoldOrRelease.HOLD and verdict.run != current:
                continue
            if verdict.opens and belongs(spec, deployment, verdict):
                found.append((deployment, verdict))
                break
    return tuple(found)


def blocked_by(observation: Observation, spec: Spec, last: Run, target: key.Release | NoTarget) -> bool:
    """DeployThenMigrate: the version that runs could not be migrated, so whatever comes next waits.

    Not when the version was taken back meanwhile: what runs then has a verdict of its own.
    """
    if not first_to_roll_out(spec) or last.outcome is not Outcome.FAILED:
        return False
    failed = key.Release(last.key, last.image, last.release)
    runs = any(not item.held and belongs(spec, item, failed) for item in observation.deployments)
    overlaid = any(item.held for item in observation.deployments)  # a held template hides what its pods run
    elsewhere = isinstance(target, NoTarget) or target.key != last.key
    return elsewhere and (runs or (overlaid and not _opened_target(observation, spec, target)))


def _opened_target(observation: Observation, spec: Spec, target: key.Release | NoTarget) -> bool:
    """What is wanted is verified already: a way back."""
    if isinstance(target, NoTarget):
        return False
    verdict = observation.status.verdict(target.key)
    return (
        verdict is not None and verdict.opens and any(belongs(spec, item, target) for item in observation.deployments)
    )


def first_to_roll_out(spec: Spec) -> bool:
    """Whether the rollout comes before the migration (DeployThenMigrate)."""
    return spec.strategy is Strategy.DEPLOY_THEN_MIGRATE


def runs_already(observation: Observation, spec: Spec, release: key.Release) -> bool:
    """A Deployment of this release is not held: it was rolled out first, or somebody let it through."""
    return any(not item.held and belongs(spec, item, release) for item in observation.deployments)


def mismatched(observation: Observation, spec: Spec, release: key.Release) -> tuple[GatedDeployment, ...]:
    """Held Deployments that do not belong to the release in question."""
    return tuple(item for item in observation.deployments if item.held and not belongs(spec, item, release))
