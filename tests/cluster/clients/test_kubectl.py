"""kubectl, client-side and server-side: a held Deployment is no difference to the manifests, and `rollout status` waits for the release."""

import json
import subprocess
import time

import pytest

from tests.cluster.kit.manifests import deployment, migration
from tools.kube.api import environment

NO_BACKUP = {"policy": "Skip", "reason": "the test throws the database away"}
QUIET_WITHIN = 20.0  # seconds
APPLY = {"client-side": (), "server-side": ("--server-side",)}


@pytest.mark.parametrize("side", APPLY)
def test_apply_waits_at_the_gate_and_diff_stays_quiet_held_and_released(a_world, side):
    world = a_world(side)
    for release in ("one", "two"):
        apply(world, side, release)
        follower = follow(world)
        assert_nothing_differs(world, side, release)
        said, error = follower.communicate(timeout=150)
        assert "successfully rolled out" in said, error
        assert not world.is_held()
        world.wait_rolled_out(release)
        world.never_too_early(release)
        assert_nothing_differs(world, side, release)
        before = versions(world)
        apply(world, side, release)
        assert versions(world) == before, "an apply that changes nothing was a write"


@pytest.mark.parametrize("side", APPLY)
def test_rollout_status_goes_on_waiting_while_the_gate_holds_and_diff_stays_quiet_after_a_failure(a_world, side):
    world = a_world(side)
    apply(world, side, "bad")
    follower = follow(world)
    world.wait_condition("Stalled", "True", "Failed")
    assert world.is_held()
    assert follower.poll() is None, "rollout status ended while the gate holds"
    assert_nothing_differs(world, side, "bad")
    follower.terminate()
    follower.communicate()
    world.never_ran("bad")


def manifests(release):
    items = [migration(backup=NO_BACKUP), deployment(release)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def apply(world, side, release):
    command = ("kubectl", "-n", world.name, "apply", *APPLY[side], "-f", "-")
    world.stage.run(*command, text=manifests(release))


def follow(world):
    """`kubectl rollout status`, as a person starts it after an apply."""
    command = (world.stage.kubectl, "-n", world.name, "rollout", "status", "deployment/web", "--timeout=150s")
    known = environment(world.stage.kubeconfig, world.stage.tools)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)


def assert_nothing_differs(world, side, release):
    """Kubectl reads twice: what the operator writes in between is shown too. So one quiet answer is enough, a lasting difference is not."""
    command = ("kubectl", "-n", world.name, "diff", *APPLY[side], "-f", "-")
    end = time.monotonic() + QUIET_WITHIN
    while True:
        done = world.stage.run_unchecked(*command, text=manifests(release))
        if (done.returncode, done.stdout) == (0, ""):
            return
        assert done.returncode == 1, done.stderr
        assert time.monotonic() < end, done.stdout


def versions(world):
    """The generations: a status may be written meanwhile, a spec may not."""
    found = json.loads(world.kubectl("get", "deployment/web", "dbm/app-db", "-o", "json"))
    return [item["metadata"]["generation"] for item in found["items"]]
