"""Helm, with the chart of examples/helm: what `--wait` waits for, how it fails, and the way back to the version before."""

import re
import subprocess
import time
from pathlib import Path

from tests.cluster.clients.helm import HOOK, NAME, TIMEOUT, Helm, helm_3
from tests.cluster.kit.manifests import image
from tools.kube import facts
from tools.kube.api import environment

DOCS = Path(__file__).resolve().parents[3] / "docs" / "clients" / "helm.md"
AT_ONCE = 30.0  # seconds: far below the time limit, on a busy machine


def test_helm_4_waits_for_the_migration_and_ends_early_with_its_message_when_it_fails(a_world):
    world = a_world()
    helm = Helm(world, "helm")
    for release in ("one", "two"):
        running = helm.start(release)
        world.wait(lambda: world.is_held(NAME) and is_at(world, release), f"{release} is held")  # noqa: B023
        assert running.poll() is None, "helm ended while the release was held"
        said, error = running.communicate(timeout=TIMEOUT)
        assert running.returncode == 0, said + error
        assert_out(world)
        world.wait_rolled_out(release, NAME)
        world.never_too_early(release)
        assert hook_after_release(world, release), "the hook ran before the release was out"

    mark, begun = world.recorder.mark(), time.monotonic()
    failed = helm.upgrade("bad", "--rollback-on-failure")
    elapsed = time.monotonic() - begun
    assert failed.returncode != 0
    assert "DatabaseMigration" in failed.stderr
    assert "status: Failed, message: The migration failed" in failed.stderr, failed.stderr
    assert "20260103000000_unique_names" in failed.stderr
    assert "deadline exceeded" not in failed.stderr
    assert elapsed < TIMEOUT / 2, f"helm noticed the failure after {elapsed:.0f} s"

    # The way back goes through the gate: the version before is verified, so nothing is migrated again.
    assert_out(world)
    assert is_at(world, "two")
    world.wait_rolled_out("two", NAME)
    assert len(world.migrations_started(mark)) == 1
    world.never_ran("bad")
    assert helm.history()[-1] == ("deployed", "Rollback to 2")
    assert "failed" in [status for status, _ in helm.history()]
    assert [run["outcome"] for run in world.dbm["status"]["history"]][:1] == ["Failed"]

    begun = time.monotonic()
    again = helm.upgrade("bad")
    assert again.returncode != 0
    assert "status: Failed" in again.stderr
    assert time.monotonic() - begun < AT_ONCE, "a known verdict is told at once"
    assert world.is_held(NAME)
    world.never_ran("bad")


def test_helm_3_does_not_wait_for_it_and_the_lines_in_the_docs_do(a_world):
    world = a_world()
    helm = Helm(world, helm_3())
    helm.upgrade("one", "--set-json", 'migration={"framework": "Command", "command": ["sleep", "5"]}')
    live = world.api.get(f"/apis/apps/v1/namespaces/{world.name}/deployments/{NAME}")
    assert live["spec"].get("paused"), "Helm 3 waits by now: say so in docs/clients/helm.md"
    assert after_helm_3(world).returncode == 0
    assert_out(world)

    assert helm.upgrade("two").returncode == 0
    assert after_helm_3(world).returncode == 0
    assert_out(world)
    world.wait_rolled_out("two", NAME)
    # Helm 3 runs the chart's post-upgrade hook while the release is held: a hook's pod is not behind the gate.
    early = facts.too_early(world.recorder, image("two"))
    assert [what for what in early if HOOK not in what] == []

    mark = world.recorder.mark()
    assert helm.upgrade("bad", "--atomic").returncode == 0
    failed = after_helm_3(world)
    assert failed.returncode == 1
    assert "20260103000000_unique_names" in failed.stdout
    assert world.is_held(NAME)
    helm.run("rollback", NAME, "2", "--wait", f"--timeout={TIMEOUT}s")
    world.wait_rolled_out("two", NAME)
    assert len(world.migrations_started(mark)) == 1
    assert [event.name for event in facts.appearances(world.recorder, image("bad")) if HOOK not in event.name] == []
    assert helm.history()[-1] == ("deployed", "Rollback to 2")


def test_helm_3_brings_the_version_before_back_when_a_hook_fails(a_world):
    world = a_world()
    helm = Helm(world, helm_3())
    assert helm.upgrade("one").returncode == 0
    world.wait_rolled_out("one", NAME)
    failed = helm.upgrade("two", "--atomic", "--set-json", 'smokeTest=["false"]')
    assert failed.returncode != 0
    assert "rolled back due to atomic being set" in failed.stderr
    world.wait(lambda: is_at(world, "one") and not world.is_held(NAME), "the version before is let through")
    world.wait_rolled_out("one", NAME)
    assert helm.history()[-1] == ("deployed", "Rollback to 1")


def is_at(world, release):
    found = world.deployment(NAME)["spec"].get("template", {}).get("spec", {}).get("containers", [{}])
    return found[0].get("image") == image(release)


def assert_out(world):
    """As the API server has it at this very moment, not as the record has it."""
    live = world.api.get(f"/apis/apps/v1/namespaces/{world.name}/deployments/{NAME}")
    assert "paused" not in live["spec"], world.state()
    dbm = world.api.get(f"/apis/locktender.dev/v1alpha1/namespaces/{world.name}/databasemigrations/{NAME}-db")
    ready = next(item for item in dbm["status"]["conditions"] if item["type"] == "Ready")
    assert (ready["status"], ready["observedGeneration"]) == ("True", dbm["metadata"]["generation"])


def hook_after_release(world, release):
    """The hook's Job was made after the write that let the Deployment go."""
    events = world.recorder.events("deployments", "jobs")
    let_go = next(
        event.version
        for event in events
        if event.kind == "deployments"
        and image(release) in str(event.object)
        and not event.object["spec"].get("paused")
    )
    hooks = [
        event.version
        for event in events
        if event.name == HOOK and event.type == "ADDED" and image(release) in str(event.object)
    ]
    return len(hooks) == 1 and hooks[0] > let_go


def after_helm_3(world):
    """The shell lines that the docs give for after `helm upgrade` of Helm 3, in this namespace."""
    block = re.search(r"<!-- after helm 3 -->\n```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block, f"{DOCS} lost its lines for Helm 3"
    text = block[1].replace("-n shop ", f"-n {world.name} ").replace("shop-db", f"{NAME}-db")
    known = environment(world.stage.kubeconfig, world.stage.tools)
    return subprocess.run(["sh", "-euc", text], capture_output=True, text=True, check=False, env=known, timeout=TIMEOUT)
