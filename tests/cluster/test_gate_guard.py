"""The operator that the chart installed, and a gate that somebody takes away."""

import time
from typing import Any

import pytest

from tests.cluster.kit.manifests import deployment, migration

PARTS = (
    "mutatingadmissionpolicy/gate.locktender.dev",
    "mutatingadmissionpolicybinding/gate.locktender.dev",
    "validatingadmissionpolicy/gate-backstop.locktender.dev",
    "validatingadmissionpolicybinding/gate-backstop.locktender.dev",
)
SECONDS = 15.0  # it takes less than one; the rest is for a machine that is busy


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_gate_that_is_deleted_comes_back(stage: Any, part: str) -> None:
    wanted = stage.run("kubectl", "get", part, "-o", "jsonpath={.spec}").stdout
    stage.run("kubectl", "delete", part)
    deadline = time.monotonic() + SECONDS
    while stage.run("kubectl", "get", part, "--ignore-not-found", "-o", "jsonpath={.spec}").stdout != wanted:
        assert time.monotonic() < deadline, f"{part} is not back after {SECONDS:.0f} s"
        time.sleep(0.1)


def test_a_release_after_that_is_held_as_ever(a_world: Any) -> None:
    world = a_world()
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")
    world.never_too_early("one")
