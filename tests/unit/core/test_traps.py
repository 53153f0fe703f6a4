"""Sequences that look harmless and are not: each would release an unmigrated image, run twice, or get stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from locktender.api.status import Outcome
from locktender.core import actions as act
from locktender.core import gate
from locktender.core.messages import redact
from locktender.core.observation import ContainerImage, ContainerState
from locktender.settings import BACKUP_FRESH, FINALIZER
from tests.builders import World, a_deployment, a_migration, a_pod, ended, report
from tests.unit.core.test_decide import migrated

SKIP = {"policy": "Skip", "reason": "test"}
RUNNING = ContainerState("migrate", running=True)
PULLING = ContainerState("migrate", waiting_reason="ImagePullBackOff", waiting_message="not found")


def at_migrate(**changes: object) -> World:
    """A world whose run of shop:v2 has just created its migration Job."""
    world = a_migration(**{"backup": SKIP, **changes}).holds("web", "shop:v2")
    world.settle()
    return world


@pytest.mark.parametrize(
    "gone", [{"phase": "Failed", "reason": "Evicted"}, {"interrupted": True}, {"phase": "Failed"}], ids=str
)
def test_exit_code_0_of_a_pod_that_was_being_taken_away_is_no_success(gone: dict[str, object]) -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(ended("migrate", 0), **gone)).settle()
    assert world.released == []
    assert world.condition("Ready") == ("False", "NeedsAttention")


def test_a_pod_that_has_been_and_gone_is_no_pod_that_is_still_to_come() -> None:
    world = at_migrate()
    world.pod_of("Migrate", None, counted=True).step(seconds=30)
    world.holds("web", "shop:v3").settle()
    assert world.created == ["Migrate"], "a newer version must not overtake a migration that may have run"
    world.pod_of("Migrate", None, counted=True, failed=True).settle()
    assert world.released == []
    assert world.condition("Ready") == ("False", "NeedsAttention")
    assert world.created == ["Migrate"]


def test_exit_code_0_at_the_time_limit_is_a_time_out() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(ended("migrate", 0), phase="Failed", reason="DeadlineExceeded"), failed=True).settle()
    assert world.released == []
    assert world.condition("MigrationSucceeded") == ("False", "Timeout")


def _two_containers(tag: str, *, held: bool) -> object:
    return a_deployment(
        "web", held=held, containers=(ContainerImage("proxy", "proxy:1"), ContainerImage("app", f"shop:{tag}"))
    )


def test_a_second_containers_new_image_is_not_let_through_on_the_firsts_verdict() -> None:
    world = a_migration()
    world.deployments["web"] = _two_containers("v1", held=False)  # type: ignore[assignment]
    world.settle()
    world.deployments["web"] = _two_containers("v2", held=True)  # type: ignore[assignment]
    world.settle()
    assert world.released == []
    assert world.condition("Ready") == ("False", "AmbiguousSource")
    world.raw_spec["migration"] = {"framework": "Sql", "from": {"deployment": "web", "container": "app"}}
    world.generation = 2
    migrated(world)
    assert world.released == [("web", ("proxy:1", "shop:v2"))]


def test_naming_the_container_afterwards_does_not_migrate_what_was_already_running() -> None:
    world = a_migration()
    world.deployments["web"] = _two_containers("v1", held=False)  # type: ignore[assignment]
    world.settle()
    world.raw_spec["migration"] = {"framework": "Sql", "from": {"deployment": "web", "container": "app"}}
    world.settle()
    assert world.created == []
    assert world.condition("Ready") == ("True", "BaselineAdopted")


def test_what_was_let_past_the_gate_by_hand_is_migrated_like_any_release() -> None:
    world = a_migration().runs("web", "shop:v1").runs("worker", "shop:v1")
    world.settle()
    world.runs("web", "shop:v2").settle()  # somebody used the verb bypass
    world.holds("worker", "shop:v2").settle()
    assert world.released == []
    assert world.created == ["Backup"]
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    assert world.released == [("worker", ("shop:v2",))]


def test_a_deployment_that_gets_its_label_beside_a_held_one_is_no_baseline() -> None:
    world = a_migration(suspend=True).holds("web", "shop:v2")
    world.settle()
    world.runs("worker", "shop:v2").settle()
    assert world.status.verdicts == ()


def test_two_applications_under_one_gate_need_a_named_source_whatever_is_held() -> None:
    world = a_migration().runs("web", "shop:v1").runs("worker", "worker:v1")
    world.settle()
    world.holds("worker", "worker:v2").settle()
    assert world.created == []
    assert world.condition("Ready") == ("False", "AmbiguousSource")


@pytest.mark.parametrize(
    ("image", "name"),
    [("shop:v1", "shop"), ("host:5000/shop", "host:5000/shop"), ("host:5000/a/shop:v1@sha256:ab", "host:5000/a/shop")],
)
def test_a_repository_is_an_image_without_tag_and_digest(image: str, name: str) -> None:
    assert gate.repository(image) == name


def test_a_key_of_its_own_is_not_passed_over_for_a_shared_image() -> None:
    world = a_migration(backup=SKIP, migration={"framework": "Django", "image": "tools:v1"})
    world.settle()
    world.migration_ends(0).settle()
    world.deployments["web"] = a_deployment(
        "web", "shop:v9", held=True, key="2", init_containers=(ContainerImage("tools", "tools:v1"),)
    )
    world.settle()
    assert world.released == []
    ready = world.status.condition("Ready")
    assert ready is not None
    assert "set spec.release" in ready.message


def test_a_person_who_settles_an_earlier_attempt_does_not_declare_this_one_migrated() -> None:
    world = at_migrate()
    words = report("Failed", "PreviousAttemptUnknown", "The end of run old-1 is not recorded.", kind="agent")
    world.pod_of("Migrate", a_pod(ended("agent", 1, words), PULLING)).settle()
    assert world.condition("Ready") == ("False", "PreviousAttemptUnknown")
    assert world.status.run is not None
    ready = world.status.condition("Ready")
    assert ready is not None
    assert "=ran" not in ready.message
    world.resolve = f"{world.status.run.id}=ran"
    world.settle()
    assert world.released == []
    world.resolve = f"{world.status.run.id}=not-ran"
    world.settle()
    assert world.status.run.overridden


def test_a_run_whose_end_is_known_here_is_no_question_for_the_next_agent() -> None:
    world = at_migrate()
    first = world.status.run.id if world.status.run else ""
    world.jobs.clear()
    world.settle()
    world.resolve = f"{first}=ran"
    world.settle()
    made: list[act.EnsureJob] = []
    world.holds("web", "shop:v3")
    for _ in range(6):
        made += [action for action in world.step().actions if isinstance(action, act.EnsureJob)]
    assert first in made[-1].settled


@pytest.mark.parametrize(
    "edit",
    [
        {"backup": {"policy": "Required", "storage": {"pvc": {"claimName": "backups"}}}},
        {"database": {"urlSecretRef": {"name": "other-db", "key": "url"}}, "backup": SKIP},
        {"strategy": "DeployThenMigrate", "backup": SKIP},
    ],
    ids=["the backup policy", "the database", "the strategy"],
)
def test_a_spec_that_changes_before_the_migration_has_started_begins_anew(edit: dict[str, object]) -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(PULLING, phase="Pending")).settle()
    before = world.status.run.id if world.status.run else ""
    world.raw_spec |= edit
    world.generation = 2
    world.settle()
    assert world.status.run is not None
    assert world.status.run.id != before
    assert world.status.history[0].outcome is Outcome.SUPERSEDED
    if "policy" in edit["backup"] and edit["backup"] != SKIP:  # type: ignore[operator]
        assert world.created == ["Migrate", "Backup"], "no migration without its backup"


def test_a_spec_that_changes_during_the_migration_does_not_turn_the_run_round() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(RUNNING)).settle()
    world.raw_spec["strategy"] = "DeployThenMigrate"
    world.settle()
    assert world.released == []
    world.migration_ends(0).settle()
    assert world.created == ["Migrate"]
    assert world.released == [("web", ("shop:v2",))]


def test_a_backup_that_waited_too_long_is_taken_again() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.raw_spec["suspend"] = True
    world.backup_ends_well().settle()
    world.step(seconds=BACKUP_FRESH + 60)
    world.raw_spec["suspend"] = False
    world.settle()
    assert world.created == ["Backup", "Backup"]


def test_a_token_set_while_something_runs_does_not_repeat_it_after_it_failed() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(PULLING, phase="Pending")).settle()
    world.retry = "1"
    world.settle()
    world.migration_ends(1).settle()
    world.step(seconds=60)
    assert world.created == ["Migrate"]
    assert world.status.last_handled_retry == "1"


def test_a_token_set_while_suspended_counts_after_it() -> None:
    world = at_migrate()
    world.migration_ends(1).settle()
    world.raw_spec["suspend"] = True
    world.retry = "1"
    world.settle()
    world.raw_spec["suspend"] = False
    world.settle()
    assert world.created == ["Migrate", "Migrate"]


def made_but_not_stored() -> World:
    """The Job was created, and the process died before it could say so."""
    world = a_migration(backup=SKIP).holds("web", "shop:v2")
    while "Migrate" not in world.created:
        stored = world.status
        world.step()
    world.status = stored
    return world


def test_a_job_that_was_not_recorded_is_taken_up_even_while_suspended() -> None:
    world = made_but_not_stored()
    world.raw_spec["suspend"] = True
    world.migration_ends(0).settle()
    assert world.status.run is not None
    assert world.status.run.step("Migrate").state == "Succeeded"
    assert world.created == ["Migrate"]


def test_a_deletion_waits_for_a_job_that_was_not_recorded() -> None:
    world = made_but_not_stored()
    world.pod_of("Migrate", a_pod(RUNNING))
    world.deleting = True
    world.settle()
    assert world.finalizers == (FINALIZER,)


def test_a_migration_that_has_started_meanwhile_is_not_put_away_for_a_newer_version() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(PULLING, phase="Pending")).settle()
    world.pod_of("Migrate", a_pod(RUNNING))
    world.holds("web", "shop:v3").settle()
    assert len(world.jobs) == 1
    assert world.created == ["Migrate"]
    world.migration_ends(0).settle()
    assert world.status.verdicts[0].image == "shop:v2"


def test_a_deletion_leaves_no_job_behind_that_could_still_migrate() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(PULLING, phase="Pending"))
    world.deleting = True
    world.settle()
    assert world.jobs == {}
    assert world.finalizers == ()


def test_a_deletion_while_suspended_at_the_gate_does_not_hang() -> None:
    world = migrated(a_migration(gate={"onDelete": "Release"}).holds("web", "shop:v2"))
    world.raw_spec["suspend"] = True
    world.holds("worker", "shop:v2").settle()
    world.deleting = True
    world.settle()
    assert world.finalizers == ()


def test_a_spec_that_cannot_be_read_does_not_drop_the_finalizer_of_a_running_migration() -> None:
    world = at_migrate()
    world.pod_of("Migrate", a_pod(RUNNING)).settle()
    world.raw_spec["migration"] = {"framework": "Cobol"}
    world.deleting = True
    world.settle()
    assert world.finalizers == (FINALIZER,)
    current = world.job("Migrate")
    world.jobs[current.name] = replace(current, complete=True)
    world.settle()
    assert world.finalizers == ()


def test_a_version_that_is_overtaken_between_release_and_rollout_is_not_migrated_under_another() -> None:
    world = a_migration(strategy="DeployThenMigrate", backup=SKIP).holds("web", "shop:v2")
    while not world.released:
        world.step()
    world.holds("web", "shop:v3").settle()
    assert "Migrate" not in world.created
    assert world.released[-1] == ("web", ("shop:v3",))


def test_going_back_to_a_verified_version_ends_the_trouble_of_deploy_then_migrate() -> None:
    world = a_migration(strategy="DeployThenMigrate", backup=SKIP).runs("web", "shop:v1")
    world.settle()
    world.holds("web", "shop:v2").settle()
    world.runs("web", "shop:v2").settle()
    world.migration_ends(1).settle()
    world.holds("web", "shop:v1").settle()
    assert world.released[-1] == ("web", ("shop:v1",))
    world.settle()
    assert world.condition("Ready") == ("True", "BaselineAdopted")


def test_a_key_longer_than_the_status_can_hold_is_refused_with_a_sentence() -> None:
    world = a_migration().holds("web", "shop:v2", key="k" * 2000)
    world.settle()
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert world.created == []


@pytest.mark.parametrize(
    "words",
    [
        "DATABASE_PASSWORD=hunter2",
        '{"password": "hunter2"}',
        "SECRET_KEY=hunter2",
        "postgres://u:hun@hunter2@h/db",
        "ERROR: x\nDETAIL:  Key (email)=(hunter2) already exists.",
        "Failing row contains (1, hunter2, 4111).",
        "Key (email)=(hunter2) already exists.",
    ],
)
def test_last_words_lose_passwords_and_values_of_rows(words: str) -> None:
    assert "hunter2" not in redact(words)
