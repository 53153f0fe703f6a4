"""A held Deployment is never silent: whatever keeps it, the condition and an Event on it tell why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from locktender.core import housekeeping, summary
from locktender.core.observation import Claim, ContainerImage, ContainerState
from tests.builders import NOON, World, a_deployment, a_migration, a_pod, ended, report

TO_DO = ("kubectl ", "spec.", "locktender.dev/key", "apply the other half")


def suspended() -> World:
    return a_migration(suspend=True).holds("web", "shop:v2")


def backup_failed() -> World:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    return world.pod_of("Backup", a_pod(ended("backup", 1, report("Failed", "DumpFailed", kind="backup"))), failed=True)


def migrating() -> World:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    return world


def migration_failed() -> World:
    return migrating().migration_ends(1, "boom")


def job_vanished() -> World:
    world = migrating()
    del world.jobs[world.job("Migrate").name]
    return world


def earlier_attempt_unknown() -> World:
    words = report("Failed", "PreviousAttemptUnknown", kind="agent")
    return migrating().pod_of("Migrate", a_pod(ended("agent", 1, words), ContainerState("migrate")))


def image_cannot_be_pulled() -> World:
    waits = ContainerState("migrate", waiting_reason="ImagePullBackOff", waiting_message="x" * 5000)
    return migrating().pod_of("Migrate", a_pod(waits, phase="Pending"))


def database_does_not_answer() -> World:
    words = report("Waiting", "Unreachable", kind="agent")
    return migrating().pod_of("Migrate", a_pod(ended("agent", 75, words), ContainerState("migrate")))


def backup_without_report() -> World:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    return world.pod_of("Backup", None, complete=True)


def without_a_pod() -> World:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.pod_of("Backup", None).step(60)
    return world


def database_claimed() -> World:
    world = a_migration().holds("web", "shop:v2")
    world.claim = Claim.BUSY
    return world


def verified_version_came_back() -> World:
    world = a_migration(gate={"revert": "Hold"}).runs("web", "shop:v1")
    world.settle()
    world.holds("web", "shop:v2").settle()
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    return world.holds("web", "shop:v1")


def previous_migration_failed() -> World:
    world = a_migration(strategy="DeployThenMigrate").holds("web", "shop:v2")
    world.settle()
    world.deployments["web"] = replace(world.deployments["web"], rolled_out=True)
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(1, "boom").settle()
    return world.holds("web", "shop:v3")


def stranger() -> World:
    world = a_migration(migration={"framework": "Sql", "from": {"deployment": "web"}}).runs("web", "shop:v1")
    return world.holds("worker", "worker:v1")


def half_a_release() -> World:
    return a_migration(release="r1").holds("web", "shop:v2", key="r2")


def two_versions() -> World:
    return a_migration().holds("web", "shop:v2").holds("worker", "shop:v3")


def two_images() -> World:
    world = a_migration()
    images = (ContainerImage("app", "shop:v2"), ContainerImage("proxy", "proxy:v1"))
    world.deployments["web"] = a_deployment(held=True, containers=images)
    return world


def no_such_source() -> World:
    return a_migration(migration={"framework": "Sql", "from": {"deployment": "api"}}).holds("web", "shop:v2")


def key_too_long() -> World:
    return a_migration().holds("web", "shop:v2", key="k" * 300)


def invalid_spec() -> World:
    return a_migration(migration={"framework": "Command"}).holds("web", "shop:v2")


STATES: tuple[tuple[Callable[[], World], str], ...] = (
    (suspended, "Suspended"),
    (backup_failed, "Failed"),
    (migration_failed, "Failed"),
    (job_vanished, "NeedsAttention"),
    (earlier_attempt_unknown, "PreviousAttemptUnknown"),
    (image_cannot_be_pulled, "ImagePull"),
    (database_does_not_answer, "Unreachable"),
    (backup_without_report, "NotRecorded"),
    (without_a_pod, "PodPending"),
    (database_claimed, "DatabaseClaimed"),
    (verified_version_came_back, "RevertHeld"),
    (previous_migration_failed, "PreviousMigrationFailed"),
    (stranger, "GateMismatch"),
    (half_a_release, "GateMismatch"),
    (two_versions, "AmbiguousSource"),
    (two_images, "AmbiguousSource"),
    (no_such_source, "GateMismatch"),
    (key_too_long, "InvalidSpec"),
    (invalid_spec, "InvalidSpec"),
)


@pytest.mark.parametrize(("state", "reason"), STATES, ids=[state.__name__ for state, _ in STATES])
def test_a_held_deployment_is_told_what_the_condition_says(state: Callable[[], World], reason: str) -> None:
    world = state()
    world.settle()
    ready = world.status.condition("Ready")
    assert ready is not None
    assert (ready.status == "True", ready.reason) == (False, reason)
    assert any(words in ready.message for words in TO_DO), ready.message
    held = [name for name, item in world.deployments.items() if item.held]
    assert held
    open_ = world.status.condition("GateOpen")
    assert open_ is not None
    assert (open_.status, [name in open_.message for name in held]) == ("False", [True] * len(held))
    for name in held:
        told = {(its, message) for about, its, message in world.events if about == name}
        assert "Held" in {its for its, _ in told}
        assert (reason, ready.message) in told, told


@pytest.mark.parametrize("state", [state for state, _ in STATES], ids=[state.__name__ for state, _ in STATES])
def test_a_state_that_lasts_is_told_once(state: Callable[[], World]) -> None:
    world = state()
    world.settle()
    world.settle()
    before = len(world.events)
    for _ in range(3):
        world.settle()
    assert world.events[before:] == []


def test_a_second_hold_of_the_same_images_in_the_same_second_is_told_too() -> None:
    world = suspended()
    world.settle()
    before = len(world.events)
    world.deployments["web"] = replace(world.deployments["web"], released="some-run@7")
    world.settle()
    assert [reason for _, reason, _ in world.events[before:]] == ["Held", "Suspended"]


def test_the_next_attempt_of_a_wait_is_no_new_event() -> None:
    world = database_does_not_answer()
    world.settle()
    before = len(world.events)
    world.step(5)
    words = report("Waiting", "Unreachable", kind="agent")
    world.pod_of("Migrate", a_pod(ended("agent", 75, words), ContainerState("migrate"))).settle()
    assert world.now > NOON + timedelta(seconds=4)
    assert world.created == ["Backup", "Migrate", "Migrate"]
    assert [event for event in world.events[before:] if event[0] == "web"] == []


def test_a_job_that_the_api_server_refuses_is_told_on_the_deployment() -> None:
    world = migrating()
    message = "The API server refused Job x. Mend it: kubectl get quota"
    status = summary.without_job(world.observation(), "Migrate", "JobRefused", message, world.now)
    told = [(event.reason, event.deployment) for event in housekeeping.hold_events(world.observation(), status)]
    assert told == [("Held", "web"), ("JobRefused", "web")]


@pytest.mark.parametrize("state", [migration_failed, job_vanished, verified_version_came_back, two_versions])
def test_whoever_follows_the_advice_while_it_is_suspended_is_told_to_resume_too(state: Callable[[], World]) -> None:
    world = state()
    world.settle()
    world.raw_spec["suspend"] = True
    world.settle()
    ready = world.status.condition("Ready")
    assert ready is not None
    assert ready.reason != "Suspended"
    assert '"suspend":false' in ready.message


def test_with_revert_hold_the_old_verdict_does_not_open_while_the_version_is_migrated_again() -> None:
    world = verified_version_came_back()
    world.settle()
    released = len(world.released)
    world.retry = "again"
    world.settle()
    world.backup_ends_well().settle()
    assert len(world.released) == released
    world.migration_ends(0).settle()
    assert world.released[released:] == [("web", ("shop:v1",))]
