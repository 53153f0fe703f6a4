"""Kubernetes Events, each fact once.

The Event's name is a hash of what it is about and of the fact, so that a repeated pass, a restarted process or a second replica posts
nothing new: the API server answers 409 and that is fine.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from locktender.core.actions import EmitEvent
from locktender.core.errors import ApiError
from locktender.core.messages import fit
from locktender.core.observation import Observation
from locktender.settings import GROUP, VERSION

NOTE_LIMIT = 1000  # characters; the API allows 1024
COMPONENT = f"{GROUP}/controller"


class Creator(Protocol):
    """The one call that posting needs."""

    async def create(self, where: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object; ApiError with status 409 when it exists."""


@dataclass(frozen=True)
class Fact:
    """An Event to be: what it regards, and what is said."""

    regarding: tuple[tuple[str, str], ...]
    reason: str
    note: str
    identity: str
    warning: bool


def about(observation: Observation, action: EmitEvent) -> Fact:
    """The fact of an action: about the Deployment it names, or else about the DatabaseMigration."""
    if action.deployment:
        return deployment_fact(observation.namespace, action)
    regarding = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "DatabaseMigration",
        "namespace": observation.namespace,
        "name": observation.name,
        "uid": observation.uid,
    }
    return Fact(tuple(regarding.items()), action.reason, action.message, action.fact, action.warning)


def deployment_fact(namespace: str, action: EmitEvent) -> Fact:
    """A fact about a Deployment."""
    regarding = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": namespace,
        "name": action.deployment,
        "uid": action.deployment_uid,
    }
    return Fact(tuple(regarding.items()), action.reason, action.message, action.fact, action.warning)


async def post(client: Creator, namespace: str, fact: Fact, instance: str) -> bool:
    """Post the Event unless it has been posted before; whether it is new. Raises ApiError for anything but "exists"."""
    regarding = dict(fact.regarding)
    digest = hashlib.sha256(f"{regarding['uid']}\0{fact.reason}\0{fact.identity}".encode()).hexdigest()[:16]
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{regarding['name'][:200].rstrip('.-')}.{digest}", "namespace": namespace},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": COMPONENT,
        "reportingInstance": instance[:128],
        "action": str(fact.reason),
        "reason": str(fact.reason),
        "type": "Warning" if fact.warning else "Normal",
        "note": fit(fact.note, NOTE_LIMIT),
        "regarding": regarding,
    }
    try:
        await client.create(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", body)
    except ApiError as error:
        # 409: told before. 403 with "terminating": the namespace is going away, and so are its Events.
        if error.status != 409 and not (error.status == 403 and "terminat" in str(error)):
            raise
        return False
    return True
