"""What people are told of versions that came past their gate: by a bypass, or because there was no gate. Pure; called in every pass."""

from locktender.api.conditions import Reason
from locktender.api.spec import Spec
from locktender.api.status import GateState, Status
from locktender.core import gate_messages, passage
from locktender.core.actions import EmitEvent
from locktender.core.observation import GatedDeployment, Observation


def events(observation: Observation, spec: Spec, status: Status) -> tuple[EmitEvent, ...]:
    """What runs unmigrated, told on the Deployment and on the resource for as long as it does; each use of a bypass."""
    told: list[EmitEvent] = []
    where = (observation.name, observation.namespace)
    for item in observation.deployments:
        said = item.word.said if item.word else ""
        if item.held:
            if item.word is not None and passage.asked_in_vain(observation, item):
                at_once = item.generation == item.word.generation + 1
                text = gate_messages.bypass_held(item.name, said, *where, at_once=at_once)
                told.append(_about(item, Reason.BYPASS_HELD, text, f"bypass-held/{item.word}"))
            continue
        state = passage.state(observation, spec, status, item)
        follows = passage.what_next(observation, spec, status, item)
        if state is GateState.BYPASSED:
            text = f"{gate_messages.bypassed(item.name, item.images, said, follows)} {gate_messages.audit_log(*where)}"
            told.extend(_on_both(item, Reason.GATE_BYPASSED, text, f"bypass/{item.name}/{item.word}"))
        elif state is GateState.SKIPPED:
            text = gate_messages.skipped(item.name, item.images, follows)
            told.extend(_on_both(item, Reason.GATE_SKIPPED, text, f"skipped/{item.name}/{item.generation}"))
        elif passage.bypass_of_verified(observation, item):
            text = f"{gate_messages.bypassed_verified(item.name, item.images, said)} {gate_messages.audit_log(*where)}"
            told.extend(_on_both(item, Reason.GATE_BYPASSED, text, f"bypass/{item.name}/{item.word}"))
    for item in passage.left_by_bypass(observation):
        text = gate_messages.left_by_bypass(
            item.name, item.images, item.word.said if item.word else "", observation.name
        )
        text = f"{text} {gate_messages.audit_log(*where)}"
        told.extend(_on_both(item, Reason.GATE_BYPASSED, text, f"left/{item.name}/{item.word}"))
    return tuple(told)


def _on_both(item: GatedDeployment, reason: Reason, text: str, fact: str) -> tuple[EmitEvent, EmitEvent]:
    return _about(item, reason, text, fact), EmitEvent(reason, text, fact, warning=True)


def _about(item: GatedDeployment, reason: Reason, text: str, fact: str) -> EmitEvent:
    return EmitEvent(reason, text, fact, warning=True, deployment=item.name, deployment_uid=item.uid)
