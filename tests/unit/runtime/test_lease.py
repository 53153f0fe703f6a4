from __future__ import annotations

import asyncio
from typing import Any

import pytest

from locktender.core.errors import ApiError
from locktender.runtime.lease import Elector, LeadershipLost


class Store:
    """One Lease with the API server's optimistic locking."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False

    def _check(self) -> None:
        if self.down:
            raise ApiError(0, "Unreachable", "connection refused")

    async def get(self, _: str) -> dict[str, Any] | None:
        self._check()
        return None if self.lease is None else {**self.lease, "spec": dict(self.lease["spec"])}

    async def create(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "exists")
        return self._store(body)

    async def replace(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "Conflict", "changed")
        return self._store(body)

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def elector(store: Store, time: Time, name: str) -> Elector:
    return Elector(store, "ns", "locktender", name, clock=time, sleep=time.sleep)  # type: ignore[arg-type]


async def test_the_first_candidate_leads() -> None:
    store, time = Store(), Time()
    await elector(store, time, "a").acquire()
    assert store.lease is not None
    assert store.lease["spec"]["holderIdentity"] == "a"


async def test_a_second_candidate_leads_only_after_the_lease_has_stood_still_for_its_duration() -> None:
    store, time = Store(), Time()
    await elector(store, time, "a").acquire()
    began = time.now
    await elector(store, time, "b").acquire()
    assert 15.0 < time.now - began < 15.0 + 2 * 2.4
    assert store.lease is not None
    assert store.lease["spec"]["leaseTransitions"] == 1


async def test_a_released_lease_is_taken_at_once() -> None:
    store, time = Store(), Time()
    first = elector(store, time, "a")
    await first.acquire()
    await first.release()
    began = time.now
    await elector(store, time, "b").acquire()
    assert time.now - began == 0


async def test_a_leader_that_cannot_renew_gives_up_before_its_lease_can_expire() -> None:
    store, time = Store(), Time()
    leader = elector(store, time, "a")
    await leader.acquire()
    store.down = True
    began = time.now
    with pytest.raises(LeadershipLost):
        await leader.keep()
    assert time.now - began < 15.0


async def test_a_leader_that_sees_another_holder_gives_up() -> None:
    store, time = Store(), Time()
    leader = elector(store, time, "a")
    await leader.acquire()
    assert store.lease is not None
    store._store({**store.lease, "spec": {**store.lease["spec"], "holderIdentity": "b"}})
    with pytest.raises(LeadershipLost):
        await leader.keep()
