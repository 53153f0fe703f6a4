"""`onward` foresees what the next look would show: checked against the model world over whole runs, good and bad."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from locktender.core.actions import DeleteJob, EnsureJob, ReleaseDeployment
from locktender.core.decide import Decision
from locktender.core.observation import Observation
from locktender.core.onward import onward
from tests.builders import World, a_migration

STEPS = (
    "settle",
    "backup_ends_well",
    "migration_ends",
    "migration_fails",
    "hold",
    "hold_another",
    "delete",
    "suspend",
    "retry",
)


def turned(world: World) -> tuple[Observation, Decision]:
    """One pass of the model world."""
    before = world.observation()
    return before, world.step()


def foreseen(before: Observation, world: World, decision: Decision) -> Observation | None:
    """What `onward` makes of that pass."""
    return onward(before, world.status, decision.actions)


def seen(world: World, decision: Decision) -> Observation:
    """What a look shows. The model forgets that a Deployment which was let go has yet to roll out, and the Lease's version."""
    shown = world.observation()
    opened = {action.name for action in decision.actions if isinstance(action, ReleaseDeployment)}
    rolling = tuple(replace(item, rolled_out=item.rolled_out and item.name not in opened) for item in shown.deployments)
    return replace(shown, deployments=rolling)


def do(world: World, step: str) -> None:
    """What the rest of the cluster, or a person, does next."""
    jobs = [world.steps_of[name] for name in world.jobs]  # those that have not been deleted
    match step:
        case "backup_ends_well" if "Backup" in jobs:
            world.backup_ends_well()
        case "migration_ends" if "Migrate" in jobs:
            world.migration_ends(0)
        case "migration_fails" if "Migrate" in jobs:
            world.migration_ends(1, "boom")
        case "hold":
            world.holds("web", "shop:v2")
        case "hold_another":
            world.holds("web", f"shop:v{3 + len(world.created)}")
        case "delete":
            world.deleting = True
        case "suspend":
            world.raw_spec["suspend"] = not world.raw_spec.get("suspend", False)
        case "retry":
            world.retry = f"token-{len(world.created)}"
        case _:
            pass


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=14), st.sampled_from(["MigrateThenDeploy", "DeployThenMigrate"]))
def test_the_next_pass_sees_what_a_fresh_look_would_show(steps: list[str], strategy: str) -> None:
    world = a_migration(strategy=strategy).holds("web", "shop:v2")
    for step in ("settle", *steps, "settle"):
        do(world, step)
        for _ in range(6):
            before, decision = turned(world)
            following = foreseen(before, world, decision)
            if following is not None:
                assert following == seen(world, decision)
            if decision.requeue != 0.0:
                break


def test_after_a_job_was_made_everything_is_read_anew() -> None:
    world = a_migration().holds("web", "shop:v2")
    for _ in range(8):
        before, decision = turned(world)
        if any(isinstance(action, EnsureJob) for action in decision.actions):
            assert foreseen(before, world, decision) is None
            return
    raise AssertionError("no Job in eight passes")


def test_after_a_job_was_deleted_everything_is_read_anew() -> None:
    before = a_migration().observation()
    assert onward(before, before.status, (DeleteJob("shop-db-backup-1", "uid"),)) is None
