"""Specs and statuses of any shape: read, or refused with a sentence. Never a traceback, which would be tried again for ever."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locktender.api import status as statuses
from locktender.api.spec import Spec
from locktender.api.status import Status
from locktender.core.decide import decide
from locktender.core.errors import UnreadableStatus
from locktender.kube import parse
from tests import crd_schema
from tests.builders import NOON, a_migration, assert_kstatus

BUSY = (HealthCheck.too_slow,)  # a machine with other work is no mistake of a test
OWN_STATUS = crd_schema.values(crd_schema.schema("databasemigrations", "status"))
SPEC_FIELDS = ("database", "migration", "backup", "locks", "gate", "strategy", "release", "suspend")


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(
    st.one_of(
        crd_schema.anything(), st.fixed_dictionaries({}, optional={name: crd_schema.anything() for name in SPEC_FIELDS})
    )
)
def test_any_spec_is_read_or_refused_with_a_sentence(raw: Any) -> None:
    found = parse.spec({"spec": raw})
    if isinstance(found, str):
        assert found
        assert len(found) < 2000
    else:
        assert isinstance(found, Spec)


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(
    crd_schema.anything()
    | st.dictionaries(st.sampled_from(["run", "verdicts", "history", "conditions", "gate"]), crd_schema.anything())
)
def test_any_status_is_read_or_said_to_be_unreadable(raw: Any) -> None:
    with contextlib.suppress(UnreadableStatus):
        assert isinstance(parse.status({"status": raw}), Status)


@settings(max_examples=100, deadline=None, suppress_health_check=BUSY)
@given(OWN_STATUS, st.booleans(), st.booleans())
def test_from_any_status_that_an_api_server_stores_there_is_a_next_step(
    raw: dict[str, Any], held: bool, suspended: bool
) -> None:
    try:
        status = parse.status({"status": statuses.to_json(parse.status({"status": raw}))})
    except UnreadableStatus:  # no id, no key: not one that the operator writes
        return
    world = a_migration(suspend=suspended)
    world.status = status
    world = world.holds("web", "shop:v2") if held else world.runs("web", "shop:v1")
    decision = decide(world.observation(), NOON)
    assert_kstatus(decision.status, 1)
    assert crd_schema.problems("databasemigrations", "status", statuses.to_json(decision.status)) == []
