"""API objects into observation types. Dicts end here."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from locktender.api import spec as specs
from locktender.api import status as statuses
from locktender.core import messages, passage
from locktender.core.errors import UnreadableStatus
from locktender.core.observation import (
    ContainerImage,
    ContainerState,
    GatedDeployment,
    JobState,
    OpenedBy,
    PodState,
    Word,
)
from locktender.settings import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_BYPASS,
    ANNOTATION_HELD,
    ANNOTATION_IMAGE,
    ANNOTATION_KEY,
    ANNOTATION_RELEASE,
    ANNOTATION_RELEASED,
    LABEL_GATE,
    LABEL_OWNER,
    LABEL_RUN,
    LABEL_STEP,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spec(raw: dict[str, Any]) -> specs.Spec | str:
    """The parsed spec, or what is wrong with it."""
    try:
        return specs.parse(raw.get("spec") or {})
    except specs.SpecError as problem:
        return str(problem)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as problem:
        return messages.unreadable_spec(type(problem).__name__)


def status(raw: dict[str, Any]) -> statuses.Status:
    """The stored status. Raises UnreadableStatus: one that a newer version wrote must be neither guessed nor overwritten."""
    try:
        return statuses.from_json(raw.get("status") or {})
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as problem:
        raise UnreadableStatus(
            f"the stored status cannot be read ({problem}); was it written by a newer version?"
        ) from problem


def deployment(raw: dict[str, Any]) -> GatedDeployment:
    """A gated Deployment."""
    meta, body = raw["metadata"], raw["spec"]
    template = body["template"]
    annotations, generation = meta.get("annotations") or {}, meta.get("generation", 0)
    held = annotations.get(ANNOTATION_HELD) == "true" and bool(body.get("paused"))
    return GatedDeployment(
        name=meta["name"],
        uid=meta["uid"],
        containers=_images(template["spec"].get("containers")),
        init_containers=_images(template["spec"].get("initContainers")),
        release=((template.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_KEY, ""),
        held=held,
        held_since=last_write(meta) if held else None,
        rolled_out=not body.get("paused") and _rolled_out(raw),
        generation=generation,
        released=annotations.get(ANNOTATION_RELEASED, ""),
        word=_newest_word(annotations, generation),
        gated_since=_gated_since(meta),
    )


def _newest_word(annotations: dict[str, str], generation: int) -> Word | None:
    words = (
        passage.word(by, annotations.get(name, ""), generation)
        for by, name in ((OpenedBy.RELEASE, ANNOTATION_RELEASED), (OpenedBy.BYPASS, ANNOTATION_BYPASS))
    )
    return max((word for word in words if word is not None), key=lambda word: word.generation, default=None)


def _gated_since(meta: dict[str, Any]) -> datetime | None:
    """The creation, if whoever created the object gave it the label in that very write, as far as `managedFields` can tell.

    The selector cannot be changed, so its owner is the creator. An owner that wrote again since shows its newest time only.
    """
    created = statuses.moment(meta["creationTimestamp"])
    for entry in meta.get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        labels = (fields.get("f:metadata") or {}).get("f:labels") or {}
        creator = "f:selector" in (fields.get("f:spec") or {}) and entry.get("time")
        if creator and f"f:{LABEL_GATE}" in labels and statuses.moment(entry["time"]) <= created:
            return created
    return None


def _images(containers: Iterable[dict[str, Any]] | None) -> tuple[ContainerImage, ...]:
    return tuple(ContainerImage(item["name"], item.get("image", "")) for item in containers or ())


def last_write(meta: dict[str, Any]) -> datetime:
    """The time of the newest write to the spec: a hold or a bypass is part of the write that changed the image."""
    times = [
        statuses.moment(entry["time"])
        for entry in meta.get("managedFields") or ()
        if entry.get("time") and "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    ]
    return max(times, default=statuses.moment(meta["creationTimestamp"]))


def _rolled_out(raw: dict[str, Any]) -> bool:
    """The rule of `kubectl rollout status`."""
    state, wanted = raw.get("status") or {}, raw["spec"].get("replicas", 1)
    if state.get("observedGeneration", 0) < raw["metadata"].get("generation", 0):
        return False
    updated: int = state.get("updatedReplicas", 0)
    return bool(
        updated >= wanted and state.get("replicas", 0) <= updated and state.get("availableReplicas", 0) >= updated
    )


def job(raw: dict[str, Any], pods: Iterable[dict[str, Any]]) -> JobState:
    """A Job of ours with its pod (the newest one, should there ever be two)."""
    meta, state = raw["metadata"], raw.get("status") or {}
    conditions = {item["type"]: item for item in state.get("conditions") or () if item.get("status") == "True"}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    # FailureTarget and SuccessCriteriaMet come before the pods have ended; Failed and Complete come after.
    failed = conditions.get("Failed")
    uncounted = state.get("uncountedTerminatedPods") or {}
    own = [
        item
        for item in pods
        if any(owner.get("uid") == meta["uid"] for owner in item["metadata"].get("ownerReferences") or ())
    ]
    newest = max(own, key=lambda item: item["metadata"]["creationTimestamp"], default=None)
    return JobState(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=labels.get(LABEL_OWNER, ""),
        created=statuses.moment(meta["creationTimestamp"]) if meta.get("creationTimestamp") else _EPOCH,
        complete="Complete" in conditions,
        failed=failed is not None,
        failure=messages.untrusted(f"{failed.get('reason', '')}: {failed.get('message', '')}") if failed else "",
        ttl=raw["spec"].get("ttlSecondsAfterFinished"),
        deleting=bool(meta.get("deletionTimestamp")),
        run_id=labels.get(LABEL_RUN, ""),
        step=labels.get(LABEL_STEP, ""),
        attempt=int(told) if (told := annotations.get(ANNOTATION_ATTEMPT, "")).isdecimal() and len(told) < 6 else 1,
        image=annotations.get(ANNOTATION_IMAGE, ""),
        release=annotations.get(ANNOTATION_RELEASE, ""),
        pod=pod(newest) if newest is not None else None,
        counted=bool(state.get("failed") or state.get("succeeded") or any(uncounted.values())),
    )


def pod(raw: dict[str, Any]) -> PodState:
    """The state of a Job's pod."""
    state = raw.get("status") or {}
    scheduled: dict[str, Any] = next(
        (item for item in state.get("conditions") or () if item.get("type") == "PodScheduled"), {}
    )
    unschedulable = scheduled.get("message", "") if scheduled.get("status") == "False" else ""
    disrupted = any(
        item.get("type") == "DisruptionTarget" and item.get("status") == "True"
        for item in state.get("conditions") or ()
    )
    reported = [*(state.get("initContainerStatuses") or ()), *(state.get("containerStatuses") or ())]
    return PodState(
        name=raw["metadata"]["name"],
        phase=state.get("phase", "Pending"),
        reason=_word(state.get("reason", "")),
        message=state.get("message", ""),
        unschedulable=unschedulable,
        interrupted=bool(raw["metadata"].get("deletionTimestamp")) or disrupted,
        containers=tuple(_container(item) for item in reported),
    )


def _word(text: str) -> str:
    """A reason as kubelets write them; anything else is none. It goes into our own status, which takes nothing longer."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,63}", text) else ""


def _container(raw: dict[str, Any]) -> ContainerState:
    """A container's state. One that restarts (only the agent does) is known by the end of its life before."""
    now, last = raw.get("state") or {}, raw.get("lastState") or {}
    waiting = now.get("waiting") or {}
    ended = now.get("terminated") or (last.get("terminated") if raw["name"] == "agent" else None) or {}
    return ContainerState(
        name=raw["name"],
        running="running" in now,
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=ended.get("exitCode"),
        exit_reason=_word(ended.get("reason", "")),
        exit_message=ended.get("message", ""),
        restarts=raw.get("restartCount", 0),
    )
