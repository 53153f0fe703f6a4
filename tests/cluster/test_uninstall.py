"""`helm uninstall` while Deployments are held: the gate goes first, then what it held is let through; nothing stays paused."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.kit.manifests import deployment, migration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed_again():
    yield
    subprocess.run((sys.executable, "-m", "tests.cluster.kit.prepare"), cwd=ROOT, check=True)


@pytest.mark.usefixtures("installed_again")
def test_nothing_stays_held_and_the_records_stay(a_world):
    world = a_world()
    world.apply(migration(), deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    assert world.is_held()
    world.stage.run(
        "helm", "uninstall", "locktender", "--namespace", "locktender-system", "--wait", "--timeout", "180s"
    )
    world.wait_rolled_out("bad")
    policies = world.kubectl("get", "mutatingadmissionpolicies,validatingadmissionpolicies", "-o", "name")
    assert "locktender" not in policies
    assert world.kubectl("get", "dbm", "-o", "name").strip(), "the resources are kept"
    # Without a gate a Deployment rolls out at once, as if Locktender had never been there.
    world.apply(deployment("two"))
    world.wait_rolled_out("two")
