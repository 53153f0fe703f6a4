"""The only module that imports kopf: it watches, and puts keys into the queue. Nothing else happens in a handler.

No create, update, delete, timer or daemon handlers: they would add finalizers and bookkeeping annotations to people's objects.
"""

import asyncio
import dataclasses
import itertools
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kopf

from locktender.runtime.queue import WorkQueue
from locktender.settings import GROUP, LABEL_GATE, LABEL_MIGRATION, MANAGED_BY, VERSION

Labels = Mapping[str, str]
PATIENCE = (1, 1, 2, 3, 5, 8)  # seconds between the first attempts of a watch that is refused or not answered
PATIENCE_LONGEST = (
    10  # seconds between all later ones: a server that comes back, or a right that is granted, is noticed soon
)


class Endless:
    """Waits without an end. Kopf's own list of them ends, and with it the operator, for the sake of one namespace that it may not read."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(PATIENCE, itertools.repeat(PATIENCE_LONGEST))


class ClusterConnection(kopf.ConnectionInfo):
    """A connection that accepts cluster CAs of before RFC 5280 was enforced.

    Python 3.13 asks for extensions (key usage, authority key identifier) that the CAs of many running clusters do not have.
    The chain, the host name and the dates are verified as ever.
    """

    def as_ssl_context(self) -> ssl.SSLContext:
        """The context for the API server."""
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def registry(queue: WorkQueue, on_sign_of_life: Callable[[], None]) -> kopf.OperatorRegistry:
    """The handlers: every event of an object of interest becomes a key in the queue."""
    handlers = kopf.OperatorRegistry()
    gates: dict[str, str] = {}  # by the uid of a Deployment, the gate it was last seen at

    def seen(namespace: str | None, name: str | None) -> None:
        on_sign_of_life()
        if namespace and name:
            queue.add((namespace, name))

    @kopf.on.login(registry=handlers)
    def login(**keywords: Any) -> Any:
        found = kopf.login_with_service_account(**keywords) or kopf.login_with_kubeconfig(**keywords)
        if found is None:
            raise kopf.LoginError("neither a service account nor a kubeconfig was found")
        return ClusterConnection(**{item.name: getattr(found, item.name) for item in dataclasses.fields(found)})

    @kopf.on.event(GROUP, VERSION, "databasemigrations", registry=handlers)
    async def migration(namespace: str | None, name: str | None, **_: Any) -> None:
        seen(namespace, name)

    @kopf.on.event("apps", "v1", "deployments", labels={LABEL_GATE: kopf.PRESENT}, registry=handlers)
    async def deployment(namespace: str | None, uid: str | None, labels: Labels, type: str | None, **_: Any) -> None:  # noqa: A002  # kopf's own name
        gate = labels.get(LABEL_GATE)
        seen(namespace, gate)
        # One that moves to another gate is news for the gate it leaves, too.
        left = gates.pop(uid or "", gate)
        if left != gate:
            seen(namespace, left)
        if type != "DELETED" and gate:
            gates[uid or ""] = gate

    @kopf.on.event("batch", "v1", "jobs", labels={LABEL_MIGRATION: kopf.PRESENT}, registry=handlers)
    @kopf.on.event("v1", "pods", labels={LABEL_MIGRATION: kopf.PRESENT}, registry=handlers)
    async def child(namespace: str | None, labels: Labels, **_: Any) -> None:
        seen(namespace, labels.get(LABEL_MIGRATION))

    _ = (login, migration, deployment, child)
    return handlers


def settings() -> kopf.OperatorSettings:
    """Kopf as a pure watch engine: filtered by the server, silent, alone."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.watching.chunk_size = 500  # objects in a page of the first list: bounds memory on both sides
    chosen.watching.label_selectors["apps", "v1", "deployments"] = LABEL_GATE
    chosen.watching.label_selectors["batch", "v1", "jobs"] = "=".join(MANAGED_BY)
    chosen.watching.label_selectors["v1", "pods"] = "=".join(MANAGED_BY)
    chosen.networking.request_timeout = 30.0  # seconds; the default of 300 hides a dead server
    chosen.networking.connect_timeout = 10.0
    chosen.networking.error_backoffs = Endless()
    chosen.persistence.finalizer = f"{GROUP}/unused"
    return chosen


async def watch(
    queue: WorkQueue, namespaces: tuple[str, ...], ready: asyncio.Event, on_sign_of_life: Callable[[], None]
) -> None:
    """Watch until cancelled; `ready` is set when kopf has started its watchers. Raises when a watch ends for good."""
    await kopf.operator(
        registry=registry(queue, on_sign_of_life),
        settings=settings(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        ready_flag=ready,
    )
