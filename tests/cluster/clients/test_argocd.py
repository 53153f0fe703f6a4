"""Argo CD's own controller with our health scripts: it shows where a release stands, does not fight the gate, and waits in sync waves."""

import subprocess
from contextlib import ExitStack

import pytest
import yaml

from tests.cluster.clients import argocd as argocds
from tests.cluster.kit.manifests import deployment, image, migration, pod_spec
from tests.cluster.kit.writes import but_status
from tools.cluster import clients
from tools.cluster.progress import Progress
from tools.render.argocd import CONFIG_MAP, SCRIPTS

NO_BACKUP = {"policy": "Skip", "reason": "the test throws the database away"}
COMPARISONS, SYNCS = 20, 5
KIND = SCRIPTS / "locktender.dev" / "DatabaseMigration"
MODES = {
    "three-way": ((), {}),
    "server-side": (("ServerSideApply=true",), {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}),
    "replace": (("Replace=true",), {}),
}


@pytest.fixture
def an_argocd(tmp_path):
    with ExitStack() as opened:
        yield lambda world: opened.enter_context(argocds.argocd(world, tmp_path))


def release(name):
    return migration(backup=NO_BACKUP, release=name), deployment(name)


@pytest.mark.parametrize("mode", MODES)
def test_a_release_is_shown_as_it_stands_and_the_hold_is_no_drift(a_world, an_argocd, mode):
    world = a_world(mode)
    argo = an_argocd(world)
    options, annotations = MODES[mode]
    first = argo.commit(*release("two"))
    argo.application(*options, annotations=annotations)
    world.wait(world.is_held, "the release is held")
    argo.wait(first, health="Healthy")
    assert_out(world, "two")
    world.never_too_early("two")
    assert_no_fight(world, argo, mode)

    bad = argo.commit(*release("bad"))
    argo.wait(bad, health="Degraded")
    assert argo.health("Deployment") == {"status": "Suspended", "message": "Deployment is paused"}
    told = argo.health("DatabaseMigration")
    assert told["status"] == "Degraded"
    assert "20260103000000_unique_names" in told["message"]
    assert_no_fight(world, argo, mode)
    world.kubectl("scale", "deployment/web", "--replicas=2")
    argo.refresh()
    world.wait(lambda: world.deployment()["spec"]["replicas"] == 1, "self-heal corrects the held Deployment", 30)
    assert world.is_held()
    world.never_ran("bad")

    back = argo.commit(*release("two"))
    argo.wait(back, health="Healthy")
    assert_out(world, "two")


def test_sync_waves_and_hooks_wait_for_the_release_and_never_pass_a_failed_one(a_world, an_argocd):
    world = a_world()
    argo = an_argocd(world)
    first = argo.commit(*in_waves("one"))
    argo.application()
    argo.wait_phase(first, "Succeeded")
    assert_out(world, "one")
    world.never_too_early("one")
    let_go = next(e.version for e in world.recorder.events("deployments") if not e.object["spec"].get("paused"))
    hooks = {e.name: e.version for e in world.recorder.events("jobs") if e.type == "ADDED" and e.name.endswith("sync")}
    assert hooks["presync"] < let_go < hooks["postsync"]
    assert int(configuration(world)["metadata"]["resourceVersion"]) > let_go

    bad = argo.commit(*in_waves("bad"))
    argo.wait(bad, sync="OutOfSync", health="Degraded")
    state = argo.wait_failed("DatabaseMigration")
    assert state["phase"] == "Running"
    assert "20260103000000_unique_names" in str(state["syncResult"])
    # It goes on waiting for the Deployment that the gate holds, so the next commit would have to wait too.
    assert state["message"] == "waiting for healthy state of apps/Deployment/web"

    mended = argo.commit(*in_waves("mended"))
    argo.terminate()
    argo.wait_phase(mended, "Succeeded")
    assert_out(world, "mended")
    after_sync = [e for e in world.recorder.events("jobs") if e.type == "ADDED" and e.name == "postsync"]
    assert len(after_sync) == 2, "PostSync ran for a release that failed"
    assert configuration(world)["data"] == {"release": "mended"}
    world.never_ran("bad")


def test_the_migration_may_come_in_an_earlier_wave_than_the_deployment(a_world, an_argocd):
    world = a_world()
    argo = an_argocd(world)
    resource, web = release("one")
    resource["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": "-1"}
    revision = argo.commit(resource, web)
    argo.application()
    argo.wait_phase(revision, "Succeeded")
    argo.wait(revision, health="Healthy")
    assert_out(world, "one")
    world.never_too_early("one")


def test_argo_cds_own_engine_runs_the_scripts_as_their_tests_say():
    for test in yaml.safe_load((KIND / "health_test.yaml").read_text())["tests"]:
        said = resource_override("health", KIND / test["inputPath"])
        assert said == f"STATUS: {test['healthStatus']['status']}\nMESSAGE: {test['healthStatus']['message']}\n"
    tests = yaml.safe_load((KIND / "actions" / "action_test.yaml").read_text())
    for test in tests["discoveryTests"]:
        said = resource_override("list-actions", KIND / "actions" / test["inputPath"])
        assert sorted(line.split()[0] for line in said.splitlines()[1:]) == sorted(
            item["name"] for item in test["result"]
        )
    changes = {
        "suspend": "suspend: true", "resume": "suspend: false", "retry": "locktender.dev/retry: argocd-4711",
        "declare-ran": "locktender.dev/resolve: r4f1=ran", "declare-not-ran": "locktender.dev/resolve: r4f1=not-ran",
    }  # fmt: skip
    assert {test["action"] for test in tests["actionTests"]} == set(changes)
    for test in tests["actionTests"]:
        assert changes[test["action"]] in resource_override(
            "run-action", KIND / "actions" / test["inputPath"], test["action"]
        )


def resource_override(verb, *arguments):
    program = clients.program(clients.ARGO_CD, Progress(quiet=True))
    command = (program, "admin", "settings", "resource-overrides", verb, *arguments, "--argocd-cm-path", CONFIG_MAP)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def in_waves(name):
    """Both objects in one wave, a ConfigMap in the next, a hook before and one after."""
    after = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after"}, "data": {"release": name}}
    after["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": "1"}
    return (*release(name), after, hook("PreSync"), hook("PostSync"))


def hook(phase):
    job = pod_spec({"name": "hook", "image": image("two"), "command": ["true"]})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": phase.lower(),
            "annotations": {
                "argocd.argoproj.io/hook": phase,
                "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
            },
        },
        "spec": {"backoffLimit": 0, "template": {"spec": {**job, "restartPolicy": "Never"}}},
    }


def configuration(world):
    return world.api.get(f"/api/v1/namespaces/{world.name}/configmaps/after")


def assert_out(world, wanted):
    live = world.api.get(f"/apis/apps/v1/namespaces/{world.name}/deployments/web")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == image(wanted)
    assert "paused" not in live["spec"]


def assert_no_fight(world, argo, mode):
    """Comparisons and syncs in a row write neither object. A replace takes others' annotations away, so it is a write by nature."""
    before = state(world, mode)
    for _ in range(COMPARISONS):
        argo.refresh()
    for _ in range(SYNCS):
        assert argo.sync() == "Succeeded"
    assert state(world, mode) == before


def state(world, mode):
    """Both objects as far as a sync could change them."""
    where = f"namespaces/{world.name}"
    web = world.api.get(f"/apis/apps/v1/{where}/deployments/web")
    migration = world.api.get(f"/apis/locktender.dev/v1alpha1/{where}/databasemigrations/app-db")
    if mode == "replace":
        return [web["spec"], migration["spec"]]
    return [but_status(web), but_status(migration)]
