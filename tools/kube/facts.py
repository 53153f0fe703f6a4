"""What objects say, read from their JSON: whether a Deployment is held, how a container ended, what a condition holds."""

from typing import Any

from tools.kube.recorder import Recorder, Seen

HELD = "locktender.dev/held"
STEP = "locktender.dev/step"
RUN = "locktender.dev/run"
MIGRATE = "migrate"  # the container whose exit code is the verdict


def image(owner: dict[str, Any]) -> str:
    """The first image of a pod template or a pod."""
    spec = owner["spec"].get("template", {}).get("spec") or owner["spec"]
    return str(spec["containers"][0]["image"])


def is_held(deployment: dict[str, Any]) -> bool:
    """Paused by the gate."""
    marked = deployment["metadata"].get("annotations", {}).get(HELD) == "true"
    return marked and bool(deployment["spec"].get("paused"))


def condition(resource: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    """The condition `kind`; an empty one where it is missing."""
    conditions = (resource or {}).get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), {})


def step(resource: dict[str, Any]) -> str:
    """Which step of a run a Job or pod belongs to, empty for objects that are not ours."""
    return str(resource["metadata"].get("labels", {}).get(STEP, ""))


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The status of a container."""
    status = pod.get("status", {})
    both = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((found for found in both if found["name"] == name), {})


def ended(pod: dict[str, Any], name: str) -> dict[str, Any] | None:
    """How a container ended; None while it has not."""
    found = container(pod, name).get("state", {}).get("terminated")
    return dict(found) if found else None


def is_ready(pod: dict[str, Any]) -> bool:
    """Ready and not on its way out."""
    return "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready").get("status") == "True"


def verdict_version(recorder: Recorder, wanted: str, after: int = 0) -> int | None:
    """The write in which a migration container with image or run `wanted` was first seen to have ended with exit code 0."""
    for event in recorder.events("pods"):
        if event.version <= after or step(event.object) != "migrate":
            continue
        images = [part["image"] for part in event.object["spec"]["containers"]]
        volumes = [part.get("image", {}).get("reference") for part in event.object["spec"].get("volumes", [])]
        copies = [part["image"] for part in event.object["spec"].get("initContainers", [])]
        run = event.object["metadata"]["labels"].get(RUN)
        if wanted not in (*images, *volumes, *copies, run):
            continue
        end = ended(event.object, MIGRATE)
        if end and end["exitCode"] == 0:
            return event.version
    return None


def appearances(recorder: Recorder, wanted: str, after: int = 0) -> list[Seen]:
    """The first sight of each ReplicaSet and pod of an application that runs image `wanted`."""
    first: dict[str, Seen] = {}
    for event in recorder.events("replicasets", "pods"):
        if event.version <= after or step(event.object) or image(event.object) != wanted:
            continue
        first.setdefault(event.object["metadata"]["uid"], event)
    return list(first.values())


def too_early(recorder: Recorder, wanted: str, after: int = 0) -> list[str]:
    """ReplicaSets and pods of image `wanted` that existed before its migration had ended with exit code 0."""
    if recorder.gaps:
        return [f"the record has a hole: {', '.join(recorder.gaps)}"]
    verdict = verdict_version(recorder, wanted, after)
    found = appearances(recorder, wanted, after)
    return [f"{event.kind} {event.name}" for event in found if verdict is None or event.version <= verdict]


def is_rolled_out(deployment: dict[str, Any]) -> bool:
    """As `kubectl rollout status` sees it, and not paused."""
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    return current and counts == [wanted] * 3 and not deployment["spec"].get("paused")
