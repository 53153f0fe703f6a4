"""What `decide` decides, told in sentences over the model world of builders.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from locktender.api.status import Outcome
from locktender.core.observation import Claim, ContainerState
from locktender.settings import FINALIZER, TTL_FAILED
from tests.builders import World, a_migration, a_pod, assert_kstatus, ended, report


def migrated(world: World) -> World:
    """Take a world with something held through a whole successful run."""
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    return world


def test_a_held_version_is_backed_up_migrated_once_and_released() -> None:
    world = a_migration().runs("web", "shop:v1")
    world.settle()
    assert world.condition("Ready") == ("True", "BaselineAdopted")

    world.holds("web", "shop:v2").settle()
    assert world.created == ["Backup"]
    assert world.condition("GateOpen") == ("False", "Held")

    world.backup_ends_well().settle()
    assert world.created == ["Backup", "Migrate"]
    assert len(world.backups) == 1
    assert world.released == []

    world.migration_ends(0).settle()
    assert world.created == ["Backup", "Migrate"]
    assert world.released == [("web", ("shop:v2",))]
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.status.history[0].outcome is Outcome.SUCCEEDED
    assert_kstatus(world.status, 1)


def test_the_verdict_is_stored_before_the_gate_opens() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    decision = world.migration_ends(0).step()
    assert not [action for action in decision.actions if type(action).__name__ == "ReleaseDeployment"]
    assert world.status.verdicts[0].outcome is Outcome.SUCCEEDED
    world.step()
    assert world.released == [("web", ("shop:v2",))]


def test_no_migration_starts_before_the_backup_is_ready() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    words = report("Failed", "DumpFailed", "pg_dump ended with exit code 1.", kind="backup")
    world.pod_of("Backup", a_pod(ended("backup", 1, words)), failed=True).settle()
    assert world.created == ["Backup"]
    assert world.condition("Ready") == ("False", "Failed")
    assert world.condition("BackupReady") == ("False", "DumpFailed")
    ready = world.status.condition("Ready")
    assert ready is not None
    assert "kubectl -n shop annotate dbm shop-db locktender.dev/retry" in ready.message


def test_a_backup_that_ends_well_without_its_report_is_taken_again() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.pod_of("Backup", None, complete=True).settle()
    assert world.created == ["Backup"]
    world.step(seconds=10)
    assert world.created == ["Backup", "Backup"]


def test_a_failed_migration_keeps_the_gate_closed_and_says_what_to_type() -> None:
    world = a_migration().runs("web", "shop:v1")
    world.settle()
    world.holds("web", "shop:v2").settle()
    world.backup_ends_well().settle()
    words = report("Failed", "StatementFailed", "20260301_add.up.sql line 3: column exists.")
    world.migration_ends(1, words).settle()
    assert world.released == []
    assert world.condition("Ready") == ("False", "Failed")
    assert world.condition("Stalled") == ("True", "Failed")
    assert world.condition("MigrationSucceeded") == ("False", "StatementFailed")
    ready = world.status.condition("Ready")
    assert ready is not None
    assert "line 3" in ready.message
    assert_kstatus(world.status, 1)
    for _ in range(3):
        world.step(seconds=100)
    assert world.created == ["Backup", "Migrate"], "a failure is not repeated by itself"


def test_a_mended_version_recovers_after_a_failure() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(1).settle()
    world.holds("web", "shop:v3").settle()
    assert world.created == ["Backup", "Migrate", "Backup"]
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    assert world.released == [("web", ("shop:v3",))]
    assert world.condition("Ready") == ("True", "Succeeded")


def test_a_retry_token_starts_one_more_attempt_and_is_echoed() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(1).settle()
    world.retry = "1"
    world.settle()
    assert world.created == ["Backup", "Migrate", "Backup"]
    assert world.status.last_handled_retry == "1"
    world.backup_ends_well().settle()
    world.migration_ends(1).settle()
    world.step(seconds=5)
    assert world.created == ["Backup", "Migrate", "Backup", "Migrate"], "the same token retries once"


def test_a_mended_spec_retries_by_itself() -> None:
    world = a_migration(migration={"framework": "Command", "command": ["./wrong"]}).holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.migration_ends(127).settle()
    world.raw_spec["migration"]["command"] = ["./right"]
    world.generation = 2
    world.settle()
    assert world.created == ["Backup", "Migrate", "Backup"]


def test_a_revert_to_a_verified_image_passes_at_once() -> None:
    world = migrated(a_migration().holds("web", "shop:v2"))
    world = migrated(world.holds("web", "shop:v3"))
    made = len(world.created)
    world.holds("web", "shop:v2").settle()
    assert len(world.created) == made
    assert world.released[-1] == ("web", ("shop:v2",))


def test_with_revert_hold_an_old_verdict_does_not_open_the_gate_again() -> None:
    world = migrated(a_migration(gate={"revert": "Hold"}).holds("web", "shop:v2"))
    world = migrated(world.holds("web", "shop:v3"))
    released = len(world.released)
    world.holds("web", "shop:v2").settle()
    assert len(world.released) == released
    assert world.condition("Ready") == ("False", "RevertHeld")
    world.retry = "again"
    world = migrated(world)
    assert world.released[-1] == ("web", ("shop:v2",))


def test_two_deployments_of_one_image_share_one_run() -> None:
    world = a_migration().holds("web", "shop:v2").holds("worker", "shop:v2")
    migrated(world)
    assert world.created == ["Backup", "Migrate"]
    assert sorted(name for name, _ in world.released) == ["web", "worker"]
    world.holds("cron", "shop:v2").settle()
    assert world.created == ["Backup", "Migrate"], "a late half of the release is let through by the verdict"
    assert world.released[-1][0] == "cron"


def test_a_worker_of_another_image_stays_closed_until_it_is_tied_to_the_release() -> None:
    spec = {"migration": {"framework": "Sql", "from": {"deployment": "web"}}}
    world = a_migration(**spec).holds("web", "shop:v2").holds("worker", "worker:v2")
    migrated(world)
    assert world.released == [("web", ("shop:v2",))]
    assert world.condition("Ready") == ("False", "GateMismatch")
    assert [event for event in world.events if event[1] == "GateMismatch"]


def test_a_worker_tied_by_key_is_released_with_its_release() -> None:
    spec = {"migration": {"framework": "Sql", "from": {"deployment": "web"}}}
    world = a_migration(**spec).holds("web", "shop:v2", key="1.2").holds("worker", "worker:v2", key="1.2")
    migrated(world)
    assert sorted(name for name, _ in world.released) == ["web", "worker"]


def test_half_a_release_that_arrives_first_is_not_let_through_on_the_old_verdict() -> None:
    spec = {"migration": {"framework": "Sql", "from": {"deployment": "web"}}}
    world = a_migration(**spec).holds("web", "shop:v2", key="1.2").holds("worker", "worker:v2", key="1.2")
    migrated(world)
    world.holds("worker", "worker:v3", key="1.3").settle()
    assert ("worker", ("worker:v3",)) not in world.released
    assert world.condition("Ready") == ("False", "GateMismatch")
    world.holds("web", "shop:v3", key="1.3")
    migrated(world)
    assert ("worker", ("worker:v3",)) in world.released


def test_a_deployment_before_the_explicit_image_waits_for_it() -> None:
    spec = {"migration": {"framework": "Django", "image": "tools:v1"}, "release": "1"}
    world = a_migration(**spec)
    migrated(world)
    assert world.condition("Ready") == ("True", "Succeeded")
    world.holds("web", "shop:v2", key="2").settle()
    assert world.released == []
    assert world.condition("Ready") == ("False", "GateMismatch")
    world.raw_spec |= {"release": "2"}
    world.raw_spec["migration"]["image"] = "tools:v2"
    world.generation = 2
    migrated(world)
    assert world.released == [("web", ("shop:v2",))]


def test_two_images_without_a_named_source_are_ambiguous() -> None:
    world = a_migration().holds("web", "shop:v2").holds("worker", "worker:v2")
    world.settle()
    assert world.created == []
    assert world.condition("Ready") == ("False", "AmbiguousSource")
    assert_kstatus(world.status, 1)


def test_a_version_that_arrives_during_a_run_gets_its_own_run_afterwards() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.pod_of("Migrate", a_pod(ContainerState("migrate", running=True)))
    world.holds("web", "shop:v3").settle()
    assert world.created == ["Backup", "Migrate"]
    world.migration_ends(0).settle()
    assert world.released == []
    assert world.status.verdicts[0].image == "shop:v2"
    assert world.created == ["Backup", "Migrate", "Backup"]


def test_a_run_that_only_waits_is_overtaken_by_a_newer_version() -> None:
    world = a_migration(backup={"policy": "Skip", "reason": "test"}).holds("web", "shop:nonsense")
    world.settle()
    waiting = ContainerState("migrate", waiting_reason="ImagePullBackOff", waiting_message="not found")
    world.pod_of("Migrate", a_pod(waiting, phase="Pending")).settle()
    assert world.condition("Ready") == ("Unknown", "ImagePull")
    world.holds("web", "shop:v3").settle()
    assert world.status.history[0].outcome is Outcome.SUPERSEDED
    assert world.created == ["Migrate", "Migrate"]
    assert len(world.jobs) == 1


def test_what_may_still_come_is_waited_for_with_growing_patience() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    words = report("Waiting", "DatabaseUnreachable", "Connection refused.", kind="backup")
    for attempt in range(1, 4):
        decision = world.pod_of("Backup", a_pod(ended("backup", 75, words)), failed=True).step()
        assert decision.requeue == 2.0**attempt
        assert world.condition("Ready") == ("Unknown", "DatabaseUnreachable")
        assert world.created == ["Backup"] * attempt
        world.step(seconds=2.0**attempt)
        assert world.created == ["Backup"] * (attempt + 1)
    assert_kstatus(world.status, 1)


def test_an_agent_that_gave_up_leaves_no_pod_that_could_start_later() -> None:
    world = a_migration(backup={"policy": "Skip", "reason": "test"}).holds("web", "shop:v2")
    world.settle()
    words = report("Waiting", "DatabaseBusy", "Held by another run.", kind="agent")
    world.pod_of(
        "Migrate", a_pod(ended("agent", 75, words), ContainerState("migrate", waiting_reason="PodInitializing"))
    )
    world.step()
    assert world.jobs == {}
    world.step(seconds=3)
    assert world.created == ["Migrate", "Migrate"]


def test_an_agent_that_was_killed_is_restarted_in_its_pod_and_not_by_us() -> None:
    world = a_migration(backup={"policy": "Skip", "reason": "test"}).holds("web", "shop:v2")
    world.settle()
    killed = ended("agent", 137, '{"kind": "held"}', "Error")
    world.pod_of("Migrate", a_pod(killed, ContainerState("migrate", waiting_reason="PodInitializing"))).settle()
    assert world.created == ["Migrate"]
    assert len(world.jobs) == 1
    assert world.condition("Ready") == ("Unknown", "ContainerStart")
    world.migration_ends(0).settle()
    assert world.released == [("web", ("shop:v2",))]


def test_a_wrong_password_fails_at_once() -> None:
    world = a_migration(backup={"policy": "Skip", "reason": "test"}).holds("web", "shop:v2")
    world.settle()
    words = report("Failed", "AuthenticationFailed", "The server refused the password.", kind="agent")
    world.pod_of(
        "Migrate", a_pod(ended("agent", 1, words), ContainerState("migrate", waiting_reason="PodInitializing"))
    )
    world.settle()
    assert world.condition("MigrationSucceeded") == ("False", "AuthenticationFailed")
    assert world.condition("Stalled") == ("True", "Failed")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("CreateContainerConfigError", "ConfigMissing"),
        ("ErrImagePull", "ImagePull"),
        ("CreateContainerError", "ContainerStart"),
    ],
)
def test_a_pod_that_waits_is_reported_with_the_kubelets_words(reason: str, expected: str) -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    state = ContainerState("backup", waiting_reason=reason, waiting_message='secret "shop-db" not found')
    world.pod_of("Backup", a_pod(state, phase="Pending")).settle()
    ready = world.status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("Unknown", expected)
    assert 'secret "shop-db" not found' in ready.message


def test_a_job_without_a_pod_is_reported_after_a_moment() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    decision = world.pod_of("Backup", None).step(seconds=1)
    assert decision.requeue == 4.0
    world.step(seconds=5)
    assert world.condition("Ready") == ("Unknown", "PodPending")


def test_a_vanished_migration_job_needs_attention_and_is_never_guessed() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.pod_of("Migrate", a_pod(ContainerState("migrate", running=True))).settle()
    name = world.job("Migrate").name
    del world.jobs[name]
    world.settle()
    assert world.condition("Ready") == ("False", "NeedsAttention")
    assert world.condition("Stalled") == ("True", "NeedsAttention")
    for _ in range(3):
        world.step(seconds=600)
    assert world.created == ["Backup", "Migrate"]
    assert world.released == []
    assert_kstatus(world.status, 1)


@pytest.mark.parametrize("word", ["ran", "not-ran"])
def test_a_persons_word_settles_what_could_not_be_known(word: str) -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.settle()
    del world.jobs[world.job("Migrate").name]
    world.settle()
    assert world.status.run is not None
    world.resolve = f"{world.status.run.id}={word}"
    world.settle()
    if word == "ran":
        assert world.released == [("web", ("shop:v2",))]
        assert world.condition("Ready") == ("True", "Succeeded")
    else:
        assert world.created == ["Backup", "Migrate", "Backup"]
        assert world.status.run.overridden
        world.backup_ends_well().settle()
        world.migration_ends(0).settle()
        assert world.released == [("web", ("shop:v2",))]


def test_a_pod_that_vanished_with_a_failed_job_is_unknown() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.pod_of("Migrate", None, failed=True, failure="PodFailurePolicy: disrupted").settle()
    assert world.condition("Ready") == ("False", "NeedsAttention")


def test_suspend_starts_no_new_step_and_lets_the_running_one_end() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.raw_spec["suspend"] = True
    world.generation = 2
    world.backup_ends_well().settle()
    world.step()
    assert world.created == ["Backup"]
    assert world.condition("Ready") == ("False", "Suspended")
    world.raw_spec["suspend"] = False
    world.settle()
    assert world.created == ["Backup", "Migrate"]


def test_deploy_then_migrate_releases_first_and_migrates_after_the_rollout() -> None:
    world = a_migration(strategy="DeployThenMigrate").holds("web", "shop:v2")
    world.settle()
    assert world.released == [("web", ("shop:v2",))]
    world.deployments["web"] = replace(world.deployments["web"], rolled_out=False)
    world.settle()
    assert world.created == []
    world.runs("web", "shop:v2").settle()
    assert world.created == ["Backup"]
    world.backup_ends_well().settle()
    world.migration_ends(0).settle()
    assert world.condition("Ready") == ("True", "Succeeded")


def test_deploy_then_migrate_closes_the_gate_for_the_next_version_after_a_failure() -> None:
    world = a_migration(strategy="DeployThenMigrate").holds("web", "shop:v2")
    world.settle()
    world.runs("web", "shop:v2").settle()
    world.backup_ends_well().settle()
    world.migration_ends(1).settle()
    assert world.condition("Ready") == ("False", "Failed")
    world.holds("web", "shop:v3").settle()
    assert world.released == [("web", ("shop:v2",))]
    assert world.condition("Ready") == ("False", "PreviousMigrationFailed")
    assert world.status.run is not None
    world.resolve = f"{world.status.run.id}=ran"
    world.settle()
    assert world.released[-1] == ("web", ("shop:v3",))


def test_a_migration_without_deployments_runs_once_for_its_spec() -> None:
    world = a_migration(migration={"framework": "Command", "image": "tools:v1", "command": ["./fix"]})
    migrated(world)
    assert world.created == ["Backup", "Migrate"]
    world.settle()
    assert world.created == ["Backup", "Migrate"]
    world.raw_spec["release"] = "2"
    world.settle()
    assert world.created == ["Backup", "Migrate", "Backup"]


def test_nothing_to_migrate_is_said_and_not_ready() -> None:
    world = a_migration()
    world.settle()
    assert world.condition("Ready") == ("False", "AwaitingDeployment")
    assert world.created == []


def test_a_deletion_waits_for_the_running_migration_and_then_lets_go() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.pod_of("Migrate", a_pod(ContainerState("migrate", running=True))).settle()
    assert world.finalizers == (FINALIZER,)
    world.deleting = True
    world.settle()
    assert world.finalizers == (FINALIZER,)
    world.migration_ends(0).settle()
    assert world.finalizers == ()
    assert world.created == ["Backup", "Migrate"]


def test_a_deletion_does_not_wait_for_an_answer_that_nobody_will_give() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    world.settle()
    world.jobs.clear()
    world.settle()
    assert world.condition("Ready") == ("False", "NeedsAttention")
    world.deleting = True
    world.settle()
    assert world.finalizers == ()


@pytest.mark.parametrize(("policy", "released"), [("Hold", []), ("Release", [("web", ("shop:v2",))])])
def test_a_deletion_honours_on_delete(policy: str, released: list[object]) -> None:
    world = a_migration(gate={"onDelete": policy}, suspend=True).holds("web", "shop:v2")
    world.settle()
    world.deleting = True
    world.settle()
    assert world.released == released
    assert world.finalizers == ()


def test_a_job_gets_a_time_to_live_only_when_its_result_is_stored() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.backup_ends_well().settle()
    words = report("Failed", "StatementFailed")
    world.pod_of("Migrate", a_pod(ended("migrate", 1, words)), failed=True)
    world.step()
    assert world.job("Migrate").ttl is None
    world.step()
    assert world.job("Migrate").ttl is None  # its log is being read
    world.step()
    assert world.job("Migrate").ttl == TTL_FAILED


def test_a_job_that_contradicts_its_container_is_told_and_changes_nothing() -> None:
    world = migrated(a_migration().holds("web", "shop:v2"))
    current = world.job("Migrate")
    world.jobs[current.name] = replace(current, failed=True)
    world.settle()
    assert [event for event in world.events if event[1] == "VerdictDisputed"]
    assert world.condition("Ready") == ("True", "Succeeded")


def test_a_database_that_another_run_works_on_is_waited_for() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.claim = Claim.BUSY
    world.settle()
    assert world.created == []
    assert world.condition("Ready") == ("Unknown", "DatabaseClaimed")
    ready = world.status.condition("Ready")
    assert ready is not None
    assert "DatabaseMigration other-db is at work" in ready.message
    world.claim = Claim.FREE
    world.settle()
    assert world.created == ["Backup"]


def test_an_invalid_spec_is_stalled_with_a_sentence() -> None:
    world = a_migration(migration={"framework": "Cobol"})
    world.settle()
    ready = world.status.condition("Ready")
    assert ready is not None
    assert ready.reason == "InvalidSpec"
    assert "spec.migration.framework is 'Cobol'" in ready.message
    assert_kstatus(world.status, 1)


def test_helm_applies_the_deployment_before_the_release_and_one_run_serves_both() -> None:
    world = migrated(a_migration(release="1").holds("web", "shop:v1", key="1"))
    world.holds("web", "shop:v2", key="2").settle()
    assert len(world.created) == 2
    assert world.condition("Ready") == ("False", "GateMismatch")
    world.raw_spec["release"] = "2"
    world.generation = 2
    migrated(world)
    assert len(world.created) == 4
    assert world.condition("Ready") == ("True", "Succeeded")


def test_deciding_twice_on_an_unchanged_world_writes_nothing_new() -> None:
    world = migrated(a_migration().holds("web", "shop:v2"))
    world.pod_of("Migrate", world.job("Migrate").pod, complete=True).settle()
    world.settle()
    before = world.status
    decision = world.step(seconds=3600)
    assert decision.actions == ()
    assert world.status == before
