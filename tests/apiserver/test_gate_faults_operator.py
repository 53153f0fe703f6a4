"""The operator and the API server go away and come back: the same end as if they had stayed, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver import gate_server
from tests.apiserver.gate_server import GateServer, kubeconfig_of_this_process
from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator, OperatorProcess
from tests.apiserver.shop import MIGRATION, Shop, open_shop
from tools.kube import facts
from tools.render import render

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]
BACKED_UP = {"policy": "Required", "storage": {"pvc": {"claimName": "backups"}}, "reason": None}
TAKEOVER = 60.0  # seconds: a killed leader's lease lasts 15 s, and a Python process starts slowly on a busy machine


@pytest.fixture
def process(shop: Shop, server: GateServer, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator as a program. Leases are of this shop's own namespace's name, so that tests do not wait for each other."""
    log = tmp_path / "operator.log"
    lease = {"LOCKTENDER_NAMESPACES": shop.namespace, "LOCKTENDER_LEASE_NAME": f"locktender-{shop.namespace}"}
    with OperatorProcess(server.operator_kubeconfig, log, **lease) as made:
        yield made


def forget_the_leader(shop: Shop) -> None:
    """A killed leader's lease would run out after 15 s; the test need not wait for that."""
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{render.NAMESPACE}/leases/locktender-{shop.namespace}"
    shop.server.admin.delete(lease)


def release_v2(shop: Shop) -> None:
    shop.deploy("web", "shop:v1", gate=None)
    shop.wait(lambda: shop.runs("shop:v1", "web"), "v1 runs")
    shop.migration(backup=BACKED_UP)
    shop.deploy("web", "shop:v1")
    shop.deploy("web", "shop:v2")


def ends_well_and_once(shop: Shop, image: str = "shop:v2") -> None:
    """The end of every one of these stories."""
    shop.wait(lambda: shop.runs(image, "web") and shop.ready()[0] == "True", f"{image} runs", TAKEOVER)
    history = (shop.dbm() or {})["status"]["history"]
    assert [(entry["image"], entry["outcome"], entry["id"].split("-")[1]) for entry in history] == [
        (image, "Succeeded", "1")
    ]
    assert [len(shop.jobs(step)) for step in ("backup", "migrate")] == [1, 1]


def test_a_release_that_arrives_while_the_operator_is_down(shop: Shop, operator: Operator) -> None:
    release_v2(shop)
    assert shop.is_held("web") or facts.is_held(shop.live("web") or {"metadata": {}, "spec": {}})
    assert shop.runs("shop:v1", "web") is False
    old = [pod for pod in shop.recorder.objects("pods") if facts.image(pod) == "shop:v1"]
    assert old, "the version before keeps serving"
    operator.start()
    ends_well_and_once(shop)


@pytest.mark.parametrize("phase", ["Backup", "Migrate", "Release"])
def test_the_operator_is_killed_in(shop: Shop, process: OperatorProcess, phase: str) -> None:
    shop.kubelet.backup = Fate.RUNS if phase == "Backup" else Fate.SUCCEEDS
    shop.kubelet.migrate = Fate.RUNS
    release_v2(shop)
    process.start()

    def at(step: str) -> bool:
        pods = [pod for pod in shop.recorder.objects("pods") if facts.step(pod) == step.lower()]
        return any(pod["status"].get("phase") == "Running" for pod in pods)

    shop.wait(lambda: at("Backup" if phase == "Backup" else "Migrate"), f"{phase} has begun", TAKEOVER)
    if phase == "Release":
        mark = shop.recorder.mark()
        shop.kubelet.migrate = Fate.SUCCEEDS
        shop.wait(lambda: _verdict_since(shop, mark), "the verdict is stored")
    process.kill()
    shop.kubelet.backup = shop.kubelet.migrate = Fate.SUCCEEDS
    shop.assert_nothing_unverified()
    forget_the_leader(shop)
    process.start()
    ends_well_and_once(shop)


def _verdict_since(shop: Shop, mark: int) -> bool:
    seen = [event.object for event in shop.recorder.events("databasemigrations") if event.version > mark]
    return any(entry["outcome"] == "Succeeded" for item in seen for entry in item["status"].get("verdicts", ()))


def test_the_operator_is_down_while_the_migration_ends_and_its_job_is_told(shop: Shop, operator: Operator) -> None:
    shop.kubelet.migrate = Fate.RUNS
    release_v2(shop)
    operator.start()
    shop.wait(lambda: [pod for pod in shop.recorder.objects("pods") if facts.step(pod) == facts.MIGRATE], "it migrates")
    operator.stop()
    shop.kubelet.migrate = Fate.FAILS
    shop.wait(lambda: any(facts.condition(job, "Failed") for job in shop.recorder.objects("jobs")), "the Job failed")
    operator.start()
    shop.wait(lambda: shop.ready()[1] == "Failed", "the failure is told")
    shop.assert_explained()
    assert shop.is_held("web")


def test_the_api_server_is_restarted_in_the_middle_of_a_run(shop: Shop, operator: Operator) -> None:
    """Watches are cut, calls fail, the server comes back: nothing is lost, nothing is doubled."""
    shop.kubelet.migrate = Fate.RUNS
    release_v2(shop)
    operator.start()
    shop.wait(lambda: [pod for pod in shop.recorder.objects("pods") if facts.step(pod) == facts.MIGRATE], "it migrates")
    shop.server.server.restart()
    # The record has a hole where the server was away. It hides nothing: what was listed after it has no trace of v2.
    missed = {"replicasets", "pods"}
    shop.wait(lambda: missed <= {gap.split()[0] for gap in shop.recorder.gaps}, "everything is listed anew")
    seen = [item for kind in missed for item in shop.recorder.objects(kind) if not facts.step(item)]
    assert {facts.image(item) for item in seen} == {"shop:v1"}
    shop.recorder.gaps.clear()
    shop.kubelet.migrate = Fate.SUCCEEDS
    ends_well_and_once(shop)
    assert operator.running
    shop.deploy("web", "shop:v3")
    shop.wait(lambda: shop.runs("shop:v3", "web"), "the watches are alive again", TAKEOVER)


def test_a_namespace_without_permission_does_not_keep_the_others_waiting(server: GateServer) -> None:
    """watch.namespaces names two; in one of them the operator's account has no Role, until it gets it."""
    kubectl = server.kubectl
    kubectl("--namespace", render.NAMESPACE, "create", "serviceaccount", "limited")
    account = f"--serviceaccount={render.NAMESPACE}:limited"
    kubectl("--namespace", render.NAMESPACE, "create", "rolebinding", "limited", "--role=locktender-lease", account)

    def grant(shop: Shop, *concerns: str) -> None:
        for concern in concerns:
            role = f"--clusterrole=locktender-{concern}"
            kubectl("--namespace", shop.namespace, "create", "rolebinding", concern, role, account)

    kubeconfig = gate_server.kubeconfig_of(kubectl, "limited")
    with kubeconfig_of_this_process(kubeconfig), open_shop(server) as closed, open_shop(server) as good:
        grant(good, "migrations", "backups", "jobs", "gate", "events")
        operator = Operator(kubeconfig, (closed.namespace, good.namespace)).start()
        try:
            for shop in (closed, good):
                shop.migration()
                shop.deploy("web", "shop:v1")
            good.wait(lambda: good.runs("shop:v1", "web") and good.ready()[0] == "True", "the other namespace goes on")
            errors = operator.count("locktender_reconcile_errors", kind="forbidden")
            assert errors >= 1
            assert closed.is_held("web")
            operator.assert_rests()
            # All but the right to open the gate: the condition and the Event say what is missing.
            grant(closed, "migrations", "backups", "jobs", "events")
            kubectl(
                "--namespace",
                closed.namespace,
                "create",
                "role",
                "look",
                "--verb=get,list,watch",
                "--resource=deployments.apps",
            )
            kubectl("--namespace", closed.namespace, "create", "rolebinding", "look", "--role=look", account)
            closed.wait(lambda: closed.ready()[1] == "ReleaseRefused", "what is missing is told", 40)
            closed.assert_explained()
            grant(closed, "gate")
            closed.wait(lambda: closed.runs("shop:v1", "web") and closed.ready()[0] == "True", "it goes on by itself")
            assert operator.running
            for shop in (closed, good):
                shop.assert_nothing_unverified()
                assert shop.dbm(MIGRATION) is not None
        finally:
            operator.stop()
