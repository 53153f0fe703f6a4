"""Which release is wanted, and which held Deployments a verdict opens. Pure; called by `decide` and the Release step.

    held Deployment --candidate()--> Release --verdict?--> released | run it | GateMismatch

A Deployment that carries the migrations belongs to the release of its own image and key, and to no other. Any other Deployment
(a worker built as another image, or every Deployment when `spec.migration.image` is set) belongs to a release by an equal
`locktender.dev/key`, or, where one side has no key, by having the release's image among its own. Anything else stays closed: half a
release that arrives first must not be let through on an old verdict.
"""

from dataclasses import dataclass

from locktender.api.conditions import Reason
from locktender.api.spec import HoldOrRelease, Spec, Strategy
from locktender.api.status import Status, Verdict
from locktender.core import key, messages
from locktender.core.observation import GatedDeployment, Observation


@dataclass(frozen=True)
class NoTarget:
    """There is nothing to run, and why. `stalled` means that only a person can change that."""

    reason: Reason
    message: str
    stalled: bool = False


def names_its_own(spec: Spec) -> bool:
    """The migrations come from the spec (an image or a ConfigMap), not from a gated Deployment."""
    return bool(spec.migration.image or spec.migration.config_map)


def candidate(spec: Spec, deployment: GatedDeployment) -> key.Release | None:
    """The release that this Deployment carries, None when it is not the one that carries the migrations."""
    source = spec.migration.source
    if source and source.deployment != deployment.name:
        return None
    wanted = source.container if source else None
    everything = (*deployment.containers, *deployment.init_containers)
    container = next((item for item in everything if wanted in (None, item.name)), None)
    return key.of_deployment(container.image, deployment.release) if container else None


def belongs(spec: Spec, deployment: GatedDeployment, release: key.Release | Verdict) -> bool:
    """Whether a verdict on this release speaks for the Deployment (rules a and b above)."""
    own = None if names_its_own(spec) else candidate(spec, deployment)
    if own is not None:
        return own.key == release.key
    if deployment.release and release.release:
        return deployment.release == release.release
    return bool(release.image) and release.image in deployment.images


def wanted(observation: Observation, spec: Spec, status: Status) -> key.Release | NoTarget:
    """The release that should be verified next, or why there is none."""
    if names_its_own(spec):
        return key.of_spec(spec)
    if not observation.deployments:
        return NoTarget(Reason.AWAITING_DEPLOYMENT, messages.awaiting_deployment(observation.name))
    sources = {
        deployment.name: release
        for deployment in observation.deployments
        if (release := candidate(spec, deployment)) is not None
    }
    if not sources:
        return NoTarget(Reason.GATE_MISMATCH, messages.source_missing(spec), stalled=True)
    held = {deployment.name for deployment in observation.deployments if deployment.held}
    waiting = {release for name, release in sources.items() if name in held}
    unresolved = {release for release in waiting if not _opened(status, release)}
    choice = unresolved or waiting or set(sources.values())
    if len(choice) > 1:
        if not unresolved:
            return _latest(status, choice)
        names = sorted(name for name, release in sources.items() if release in choice)
        return NoTarget(Reason.AMBIGUOUS_SOURCE, messages.ambiguous_source(observation.name, names), stalled=True)
    (release,) = choice
    if release in unresolved and release.release and spec.release and spec.release != release.release:
        return NoTarget(Reason.GATE_MISMATCH, messages.release_differs(spec.release, release.release))
    return release


def _opened(status: Status, release: key.Release) -> bool:
    verdict = status.verdict(release.key)
    return verdict is not None and verdict.opens


def _latest(status: Status, choice: set[key.Release]) -> key.Release:
    """Of several verified releases, the one judged last (verdicts are kept newest first)."""
    order = {verdict.key: position for position, verdict in enumerate(status.verdicts)}
    return min(choice, key=lambda release: (order.get(release.key, len(order)), release.key))


def baselines(observation: Observation, spec: Spec, status: Status) -> tuple[key.Release, ...]:
    """Releases that run without a hold and without a verdict: they were there before the gate."""
    if names_its_own(spec):
        return ()
    active = status.run.key if status.run and status.run.active else None
    found = {
        release
        for deployment in observation.deployments
        if not deployment.held and (release := candidate(spec, deployment)) is not None
    }
    return tuple(
        sorted(
            (release for release in found if status.verdict(release.key) is None and release.key != active),
            key=lambda release: release.key,
        )
    )


def releasable(observation: Observation, spec: Spec, status: Status) -> tuple[tuple[GatedDeployment, Verdict], ...]:
    """The held Deployments that a stored verdict opens, each with its verdict.

    With `spec.gate.revert: Hold` only the verdict of the newest run counts; an older one does not open the gate again.
    """
    current = status.run.key if status.run else None
    found = []
    for deployment in observation.deployments:
        if not deployment.held:
            continue
        for verdict in status.verdicts:
            if spec.revert is HoldOrRelease.HOLD and verdict.key != current:
                continue
            if verdict.opens and belongs(spec, deployment, verdict):
                found.append((deployment, verdict))
                break
    return tuple(found)


def first_to_roll_out(spec: Spec) -> bool:
    """Whether the rollout comes before the migration (DeployThenMigrate)."""
    return spec.strategy is Strategy.DEPLOY_THEN_MIGRATE


def mismatched(observation: Observation, spec: Spec, release: key.Release) -> tuple[GatedDeployment, ...]:
    """Held Deployments that do not belong to the release in question."""
    return tuple(item for item in observation.deployments if item.held and not belongs(spec, item, release))
