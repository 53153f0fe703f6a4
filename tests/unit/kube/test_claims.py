"""Whose database it is: a claim that nobody in the namespace made blocks nobody in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.core.key import claim_name
from locktender.core.observation import Claim
from locktender.kube import observe, parse, paths
from tests.builders import a_spec

HOME = "locktender-system"
MINE = {"metadata": {"namespace": "shop", "name": "shop-db", "uid": "uid-mine"}, "spec": a_spec()}
LEASE = paths.leases(HOME, claim_name("shop", "shop-db", "url"))


class Server:
    """Answers with what is stored under a path."""

    def __init__(self, **stored: dict[str, Any]) -> None:
        self.stored = stored

    async def get(self, where: str) -> dict[str, Any] | None:
        return self.stored.get(where)


def lease(holder: str | None) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": holder} if holder is not None else {}}


async def claim(holder: str | None, **others: dict[str, Any]) -> Claim:
    server = Server(**{LEASE: lease(holder), **others})
    found, _, version = await observe._claim(server, MINE, parse.spec(MINE), None, HOME)  # type: ignore[arg-type]  # only `get` is called
    assert version == "7"
    return found


def at_work(namespace: str) -> dict[str, dict[str, Any]]:
    """A DatabaseMigration `other` with a run under way."""
    status = {"run": {"id": "run-1", "key": "k", "attempt": 1, "startTime": "2026-03-01T12:00:00Z"}}
    meta = {"namespace": namespace, "name": "other", "uid": "uid-other"}
    return {paths.migrations(namespace, "other"): {"metadata": meta, "spec": a_spec(), "status": status}}


async def test_a_run_under_way_in_the_same_namespace_has_the_database() -> None:
    assert await claim("other/uid-other/run-1", **at_work("shop")) is Claim.BUSY


async def test_a_run_of_another_namespace_has_not_whatever_the_lease_says() -> None:
    assert await claim("other/uid-other/run-1", **at_work("evil")) is Claim.FREE


@pytest.mark.parametrize(
    "holder",
    [None, "", "other", "other/uid-other", "other/uid-other/run-0", "other/uid-before/run-1", "/".join("abcd"), "../evil/other/uid-other/run-1"],
)  # fmt: skip
async def test_a_claim_that_no_run_under_way_made_is_none(holder: str | None) -> None:
    assert await claim(holder, **at_work("shop")) is Claim.FREE


NAMES = st.text(st.characters(codec="utf-8"))


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_claims_name_is_the_namespaces_own(namespace: str, other: str, secret: str, key: str) -> None:
    names = (claim_name(namespace, secret, key), claim_name(other, secret, key))
    assert (names[0] == names[1]) == (namespace == other)
