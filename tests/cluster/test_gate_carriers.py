"""The gate carried by its webhook, with real pods behind a real Service: forced by value, its own certificate, and back to the policy."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.kit.manifests import deployment, image, migration
from tools.demo.stage import ROOT, SYSTEM

WEBHOOK = "deployment/locktender-gate-webhook"
CONFIGURATION = "mutatingwebhookconfiguration/gate.locktender.dev"
SECONDS = 60.0


def carry(stage: Any, carrier: str) -> None:
    """`helm upgrade` of what is installed, with nothing changed but the carrier; waits for the pods."""
    chart = str(ROOT / "charts" / "locktender")
    stage.run(
        "helm", "upgrade", "locktender", chart, "--namespace", SYSTEM, "--reset-then-reuse-values", "--set", f"gate.carrier={carrier}",
        "--wait", "--timeout", "180s", "--history-max", "3",
    )  # fmt: skip


def exists(stage: Any, *what: str) -> bool:
    return bool(stage.run("kubectl", "-n", SYSTEM, "get", *what, "--ignore-not-found", "-o", "name").stdout.strip())


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(0.2)


@pytest.fixture
def on_the_webhook(a_world: Any) -> Iterator[Any]:
    """A world whose gate is carried by the webhook alone; carried by the policy again afterwards, in the steps of an upgrade."""
    world = a_world()
    carry(world.stage, "both")
    until(lambda: bool(_bundle(world)), "the operator has copied the bundle")
    carry(world.stage, "webhook")
    assert not exists(world.stage, "mutatingadmissionpolicy", "gate.locktender.dev")
    yield world
    for carrier, server in (("auto", True), ("auto", True), ("auto", False)):
        carry(world.stage, carrier)
        assert exists(world.stage, WEBHOOK) == server
    assert exists(world.stage, "mutatingadmissionpolicy", "gate.locktender.dev")
    assert not exists(world.stage, CONFIGURATION)


def _bundle(world: Any) -> str:
    path = "{.webhooks[0].clientConfig.caBundle}"
    return str(world.stage.run("kubectl", "get", CONFIGURATION, "-o", f"jsonpath={path}").stdout)


def test_a_rollout_is_held_and_released_and_the_server_may_go_down(on_the_webhook: Any) -> None:
    world = on_the_webhook
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")

    world.stage.run("kubectl", "-n", SYSTEM, "scale", WEBHOOK, "--replicas=0")
    until(lambda: "failed calling webhook" in _refusal(world), "nobody answers")
    world.kubectl("scale", "deployment", "web", "--replicas=2")  # changes no image, so nobody is asked
    world.wait_rolled_out("one")
    world.stage.run("kubectl", "-n", SYSTEM, "scale", WEBHOOK, "--replicas=2")
    world.stage.run("kubectl", "-n", SYSTEM, "rollout", "status", WEBHOOK, "--timeout=60s")
    until(lambda: not _refusal(world), "the webhook answers again")

    world.apply(deployment("bad"))
    world.wait_condition("MigrationSucceeded", "False", "StatementFailed")
    assert world.is_held()
    world.apply(deployment("mended"))
    world.wait_rolled_out("mended")
    world.never_too_early("mended")


def _refusal(world: Any) -> str:
    """What the API server says to a changed image, in a dry run; empty when it takes it."""
    done = world.stage.run_unchecked(
        "kubectl", "-n", world.name, "set", "image", "deployment/web", f"*={image('mended')}", "--dry-run=server"
    )
    return str(done.stderr) if done.returncode else ""
