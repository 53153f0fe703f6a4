from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from kopf._cogs.structs.references import Resource

from locktender.runtime import watch
from locktender.runtime.queue import WorkQueue


@pytest.mark.parametrize(
    ("group", "plural", "selector"),
    [
        ("apps", "deployments", ["locktender.dev/gate"]),
        ("batch", "jobs", ["app.kubernetes.io/managed-by=locktender"]),
        ("", "pods", ["app.kubernetes.io/managed-by=locktender"]),
        ("locktender.dev", "databasemigrations", []),
    ],
)
def test_the_server_filters_what_is_watched(group: str, plural: str, selector: list[str]) -> None:
    version = "v1alpha1" if group == "locktender.dev" else "v1"
    resource = Resource(group, version, plural, namespaced=True, verbs=frozenset({"list", "watch"}))
    assert watch.settings().watching.label_selectors.collect(resource) == selector


def test_kopf_writes_nothing_to_peoples_objects() -> None:
    chosen = watch.settings()
    assert chosen.posting.enabled is False
    assert chosen.scanning.disabled is True
    assert chosen.peering.standalone is True
    handlers = watch.registry(WorkQueue(time.monotonic), lambda: None)
    # Only on.event handlers: none of the kinds that keep finalizers or bookkeeping annotations.
    assert not list(handlers._changing.get_all_handlers())
    assert not list(handlers._spawning.get_all_handlers())
    assert len(list(handlers._watching.get_all_handlers())) == 4
    assert asyncio.iscoroutinefunction(watch.watch)


def test_a_watch_that_is_refused_is_tried_again_without_an_end() -> None:
    """Kopf's own waits are eight; after them the operator ends, for the sake of one namespace that it may not read."""
    waits = watch.settings().networking.error_backoffs
    assert not isinstance(waits, float | int)
    for _ in range(2):
        first = list(itertools.islice(waits, 1000))
        assert (first[0], max(first), len(first)) == (1, watch.PATIENCE_LONGEST, 1000)


async def test_a_deployment_that_changes_its_gate_is_news_for_both() -> None:
    queue = WorkQueue(time.monotonic)
    handlers = {item.fn.__name__: item.fn for item in watch.registry(queue, lambda: None)._watching.get_all_handlers()}

    async def seen(kind: str, **labels: str) -> list[str]:
        gate = {"locktender.dev/gate": labels["gate"]} if labels else {}
        await handlers["deployment"](namespace="shop", uid="web", labels=gate, type=kind)  # type: ignore[call-arg]
        found = []
        while len(queue):
            key, _ = await queue.get()
            queue.done(key)
            found.append(key[1])
        return found

    assert await seen("ADDED", gate="shop-db") == ["shop-db"]
    assert await seen("MODIFIED", gate="shop-db") == ["shop-db"]
    assert await seen("MODIFIED", gate="other-db") == ["other-db", "shop-db"]
    assert await seen("DELETED", gate="other-db") == ["other-db"]
    assert await seen("ADDED", gate="shop-db") == ["shop-db"], "what is gone is forgotten"
