"""Break-glass and what slips through: noticed once, told for as long as it lasts, and brought back to the truth by the next run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from locktender.api.status import GatedDeploymentStatus
from locktender.core import passage
from locktender.core.messages import one_line
from locktender.core.observation import OpenedBy, Word
from tests.builders import NOON, World, a_deployment, a_migration, assert_kstatus

SKIP = {"policy": "Skip", "reason": "test"}


def serving() -> World:
    """shop:v1 is verified and runs."""
    world = a_migration(backup=SKIP).holds("web", "shop:v1")
    world.settle()
    world.migration_ends(0).settle()
    assert world.status.deployments[0].state == "Open"
    world.events.clear()
    world.created.clear()
    return world


def told(world: World, reason: str) -> list[tuple[str, str]]:
    """About whom, and what."""
    return [(about, text) for about, kind, text in world.events if kind == reason]


def at_the_gate(world: World) -> dict[str, str]:
    assert_kstatus(world.status, world.generation)
    return {item.name: str(item.state) for item in world.status.deployments}


def counted(world: World, act: Callable[[], object], passes: int = 6) -> tuple[int, int]:
    """How many bypasses and skips the stored statuses tell of from here on, over many passes."""
    act()
    bypasses = skips = 0
    for _ in range(passes):
        before = world.observation()
        status = world.step().status
        bypasses += len(passage.bypassed_now(before.status, status)) + len(passage.left_by_bypass(before))
        skips += len(passage.skipped_now(before.status, status))
    return bypasses, skips


class TestAWord:
    @pytest.mark.parametrize(
        ("annotation", "found"),
        [
            ("INC-42@6", Word(OpenedBy.BYPASS, "INC-42", 6)),
            ("mail me@home@6", Word(OpenedBy.BYPASS, "mail me@home", 6)),
            ("shop is\ndown\x1b[31m\u202e@6", Word(OpenedBy.BYPASS, "shop is down [31m", 6)),
            ("password=hunter2@6", Word(OpenedBy.BYPASS, "password=***", 6)),
            ("for the generation that is@7", None),
            ("of the future@8", None),
            ("no generation", None),
            ("@", None),
            ("zero@0", None),
            ("arabic digits@٣", None),
            (f"endless@{'9' * 5000}", None),
            ("", None),
        ],
    )
    def test_names_an_earlier_generation(self, annotation: str, found: Word | None) -> None:
        assert passage.word(OpenedBy.BYPASS, annotation, 7) == found

    def test_is_bounded(self) -> None:
        found = passage.word(OpenedBy.BYPASS, f"{'x' * 100_000}@6", 7)
        assert found is not None
        assert len(found.said) <= passage.SAID_LIMIT

    def test_keeps_the_space_between_lines(self) -> None:
        assert one_line("a\r\n\tb", 10) == "a b"


class TestABypass:
    def test_of_a_held_version_is_told_on_both_and_its_migration_goes_on(self) -> None:
        world = serving().holds("web", "shop:v2")
        world.settle()
        world.bypasses("web", "shop:v2", "INC-42").settle()
        assert at_the_gate(world) == {"web": "Bypassed"}
        assert [about for about, _ in told(world, "GateBypassed")] == ["web", "dbm"]
        text = told(world, "GateBypassed")[0][1]
        assert text.startswith(
            "Deployment web runs shop:v2 unmigrated: a bypass let it through (INC-42). Its migration is under way"
        )
        assert '"gate-backstop.locktender.dev/gate":"shop/shop-db"' in text
        assert world.condition("GateOpen") == ("True", "GateBypassed")
        world.migration_ends(0).settle()
        assert world.created == ["Migrate"]
        assert at_the_gate(world) == {"web": "Open"}
        assert world.condition("Ready") == ("True", "Succeeded")

    def test_of_an_image_change_is_migrated_by_the_next_run(self) -> None:
        world = serving().bypasses("web", "shop:v2")
        world.settle()
        assert at_the_gate(world) == {"web": "Bypassed"}
        assert world.created == ["Migrate"]
        world.migration_ends(0).settle()
        assert at_the_gate(world) == {"web": "Open"}

    def test_of_a_version_whose_migration_fails_says_that_it_runs(self) -> None:
        world = serving().bypasses("web", "shop:v2")
        world.settle()
        world.migration_ends(1).settle()
        ready = world.status.condition("Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "NonZeroExit") or ready.reason == "Failed"
        assert "the new version is already rolled out and runs on the old schema" in ready.message
        assert at_the_gate(world) == {"web": "Bypassed"}
        gate = world.status.condition("GateOpen")
        assert gate is not None
        assert "Its migration has failed and is not tried again by itself" in gate.message

    def test_after_its_migration_failed_corrects_what_was_said_then(self) -> None:
        world = serving().holds("web", "shop:v2")
        world.settle()
        world.migration_ends(1).settle()
        before = world.status.condition("Ready")
        assert before is not None
        assert "the old version keeps serving" in before.message
        world.bypasses("web", "shop:v2").settle()
        after = world.status.condition("Ready")
        assert after is not None
        assert "the old version keeps serving" not in after.message
        assert "the new version is already rolled out" in after.message
        assert world.condition("Ready") == ("False", "Failed")
        assert world.created == ["Migrate"]

    def test_is_counted_once_over_restarts_and_many_passes(self) -> None:
        world = serving()
        assert counted(world, lambda: world.bypasses("web", "shop:v2")) == (1, 0)
        assert counted(world, lambda: world.migration_ends(0)) == (0, 0)
        assert counted(world, lambda: world.bypasses("web", "shop:v3", "INC-42")) == (1, 0)

    def test_with_the_same_reason_at_another_time_is_another_use(self) -> None:
        world = serving()
        assert counted(world, lambda: world.bypasses("web", "shop:v2", "INC-42")) == (1, 0)
        assert counted(world, lambda: world.bypasses("web", "shop:v3", "INC-42")) == (1, 0)

    def test_while_the_operator_was_down_is_noticed_when_it_returns(self) -> None:
        world = serving().holds("web", "shop:v2").bypasses("web", "shop:v2")  # no pass in between
        assert counted(world, lambda: None) == (1, 0)
        assert at_the_gate(world) == {"web": "Bypassed"}
        assert world.created == ["Migrate"]

    def test_of_the_very_first_version_is_no_baseline(self) -> None:
        world = a_migration(backup=SKIP).holds("web", "shop:v1").bypasses("web", "shop:v1")
        assert counted(world, lambda: None) == (1, 0)
        assert at_the_gate(world) == {"web": "Bypassed"}
        assert world.status.verdicts == ()
        assert world.created == ["Migrate"]

    def test_releases_nothing_that_is_held(self) -> None:
        world = serving().holds("worker", "shop:v2")
        world.settle()
        world.bypasses("web", "shop:v2").settle()
        assert world.released == [("web", ("shop:v1",))]
        assert at_the_gate(world) == {"web": "Bypassed", "worker": "Held"}
        world.migration_ends(0).settle()
        assert at_the_gate(world) == {"web": "Open", "worker": "Open"}

    def test_does_not_let_the_next_release_through(self) -> None:
        world = serving().bypasses("web", "shop:v2")
        world.settle()
        world.migration_ends(0).settle()
        world.holds("web", "shop:v3").settle()
        assert at_the_gate(world) == {"web": "Held"}
        assert told(world, "BypassHeld") == []

    def test_of_a_worker_that_belongs_to_no_release_says_how_to_tie_it(self) -> None:
        world = a_migration(backup=SKIP, migration={"from": {"deployment": "web"}}).holds("web", "shop:v1")
        world.settle()
        world.migration_ends(0).settle()
        world.holds("worker", "worker:v1").settle()
        world.bypasses("worker", "worker:v1").settle()
        assert at_the_gate(world) == {"web": "Open", "worker": "Bypassed"}
        ready = world.status.condition("Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "GateBypassed")
        assert "tie Deployment worker to a release" in ready.message

    def test_while_suspended_says_that_nothing_is_migrated_until_it_is_resumed(self) -> None:
        world = serving()
        world.raw_spec["suspend"] = True
        world.bypasses("web", "shop:v2").settle()
        assert at_the_gate(world) == {"web": "Bypassed"}
        assert "spec.suspend is true" in told(world, "GateBypassed")[0][1]

    def test_of_a_verified_version_is_told_and_leaves_nothing_to_do(self) -> None:
        world = serving()
        world.raw_spec["gate"] = {"revert": "Hold"}
        world.holds("web", "shop:v2").settle()
        world.migration_ends(0).settle()
        world.holds("web", "shop:v1").settle()
        assert world.condition("Ready") == ("False", "RevertHeld")
        assert counted(world, lambda: world.bypasses("web", "shop:v1", "back")) == (1, 0)
        assert at_the_gate(world) == {"web": "Open"}
        assert told(world, "GateBypassed")[0][1].startswith(
            "A bypass let Deployment web through (back). Its version shop:v1 was migrated"
        )


class TestABypassInVain:
    def test_is_told_to_who_waits_for_it(self) -> None:
        world = serving()
        assert counted(world, lambda: world.asks_in_vain("web", "shop:v2")) == (0, 0)
        ((about, text),) = told(world, "BypassHeld")
        assert about == "web"
        assert "That very write was held: a bypass needs the verb bypass on DatabaseMigration shop-db" in text
        world.migration_ends(0).settle()
        assert at_the_gate(world) == {"web": "Open"}
        assert told(world, "GateBypassed") == []

    def test_and_one_that_was_taken_back_before_anybody_looked_are_told_alike(self) -> None:
        world = serving().bypasses("web", "shop:v2").holds("web", "shop:v1")
        assert counted(world, lambda: None) == (0, 0)
        ((_, text),) = told(world, "BypassHeld")
        assert "or it went through and a later one is held" in text
        assert at_the_gate(world) == {"web": "Open"}, "going back is released at once"


class TestLeavingTheGate:
    def test_by_a_bypass_is_told_and_counted_once(self) -> None:
        world = serving().holds("web", "shop:v2")
        world.settle()
        assert counted(world, lambda: world.leaves("web", "INC-42")) == (1, 0)
        assert [about for about, _ in told(world, "GateBypassed")] == ["web", "dbm"]
        assert "kubectl label deployment web locktender.dev/gate=shop-db" in told(world, "GateBypassed")[0][1]

    def test_of_what_is_not_held_is_nobodys_business(self) -> None:
        world = serving().leaves("web")
        assert counted(world, lambda: None) == (0, 0)
        assert told(world, "GateBypassed") == []


class TestWithoutAGate:
    def test_a_version_that_was_not_held_is_told_and_migrated(self) -> None:
        world = serving()
        assert counted(world, lambda: world.runs("web", "shop:v2")) == (0, 1)
        assert at_the_gate(world) == {"web": "Skipped"}
        assert [about for about, _ in told(world, "GateSkipped")] == ["web", "dbm"]
        assert "nobody asked for that" in told(world, "GateSkipped")[0][1]
        assert world.condition("GateOpen") == ("True", "GateSkipped")
        assert world.created == ["Migrate"]
        world.migration_ends(0).settle()
        assert at_the_gate(world) == {"web": "Open"}
        assert world.condition("GateOpen") == ("True", "Open")

    def test_a_held_deployment_that_is_open_without_a_word_was_opened_by_nobody(self) -> None:
        world = serving().holds("web", "shop:v2")
        world.settle()
        assert counted(world, lambda: world.runs("web", "shop:v2")) == (0, 1)
        assert at_the_gate(world) == {"web": "Skipped"}

    def test_an_old_bypass_excuses_nothing(self) -> None:
        world = serving().bypasses("web", "shop:v2")
        world.settle()
        world.migration_ends(0).settle()
        assert counted(world, lambda: world.runs("web", "shop:v3")) == (0, 1)
        assert at_the_gate(world) == {"web": "Skipped"}

    def test_a_changed_key_alone_is_seen(self) -> None:
        world = serving()
        assert counted(world, lambda: world.runs("web", "shop:v1", key="2")) == (0, 1)

    def test_what_was_created_under_the_gate_unheld_is_no_baseline(self) -> None:
        world = a_migration(backup=SKIP)
        world.settle()
        made = a_deployment("web", "shop:v1", generation=1, gated_since=NOON + timedelta(seconds=5))
        world.deployments["web"] = made
        assert counted(world, lambda: None) == (0, 1)
        assert at_the_gate(world) == {"web": "Skipped"}
        assert world.created == ["Migrate"]

    def test_what_was_there_before_the_resource_is_a_baseline(self) -> None:
        world = a_migration(backup=SKIP)
        world.deployments["web"] = a_deployment("web", gated_since=NOON - timedelta(seconds=5))
        assert counted(world, lambda: None) == (0, 0)
        assert at_the_gate(world) == {"web": "Open"}
        assert world.created == []

    def test_a_release_by_hand_is_no_skip(self) -> None:
        world = serving().holds("web", "shop:v2")
        world.settle()
        word = Word(OpenedBy.RELEASE, "by-hand", world.deployments["web"].generation)
        opened = replace(world.deployments["web"], held=False, word=word, generation=word.generation + 1)
        assert counted(world, lambda: world.deployments.update(web=opened)) == (0, 0)
        assert at_the_gate(world) == {"web": "Open"}

    def test_a_rollout_before_its_migration_is_no_skip(self) -> None:
        world = a_migration(backup=SKIP, strategy="DeployThenMigrate").holds("web", "shop:v1")
        assert counted(world, lambda: None) == (0, 0)
        assert at_the_gate(world) == {"web": "Open"}
        assert [entry.opened_by for entry in world.status.deployments] == ["Release"]


def test_the_status_tells_who_opened_the_gate() -> None:
    world = serving().bypasses("web", "shop:v2", "INC-42")
    world.settle()
    assert world.status.deployments == (
        GatedDeploymentStatus("web", "Bypassed", ("shop:v2",), opened_by="Bypass", word="INC-42@2"),  # type: ignore[arg-type]
    )
