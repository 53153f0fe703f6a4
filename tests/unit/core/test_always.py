"""What holds after every sequence of what people and clusters do, on the model world: seconds for thousands of histories.

tests/apiserver/test_gate_never_stuck.py checks the same promises on a real API server.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from locktender.core import actions as act
from tests.builders import World, a_migration, a_pod, assert_kstatus, ended, report

NAMES = st.sampled_from(["web", "worker"])
IMAGES = st.sampled_from(["shop:v1", "shop:v2", "shop:v3"])
KEYS = st.sampled_from(["", "r1", "r2"])
EVENTS = st.one_of(
    st.tuples(st.just("hold"), NAMES, IMAGES, KEYS),
    st.tuples(st.sampled_from(["backup", "backup fails", "migrated", "fails", "waits", "lost", "suspend", "resume"])),
    st.tuples(st.sampled_from(["over budget", "fails unheard", "heard", "a while"])),
    st.tuples(st.sampled_from(["retry", "ran", "not-ran", "delete", "undelete", "release r1", "release r2", "hour"])),
)
SPECS = st.sampled_from(
    [
        {},
        {"gate": {"revert": "Hold"}},
        {"migration": {"framework": "Sql", "from": {"deployment": "web"}}},
        {"migration": {"framework": "Sql", "image": "migrations:v1"}, "release": "r1"},
        {"backup": {"policy": "Skip", "reason": "test"}},
    ]
)


def at_work(world: World, step: str) -> bool:
    return any(world.steps_of[name] == step and not job.ended for name, job in world.jobs.items())


def happens(world: World, event: tuple[str, ...]) -> None:
    """One thing that people or the cluster do."""
    match event:
        case ("hold", name, image, key):
            world.holds(name, image, key=key)
        case ("backup",) if at_work(world, "Backup"):
            world.backup_ends_well()
        case ("backup fails",) if at_work(world, "Backup"):
            world.pod_of(
                "Backup", a_pod(ended("backup", 1, report("Failed", "DumpFailed", kind="backup"))), failed=True
            )
        case ("migrated",) if at_work(world, "Migrate"):
            world.migration_ends(0)
        case ("fails",) if at_work(world, "Migrate"):
            world.migration_ends(1, "boom")
        case ("over budget",) if at_work(world, "Migrate"):
            world.container_fails(1, "canceled").agent_ends(cause="LockBudgetExceeded", cancelled=1, worstWait=2.0)
        case ("fails unheard",) if at_work(world, "Migrate"):
            world.container_fails(1, "boom")
        case ("heard",) if at_work(world, "Migrate") and world.job("Migrate").pod is not None:
            world.agent_ends(cause="LockTimeout", cancelled=1, ownWait=60.0)
        case ("a while",):
            world.step(11)
        case ("waits",) if at_work(world, "Migrate"):
            world.pod_of("Migrate", a_pod(ended("agent", 75, report("Waiting", "Unreachable", kind="agent"))))
        case ("lost",) if at_work(world, "Migrate"):
            del world.jobs[world.job("Migrate").name]
        case ("suspend" | "resume" as word,):
            world.raw_spec["suspend"] = word == "suspend"
        case ("retry",):
            world.retry = f"token-{len(world.events)}"
        case ("ran" | "not-ran" as word,) if world.status.run:
            world.resolve = f"{world.status.run.id}={word}"
        case ("delete" | "undelete" as word,):
            world.deleting = word == "delete"
        case (word,) if word.startswith("release ") and "image" in world.raw_spec["migration"]:
            world.raw_spec["release"] = word.removeprefix("release ")
        case ("hour",):
            world.step(3700)


def assert_opened_by_a_verdict(world: World, actions: tuple[act.Action, ...]) -> None:
    """The status that was stored before this pass holds a verdict on each version that the pass lets through."""
    said = [verdict for verdict in world.status.verdicts if verdict.opens]
    for action in actions:
        if isinstance(action, act.ReleaseDeployment):
            key = world.deployments[action.name].release
            own = [verdict for verdict in said if verdict.image in action.images and verdict.release == key]
            tied = [verdict for verdict in said if (verdict.release == key if key else verdict.image in action.images)]
            assert own or tied, (action, key, world.status.verdicts)


@settings(max_examples=150, deadline=None)
@given(SPECS, st.lists(EVENTS, max_size=25))
def test_no_gate_opens_without_a_stored_verdict_and_every_status_is_sound(
    spec: dict[str, object], history: list[tuple[str, ...]]
) -> None:
    world = a_migration(**spec).runs("web", "shop:v1")
    for event in history:
        happens(world, event)
        for _ in range(6):
            before = replace(world, jobs=dict(world.jobs))
            decision = before.decide()
            assert_opened_by_a_verdict(world, decision.actions)
            world.step()
            assert_kstatus(world.status, 1)
            if decision.requeue != 0.0:
                break


def come_to_rest(world: World) -> None:
    """Pass after pass for as long as one changes something: what we change ourselves brings an event, and with it the next pass."""
    for _ in range(10):
        before = (world.status, dict(world.deployments), dict(world.jobs), list(world.events))
        world.settle(40)
        if (world.status, world.deployments, world.jobs, world.events) == before:
            return
    raise AssertionError("no rest after 10 rounds")


@settings(max_examples=150, deadline=None)
@given(SPECS, st.lists(EVENTS, max_size=25))
def test_deciding_again_on_an_unchanged_world_does_nothing(
    spec: dict[str, object], history: list[tuple[str, ...]]
) -> None:
    world = a_migration(**spec).runs("web", "shop:v1")
    for event in history:
        happens(world, event)
    come_to_rest(world)
    told, created, released = len(world.events), list(world.created), list(world.released)
    status = world.status
    decision = world.step()
    assert world.status == status
    assert (len(world.events), world.created, world.released) == (told, created, released)
    lasting = [item for item in decision.actions if not isinstance(item, act.EmitEvent)]
    assert lasting == []
