"""Break-glass on a real API server with the real operator: it works at once, leaves a trace for everybody, and the next run mends the rest.

`oncall` may edit objects and holds the chart's ClusterRole for the verb bypass; `alice` may edit only.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.gate_server import GateServer, gate_server, kubeconfig_of_this_process
from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import MIGRATION, Shop, open_shop
from tools.kube import facts
from tools.render import render

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]

AUDIT = "gate-backstop.locktender.dev/"
ROLES = (
    "system:aggregate-to-view",
    "system:aggregate-to-edit",
    "locktender-view",
    "locktender-edit",
    "locktender-bypass",
)


@pytest.fixture(scope="module")
def server() -> Iterator[GateServer]:
    with gate_server(audit=True) as found, kubeconfig_of_this_process(found.operator_kubeconfig):
        for role in ROLES:
            found.kubectl(
                "create",
                "clusterrolebinding",
                f"oncall-{role.replace(':', '-')}",
                f"--clusterrole={role}",
                "--user=oncall",
            )
        until(
            lambda: found.kubectl.run("auth", "can-i", "bypass", "databasemigrations/x", user="oncall").returncode == 0,
            "oncall may bypass",
        )
        yield found


@pytest.fixture
def shop(server: GateServer) -> Iterator[Shop]:
    with open_shop(server) as opened:
        yield opened


@pytest.fixture
def operator(server: GateServer) -> Iterator[Operator]:
    """Not started yet."""
    found = Operator(server.operator_kubeconfig)
    try:
        yield found
    finally:
        found.stop()


def serving(shop: Shop, operator: Operator, image: str = "shop:1") -> None:
    """The operator runs, and so does a verified version."""
    shop.migration()
    operator.start()
    shop.deploy("web", image)
    shop.wait(lambda: shop.runs(image, "web") and shop.ready()[0] == "True", f"{image} is migrated and runs")


def bypass(shop: Shop, image: str, reason: str = "INC-42", user: str = "oncall", **metadata: Any) -> str:
    """As docs/break-glass.md says: the image and the word in one write; the word."""
    live = shop.live("web")
    assert live is not None
    word = f"{reason}@{live['metadata']['generation']}"
    annotations = {"locktender.dev/held": None, "locktender.dev/bypass": word}
    container = {"name": "app", "image": image}
    patch = {
        "metadata": {"annotations": annotations, **metadata},
        "spec": {"paused": None, "template": {"spec": {"containers": [container]}}},
    }
    kubectl = Kubectl(shop.server.kubectl.program, shop.server.kubectl.kubeconfig, shop.namespace)
    kubectl("patch", "deployment", "web", "--type=strategic", f"--patch={json.dumps(patch)}", user=user)
    return word


def state(shop: Shop, name: str = "web") -> str:
    entries = ((shop.dbm() or {}).get("status", {}).get("gate") or {}).get("deployments", ())
    return next((entry["state"] for entry in entries if entry["name"] == name), "")


def told(shop: Shop, reason: str) -> dict[str, str]:
    """The kinds that Events of a reason are about, and what they say."""
    found = [event.object for event in shop.recorder.events("events") if event.type != "DELETED"]
    return {event["involvedObject"]["kind"]: event["message"] for event in found if event["reason"] == reason}


def counted(operator: Operator, metric: str = "locktender_gate_bypasses_total") -> float:
    return operator.metrics.registry.get_sample_value(metric) or 0.0


def audited(shop: Shop) -> list[dict[str, str]]:
    """The audit annotations of the gate on writes in this namespace."""
    lines = [json.loads(line) for line in shop.server.server.audit_log.read_text().splitlines()]
    found = [
        {
            key.removeprefix(AUDIT): text
            for key, text in (line.get("annotations") or {}).items()
            if key.startswith(AUDIT)
        }
        for line in lines
        if line["objectRef"].get("namespace") == shop.namespace
    ]
    return [annotations for annotations in found if annotations]


def test_a_bypass_leaves_a_trace_and_its_migration_follows(shop: Shop, operator: Operator) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.RUNS
    shop.deploy("web", "shop:2")
    shop.wait(lambda: len(shop.jobs()) == 2, "the migration of shop:2 is under way")

    word = bypass(shop, "shop:2", "INC-42: the shop is down")

    shop.wait(lambda: shop.runs("shop:2", "web"), "shop:2 runs")
    shop.wait(lambda: set(told(shop, "GateBypassed")) == {"Deployment", "DatabaseMigration"}, "it is told on both")
    assert told(shop, "GateBypassed")["Deployment"].startswith(
        "Deployment web runs shop:2 unmigrated: a bypass let it through (INC-42: the shop is down). Its migration is under way"
    )
    assert state(shop) == "Bypassed"
    assert facts.condition(shop.dbm(), "GateOpen")["reason"] == "GateBypassed"
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.wait(lambda: state(shop) == "Open" and shop.ready()[0] == "True", "the truth is reconciled")
    assert len(shop.jobs()) == 2
    assert counted(operator) == 1
    assert audited(shop) == [{"gate": f"{shop.namespace}/{MIGRATION}", "user": "oncall", "reason": word}], (
        "one use, and none of the ordinary writes of this test"
    )


def test_while_the_operator_is_down_it_works_and_is_noticed_later_and_counted_once(
    shop: Shop, operator: Operator
) -> None:
    serving(shop, operator)
    operator.stop()
    bypass(shop, "shop:2")
    shop.wait(lambda: shop.runs("shop:2", "web"), "shop:2 runs with nobody there")
    operator.start()
    shop.wait(lambda: "Deployment" in told(shop, "GateBypassed"), "it is noticed")
    shop.wait(lambda: shop.ready()[0] == "True" and state(shop) == "Open", "its migration has run")
    assert [len(shop.jobs()), counted(operator)] == [2, 1]
    operator.stop()
    operator.start()
    shop.deploy("web", "shop:3")
    shop.wait(lambda: shop.runs("shop:3", "web"), "the next release is judged like any other")
    assert counted(operator) == 0, "a new process has counted nothing"


def test_of_the_very_first_version_is_migrated_and_no_baseline(shop: Shop, operator: Operator) -> None:
    shop.migration()
    shop.deploy("web", "shop:1")
    bypass(shop, "shop:1")
    shop.wait(lambda: shop.runs("shop:1", "web"), "shop:1 runs")
    operator.start()
    shop.wait(lambda: shop.ready()[0] == "True", "its migration has run")
    assert len(shop.jobs()) == 1
    assert [item["outcome"] for item in (shop.dbm() or {})["status"]["verdicts"]] == ["Succeeded"]


def test_a_version_whose_migration_fails_runs_on_and_says_so(shop: Shop, operator: Operator) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.FAILS
    bypass(shop, "shop:2")
    shop.wait(lambda: shop.ready()[:2] == ("False", "Failed"), "the failure shows")
    assert "the new version is already rolled out and runs on the old schema" in shop.ready()[2]
    assert state(shop) == "Bypassed"
    assert shop.runs("shop:2", "web")
    shop.kubelet.migrate = Fate.SUCCEEDS
    shop.deploy("web", "shop:3")
    shop.wait(lambda: shop.runs("shop:3", "web") and shop.ready()[0] == "True", "the next release goes its way")
    assert state(shop) == "Open"


def test_releases_nothing_else_that_is_held(shop: Shop, operator: Operator) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.FAILS
    shop.deploy("worker", "shop:2")
    bypass(shop, "shop:2")
    shop.wait(lambda: state(shop) == "Bypassed" and shop.ready()[1] == "Failed", "bypassed, and not migrated")
    assert shop.is_held("worker")


def test_without_the_verb_it_is_held_and_told_why(shop: Shop, operator: Operator) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.RUNS
    bypass(shop, "shop:2", user="system:serviceaccount:locktender-system:alice")
    shop.wait(lambda: "Deployment" in told(shop, "BypassHeld"), "who waits for it is told")
    assert "a bypass needs the verb bypass on DatabaseMigration shop-db" in told(shop, "BypassHeld")["Deployment"]
    assert shop.is_held("web")
    assert counted(operator) == 0
    assert audited(shop) == []


def test_leaving_the_gate_by_bypass_is_noticed(shop: Shop, operator: Operator) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.FAILS
    shop.deploy("web", "shop:2")
    shop.wait(lambda: shop.ready()[1] == "Failed", "shop:2 cannot be migrated")
    bypass(shop, "shop:2", labels={"locktender.dev/gate": None})
    shop.wait(lambda: set(told(shop, "GateBypassed")) == {"Deployment", "DatabaseMigration"}, "it is told on both")
    assert "out of its gate (INC-42): shop:2 runs unmigrated" in told(shop, "GateBypassed")["Deployment"]
    assert counted(operator) == 1
    assert [item["gate"] for item in audited(shop)] == [f"{shop.namespace}/{MIGRATION}"]


def test_without_a_resource_the_event_is_all_there_is(shop: Shop, operator: Operator) -> None:
    operator.start()
    shop.deploy("web", "shop:1")
    bypass(shop, "shop:1")
    shop.wait(lambda: "Deployment" in told(shop, "GateBypassed"), "it is told")
    assert "There is no DatabaseMigration shop-db" in told(shop, "GateBypassed")["Deployment"]
    shop.wait(lambda: counted(operator) == 1, "it is counted")


def documented(name: str) -> str:
    """The commands of a block of docs/break-glass.md that is marked to be run."""
    text = (render.ROOT / "docs" / "break-glass.md").read_text()
    return text.partition(f"<!-- run: {name} -->\n```console\n")[2].partition("```")[0]


def run_as_written(shop: Shop, name: str, folder: Path) -> str:
    """By a shell, in this namespace, as oncall."""
    program = folder / "kubectl"
    kubectl = shop.server.kubectl
    program.write_text(f'#!/bin/sh\nexec {kubectl.program} --kubeconfig={kubectl.kubeconfig} --as=oncall "$@"\n')
    program.chmod(0o755)
    script = documented(name).replace("-n shop ", f"-n {shop.namespace} ")
    assert script, name
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_documentation_do_what_it_says(shop: Shop, operator: Operator, tmp_path: Path) -> None:
    serving(shop, operator)
    shop.kubelet.migrate = Fate.FAILS
    shop.deploy("web", "shop:2")
    shop.wait(lambda: shop.ready()[1] == "Failed" and shop.is_held("web"), "shop:2 cannot be migrated")
    run_as_written(shop, "held", tmp_path)
    shop.wait(lambda: shop.runs("shop:2", "web") and state(shop) == "Bypassed", "a held version is let through")
    run_as_written(shop, "image", tmp_path)
    shop.wait(lambda: shop.runs("shop:3", "web") and state(shop) == "Bypassed", "another image comes at once")
    shop.wait(lambda: shop.ready()[1] == "Failed", "its migration fails too")
    shop.kubelet.migrate = Fate.SUCCEEDS
    assert '"Bypassed"' in run_as_written(shop, "after", tmp_path)
    shop.wait(lambda: shop.ready()[0] == "True" and state(shop) == "Open", "the retry brings the truth back")
    assert counted(operator) == 2
    assert [item["reason"].partition("@")[0] for item in audited(shop)] == ["INC-42: shop is down", "INC-42: hotfix"]
