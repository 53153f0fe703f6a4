from __future__ import annotations

import asyncio
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
