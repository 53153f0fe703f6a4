"""A DatabaseMigration that claims a Deployment of another gate."""

from __future__ import annotations

from dataclasses import replace

from locktender.core.decide import decide
from tests.builders import a_migration


def test_a_source_behind_another_gate_is_said_and_nothing_runs() -> None:
    world = a_migration(migration={"framework": "Sql", "from": {"deployment": "api"}}).holds("web", "shop:v2")
    for deployments in (tuple(world.deployments.values()), ()):
        seen = replace(world.observation(), source_gate="api-db", deployments=deployments)
        decision = decide(seen, world.now)
        ready = decision.status.condition("Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "GateMismatch")
        assert "behind another gate, locktender.dev/gate=api-db" in ready.message
        assert decision.status.run is None
