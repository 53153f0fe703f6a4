"""What a Job and its pod prove. Pure; called by the steps.

The exit code of the main container, as the kubelet reports it, is the verdict: it comes 1.7 to 3 s before the Job's own. The Job stays
the durable record. Nothing is ever read out of logs.

    Job --no pod--> Pending | Lost (Job failed) | Succeeded (Job complete) | Running (a pod has been and gone)
     `-- pod --main container ended--> Succeeded (0) | Failed | NotStarted (our runner said: may come right by waiting)
          |--agent gave up, main never started--> NotStarted
          |--a container waits--> Waiting (missing Secret, image, node) | NotStarted for good (malformed image)
          `--main container runs--> Running
"""

from dataclasses import dataclass
from enum import StrEnum

from locktender.api.conditions import Reason
from locktender.core import messages
from locktender.core.observation import ContainerState, JobState, PodState
from locktender.core.reports import Report, parse

AGENT = "agent"
EXIT_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h: our runner asks for another attempt

_PULL = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ErrImageNeverPull", "ImageInspectError")
_CONFIG = ("CreateContainerConfigError",)
_START = ("CreateContainerError", "RunContainerError")


class Finding(StrEnum):
    """What the evidence amounts to."""

    PENDING = "Pending"
    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    NOT_STARTED = "NotStarted"
    LOST = "Lost"


@dataclass(frozen=True)
class Evidence:
    """A finding with its reason and sentence. `transient` (NOT_STARTED only): another attempt may succeed by waiting."""

    finding: Finding
    reason: str = ""
    message: str = ""
    transient: bool = False
    report: Report | None = None


@dataclass(frozen=True)
class MainContainer:
    """Which container's end is the verdict, whether it is our runner, and its time limit in seconds."""

    name: str
    is_runner: bool
    timeout: float


def judge(job: JobState, main: MainContainer, namespace: str) -> Evidence:
    """The evidence in a Job and its pod."""
    pod = job.pod
    if pod is None:
        return _without_pod(job, namespace)
    state = pod.container(main.name)
    if state is not None and state.exit_code is not None:
        return _ended(job, pod, state, main)
    never_started = state is None or not state.started
    agent = pod.container(AGENT)
    if never_started and agent is not None and (gave_up := _gave_up(agent)) is not None:
        return gave_up
    if pod.phase == "Failed":
        why = pod.message or pod.reason
        if never_started:
            return Evidence(
                Finding.NOT_STARTED, pod.reason or Reason.POD_PENDING, messages.untrusted(why), transient=True
            )
        return Evidence(Finding.LOST, Reason.NOT_RECORDED, messages.end_not_recorded(job.name, pod.reason))
    if state is not None and state.running:
        return Evidence(Finding.RUNNING, Reason.RUNNING)
    return _not_yet(job, pod, namespace)


def _without_pod(job: JobState, namespace: str) -> Evidence:
    if job.complete:
        return Evidence(Finding.SUCCEEDED)
    if job.failed or job.deleting:
        return Evidence(Finding.LOST, Reason.NOT_RECORDED, messages.end_not_recorded(job.name, job.failure))
    if job.counted:  # its pod has been and gone; the Job's own end, which is on its way, will say what became of it
        return Evidence(Finding.RUNNING, Reason.RUNNING)
    return Evidence(Finding.PENDING, Reason.POD_PENDING, messages.pod_pending(job.name, namespace))


def _ended(job: JobState, pod: PodState, state: ContainerState, main: MainContainer) -> Evidence:
    """The main container has an exit code."""
    code = state.exit_code
    report = parse(state.exit_message) if main.is_runner else None
    if code == 0 and not (pod.phase == "Failed" or pod.reason or pod.interrupted or job.failed):
        return Evidence(Finding.SUCCEEDED, report=report)
    if code == 0 and pod.reason != "DeadlineExceeded":
        # It ended well because it was asked to end: how far it came, nobody knows.
        why = pod.reason or job.failure or "the pod was deleted or evicted"
        return Evidence(Finding.LOST, Reason.NOT_RECORDED, messages.interrupted(job.name, why))
    if state.exit_reason == "ContainerStatusUnknown":
        return Evidence(Finding.LOST, Reason.NOT_RECORDED, messages.end_not_recorded(job.name, pod.reason))
    if not state.started:
        return Evidence(Finding.NOT_STARTED, Reason.CONTAINER_START, messages.untrusted(state.exit_message))
    if pod.reason == "DeadlineExceeded":
        return Evidence(Finding.FAILED, Reason.TIMEOUT, messages.timed_out(main.timeout))
    if report is not None:
        if report.outcome == "Waiting" and code == EXIT_TRY_LATER:
            return Evidence(Finding.NOT_STARTED, report.reason, report.message, transient=True, report=report)
        return Evidence(Finding.FAILED, report.reason, report.message, report=report)
    reason = Reason.EVICTED if pod.reason in ("Evicted", "Preempting", "NodeShutdown") else Reason.EXIT_CODE
    words = messages.untrusted(state.exit_message)
    return Evidence(Finding.FAILED, reason, messages.exit_code(state.name, code or 0, state.exit_reason, words))


def _gave_up(agent: ContainerState) -> Evidence | None:
    """The agent's own word that the migration's container cannot start in this pod any more.

    An agent that ended without it (killed, out of memory) is restarted by the kubelet, and the migration may still start.
    """
    report = parse(agent.exit_message) if agent.exit_code else None
    if report is None or report.kind != AGENT or report.outcome == "Succeeded":
        return None
    transient = report.outcome == "Waiting"
    return Evidence(Finding.NOT_STARTED, report.reason, report.message, transient=transient, report=report)


def _not_yet(job: JobState, pod: PodState, namespace: str) -> Evidence:
    """No container of interest has ended or runs: say what the pod waits for."""
    for state in pod.containers:
        words = messages.untrusted(state.waiting_message)
        if state.waiting_reason == "InvalidImageName":
            return Evidence(Finding.NOT_STARTED, Reason.INVALID_IMAGE, words)
        if state.waiting_reason in _CONFIG:
            if "runAsNonRoot" in words or "non-numeric user" in words:
                advice = f"{words}. Give the image a numeric USER, or set spec.migration.pod.runAsUser."
                return Evidence(Finding.NOT_STARTED, Reason.CONTAINER_START, advice)
            return Evidence(Finding.WAITING, Reason.CONFIG_MISSING, words)
        if state.waiting_reason in _PULL:
            return Evidence(Finding.WAITING, Reason.IMAGE_PULL, words)
        if state.waiting_reason in _START:
            return Evidence(Finding.WAITING, Reason.CONTAINER_START, words)
        if state.exit_code not in (None, 0):
            words = messages.untrusted(state.exit_message)
            said = messages.exit_code(state.name, state.exit_code or 0, state.exit_reason, words)
            restarted = state.name == AGENT  # by the kubelet; an init container that fails ends the pod
            return Evidence(Finding.WAITING if restarted else Finding.NOT_STARTED, Reason.CONTAINER_START, said)
    if pod.unschedulable:
        return Evidence(Finding.WAITING, Reason.POD_UNSCHEDULABLE, messages.untrusted(pod.unschedulable))
    return Evidence(Finding.PENDING, Reason.POD_PENDING, messages.pod_pending(job.name, namespace))
