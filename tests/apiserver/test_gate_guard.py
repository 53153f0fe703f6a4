"""The guard on a real API server, with a real Helm release: what is deleted or edited of the gate comes back, and nothing else is touched.

The operator is the real program with the rights that the chart gives it. No Deployment is rolled out here: there are no controllers.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from locktender.webhook.authority import new_authority
from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.gate_server import kubeconfig_of
from tests.apiserver.running_operator import OperatorProcess
from tests.builders import a_spec
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = pytest.mark.apiserver

RELEASE = "locktender"
CONFIG_MAP = "locktender-gate"
POLICY, BINDING = "mutatingadmissionpolicy/gate.locktender.dev", "mutatingadmissionpolicybinding/gate.locktender.dev"
BACKSTOP = "validatingadmissionpolicy/gate-backstop.locktender.dev"
BACKSTOP_BINDING = "validatingadmissionpolicybinding/gate-backstop.locktender.dev"
OBJECTS = (POLICY, BINDING, BACKSTOP, BACKSTOP_BINDING)
GUARD = {"LOCKTENDER_GATE_GUARD": "Restore", "LOCKTENDER_GATE_CONFIGMAP": CONFIG_MAP}
AT_ONCE = 10.0  # seconds; about 0.1 on an idle machine
BY_CHART_AGE = 11.0  # seconds after an install during which the guard leaves what it finds to the installer
AFTER_SOME = 30.0  # seconds, when the same object was restored several times just before: the guard grows patient
ACCOUNT = f"system:serviceaccount:{render.NAMESPACE}:locktender"


def helm(kubectl: Kubectl, *arguments: str) -> None:
    done = render.helm(*arguments, f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={render.NAMESPACE}")
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def installed(*values: str) -> Iterator[Kubectl]:
    """The chart, by Helm, on a server of its own."""
    with ApiServer() as server:
        kubectl = Kubectl(render.program("kubectl"), server.kubeconfig)
        helm(kubectl, "install", RELEASE, str(render.CHART), "--create-namespace", *values)
        until(lambda: kubectl.run("auth", "can-i", "get", POLICY, user=ACCOUNT).returncode == 0, "the rights are there")
        yield kubectl


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    with installed() as found:
        yield found


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operator") / "log"


def operator(kubectl: Kubectl, log: Path, mode: str = "Restore", **settings: str) -> OperatorProcess:
    account = kubeconfig_of(kubectl, "locktender")
    mine = {"LOCKTENDER_GATE_GUARD": mode, "LOCKTENDER_LOG_LEVEL": "DEBUG"}
    return OperatorProcess(account, log, **{**GUARD, **mine, **settings})


@pytest.fixture(scope="module")
def at_work(kubectl: Kubectl, log: Path) -> Iterator[None]:
    """The operator, for as long as the tests that ask for it go on."""
    with operator(kubectl, log).start():
        until(lambda: _age(kubectl) > BY_CHART_AGE, "the install is over")
        kubectl("delete", BINDING)
        until(lambda: there(kubectl, BINDING), "the guard is at work", 40.0)
        yield


@pytest.fixture
def guarded(kubectl: Kubectl, at_work: None) -> Kubectl:
    """With the operator at work, and nothing told yet."""
    until(lambda: all(there(kubectl, item) for item in OBJECTS), "the gate is whole")
    time_of_rest(kubectl)
    return kubectl


def time_of_rest(kubectl: Kubectl) -> None:
    """The next restoration of the same object comes at once again."""
    kubectl("delete", "events", "--all", f"--namespace={render.NAMESPACE}")


def _age(kubectl: Kubectl) -> float:
    config_map = kubectl.json(
        "get", "configmap", CONFIG_MAP, f"--namespace={render.NAMESPACE}", "--show-managed-fields"
    )
    newest = max(entry["time"] for entry in config_map["metadata"]["managedFields"])
    return time.time() - yaml.safe_load(newest).timestamp()  # type: ignore[no-any-return]


def there(kubectl: Kubectl, item: str) -> bool:
    return kubectl.run("get", item).returncode == 0


def get(kubectl: Kubectl, item: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", item, "--show-managed-fields")
    return found


def before(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    return {item: get(kubectl, item) for item in OBJECTS}


def content(found: dict[str, Any]) -> tuple[Any, Any, Any]:
    meta = found["metadata"]
    return found["spec"], meta["labels"], meta.get("annotations", {})


def told(kubectl: Kubectl, reason: str) -> list[str]:
    events = kubectl.json("get", "events", f"--namespace={render.NAMESPACE}")["items"]
    assert {item["involvedObject"]["kind"] for item in events if item["reason"] == reason} <= {"ConfigMap"}
    return [item["message"] for item in events if item["reason"] == reason]


def seconds(holds: Callable[[], bool], what: str) -> float:
    started = time.monotonic()
    until(holds, what, AT_ONCE)
    return time.monotonic() - started


def test_the_rights_are_on_single_names(kubectl: Kubectl) -> None:
    """An apply that creates is authorized as `create` with the name, so `resourceNames` bind it; a POST never is."""
    plain = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding"}
    spec = {"policyName": "x", "validationActions": ["Deny"]}
    allowed = {**plain, "metadata": {"name": "gate.locktender.dev"}, "spec": spec}
    kubectl("apply", "--server-side", body=allowed, user=ACCOUNT)
    kubectl("delete", "validatingadmissionpolicybinding/gate.locktender.dev", user=ACCOUNT)
    other = {**plain, "metadata": {"name": "other"}, "spec": spec}
    kubectl("create", body=other)
    for refusal in (
        kubectl.refused("apply", "--server-side", body={**other, "metadata": {"name": "third"}}, user=ACCOUNT),
        kubectl.refused("create", body=allowed, user=ACCOUNT),
        kubectl.refused("delete", "validatingadmissionpolicybinding/other", user=ACCOUNT),
        kubectl.refused("get", "validatingadmissionpolicybindings", user=ACCOUNT),
        kubectl.refused("get", "configmaps", f"--namespace={render.NAMESPACE}", user=ACCOUNT),
    ):
        assert "forbidden" in refusal.lower()
    kubectl("delete", "validatingadmissionpolicybinding/other")


def test_what_is_deleted_or_edited_comes_back_and_is_told(guarded: Kubectl) -> None:
    wanted = before(guarded)
    for item in (POLICY, BACKSTOP, BACKSTOP_BINDING):
        guarded("delete", item)
        took = seconds(lambda item=item: there(guarded, item), f"{item} is back")  # type: ignore[misc]
        assert content(get(guarded, item)) == content(wanted[item])
        assert took < AT_ONCE
    until(lambda: len(told(guarded, "GateRestored")) == 3, "each is told", AT_ONCE)
    (text,) = [text for text in told(guarded, "GateRestored") if text.startswith("MutatingAdmissionPolicy gate.")]
    assert "a part of the gate, was deleted. It is restored." in text
    assert """grep '"name":"gate.locktender.dev"' AUDIT_LOG""" in text
    assert "set gate.guard to Report" in text


@pytest.mark.parametrize(
    ("item", "patch"),
    [
        (POLICY, {"spec": {"failurePolicy": "Ignore"}}),
        (POLICY, {"spec": {"matchConditions": [{"name": "never", "expression": "false"}]}}),
        (BACKSTOP, {"spec": {"matchConstraints": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}}),
        (BACKSTOP_BINDING, {"spec": {"validationActions": ["Warn"]}}),
        (BINDING, {"spec": {"matchResources": {"objectSelector": {"matchLabels": {"a": "b"}}}}}),
        (BACKSTOP, {"metadata": {"labels": {"app.kubernetes.io/name": None}}}),
    ],
    ids=["ignored failures", "an added condition", "another selector", "only warnings", "an added selector", "a label"],
)
def test_an_edit_is_undone(guarded: Kubectl, item: str, patch: dict[str, Any]) -> None:
    wanted = content(get(guarded, item))
    guarded("patch", item, "--type=merge", f"--patch={json.dumps(patch)}")
    until(lambda: content(get(guarded, item)) == wanted, f"{item} is as it was", AFTER_SOME)
    until(lambda: len(told(guarded, "GateRestored")) == 1, "it is told", AT_ONCE)
    removed = "labels" in patch.get("metadata", {})  # what is taken away has no owner any more
    assert ("was edited. It" if removed else "was edited (last by kubectl-patch). It") in told(guarded, "GateRestored")[
        0
    ]


def test_nothing_is_written_while_nothing_differs(guarded: Kubectl) -> None:
    """Not at the start, not in a look that an unrelated change brings about."""
    guarded("annotate", BACKSTOP, "somebody=else", "--overwrite")
    was = before(guarded)
    guarded("delete", BINDING)  # a look at everything follows
    until(lambda: there(guarded, BINDING), "the look is over", 20.0)
    now = before(guarded)
    for item in (POLICY, BACKSTOP, BACKSTOP_BINDING):
        assert now[item] == was[item]
    assert now[BACKSTOP]["metadata"]["annotations"]["somebody"] == "else"
    guarded("annotate", BACKSTOP, "somebody-")


def test_an_upgrade_after_a_restoration_meets_no_conflict(guarded: Kubectl) -> None:
    """Helm 4 applies on the server's side and is refused where another manager owns what it changes."""
    guarded(
        "patch",
        BINDING,
        "--type=merge",
        '--patch={"spec":{"matchResources":{"objectSelector":{"matchLabels":{"a":"b"}}}}}',
    )
    until(lambda: bool(told(guarded, "GateRestored")), "it was edited and restored", 20.0)
    guarded("delete", BACKSTOP)
    until(lambda: there(guarded, BACKSTOP), "it was deleted and restored", AT_ONCE)
    time_of_rest(guarded)
    helm(guarded, "upgrade", RELEASE, str(render.CHART), "--set=podLabels.a=b", "--set=watch.namespaces={default}")
    selector = get(guarded, BINDING)["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert selector == [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["default"]}]
    owners = {entry["manager"] for entry in get(guarded, BACKSTOP)["metadata"]["managedFields"]}
    assert "helm" in owners
    helm(guarded, "upgrade", RELEASE, str(render.CHART), "--reset-values")
    assert "namespaceSelector" not in json.dumps(get(guarded, BINDING)["spec"].get("matchResources", {})).replace(
        '"namespaceSelector": {}', ""
    )
    assert told(guarded, "GateRestored") == [], "an upgrade is no edit"


@pytest.fixture
def unguarded(tmp_path: Path) -> Iterator[Kubectl]:
    """A release of its own, whose guard the test starts and stops."""
    with installed() as found:
        until(lambda: _age(found) > BY_CHART_AGE, "the install is over")
        yield found


def test_reporting_only_tells(unguarded: Kubectl, tmp_path: Path) -> None:
    kubectl, log = unguarded, tmp_path / "log"
    with operator(kubectl, log, "Report").start():
        kubectl("patch", BACKSTOP, "--type=merge", '--patch={"spec":{"failurePolicy":"Ignore"}}')
        until(lambda: len(told(kubectl, "GateIncomplete")) == 1, "it is told", 40.0)
        assert (
            "ValidatingAdmissionPolicy gate-backstop.locktender.dev, a part of the gate, is not what the chart installed"
            in told(kubectl, "GateIncomplete")[0]
        )
        kubectl("delete", BINDING)
        until(lambda: len(told(kubectl, "GateIncomplete")) == 2, "so is what is missing", AT_ONCE)
    assert get(kubectl, BACKSTOP)["spec"]["failurePolicy"] == "Ignore"
    with operator(kubectl, log).start():
        until(lambda: there(kubectl, BINDING), "what was done before the start is undone", 40.0)
        until(lambda: get(kubectl, BACKSTOP)["spec"]["failurePolicy"] == "Fail", "too", AT_ONCE)


def test_without_the_mutating_half_writes_are_refused_and_without_both_what_slips_through_is_noticed(
    unguarded: Kubectl, tmp_path: Path
) -> None:
    kubectl, log = unguarded, tmp_path / "log"
    kubectl("create", "namespace", "shop")
    shop = Kubectl(kubectl.program, kubectl.kubeconfig, "shop")
    migration = {
        "apiVersion": "locktender.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": "shop-db"},
        "spec": a_spec(backup={"policy": "Skip", "reason": "a test"}),
    }
    del migration["spec"]["backup"]["storage"]
    with operator(kubectl, log).start():
        shop("create", body=migration)
        until(
            lambda: shop.json("create", "--dry-run=server", body=_web("shop:1"))["spec"].get("paused") is True,
            "held",
            40.0,
        )
        shop("create", body=_web("shop:1", labels={}))
        shop("label", "deployment/web", "locktender.dev/gate=shop-db")
        until(
            lambda: "Baseline" in json.dumps(shop.json("get", "dbm", "shop-db").get("status", {})),
            "shop:1 counts",
            40.0,
        )
    kubectl("delete", POLICY, BINDING)
    until(
        lambda: (
            "nothing held the write"
            in shop.run("set", "image", "deployment/web", "web=shop:2", "--dry-run=server").stderr
        ),
        "the backstop refuses",
    )
    kubectl("delete", BACKSTOP, BACKSTOP_BINDING)
    until(lambda: shop.run("set", "image", "deployment/web", "web=shop:2").returncode == 0, "there is no gate")
    with operator(kubectl, log).start():
        until(lambda: all(there(kubectl, item) for item in OBJECTS), "the gate is whole again", 40.0)
        until(lambda: "GateSkipped" in _reasons(shop), "it is noticed", 40.0)
        until(lambda: "MigrationStarted" in _reasons(shop), "and its migration runs", 40.0)
    (entry,) = shop.json("get", "dbm", "shop-db")["status"]["gate"]["deployments"]
    assert (entry["state"], entry["images"]) == ("Skipped", ["shop:2"])


def _web(image: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"locktender.dev/gate": "shop-db"} if labels is None else labels},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def _reasons(shop: Kubectl) -> set[str]:
    return {item["reason"] for item in shop.json("get", "events")["items"]}


@pytest.mark.parametrize("carrier", ["policy", "both"])
def test_an_uninstall_is_not_undone(carrier: str, tmp_path: Path) -> None:
    """Also of the webhook's configuration, which Helm deletes first of all. Without the hook's Job: no pod runs here."""
    with installed(f"--set=uninstall.releaseHeld=false,crds.keep=false,gate.carrier={carrier}") as kubectl:
        items = OBJECTS if carrier == "policy" else (*OBJECTS, "mutatingwebhookconfiguration/gate.locktender.dev")
        with operator(kubectl, tmp_path / "log").start():
            until(lambda: _age(kubectl) > BY_CHART_AGE, "the install is over")
            for item in items:
                kubectl("delete", item)
            until(lambda: all(there(kubectl, item) for item in items), "the guard is at work", 40.0)
            helm(kubectl, "uninstall", RELEASE)
            until(lambda: not any(there(kubectl, item) for item in items), "all of it is gone", AT_ONCE)
            kubectl("create", "clusterrolebinding", "again", "--clusterrole=cluster-admin", f"--user={ACCOUNT}")
            still = time.monotonic() + 3.0
            while time.monotonic() < still:  # the operator lives on for a moment, here even with every right
                assert not any(there(kubectl, item) for item in items)
                time.sleep(0.2)


def test_the_webhooks_configuration_is_guarded_and_its_bundle_left_alone(tmp_path: Path) -> None:
    configuration = "mutatingwebhookconfiguration/gate.locktender.dev"
    bundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
    with installed("--set=gate.carrier=both") as kubectl, operator(kubectl, tmp_path / "log").start():
        until(lambda: _age(kubectl) > BY_CHART_AGE, "the install is over")
        kubectl("delete", configuration)
        until(lambda: there(kubectl, configuration), "it is back", 40.0)
        patch = [
            {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
            {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle},
        ]
        kubectl("patch", configuration, "--type=json", f"--patch={json.dumps(patch)}")
        until(lambda: get(kubectl, configuration)["webhooks"][0]["failurePolicy"] == "Fail", "it is as it was", AT_ONCE)
        assert get(kubectl, configuration)["webhooks"][0]["clientConfig"]["caBundle"] == bundle


def test_a_deleted_webhook_configuration_comes_back_and_is_trusted_again(tmp_path: Path) -> None:
    """The guard brings back what the chart says, the copy of the bundle the rest; neither takes the other for an edit."""
    configuration, authority = "mutatingwebhookconfiguration/gate.locktender.dev", "locktender-gate-ca"
    bundle = new_authority(datetime.now(UTC), timedelta(days=1)).certificate.decode()
    encoded = base64.b64encode(bundle.encode()).decode()

    def trusted() -> bool:
        found = kubectl.run("get", configuration, "--output=jsonpath={.webhooks[0].clientConfig.caBundle}")
        return found.returncode == 0 and found.stdout.strip() == encoded

    with installed("--set=gate.carrier=webhook") as kubectl:
        patch = json.dumps({"data": {"ca.crt": bundle}})
        kubectl("patch", "configmap", authority, f"--namespace={render.NAMESPACE}", "--type=merge", f"--patch={patch}")
        with operator(kubectl, tmp_path / "log", LOCKTENDER_GATE_CA_CONFIGMAP=authority).start():
            until(trusted, "the bundle is copied", 40.0)
            until(lambda: _age(kubectl) > BY_CHART_AGE, "the install is over")
            assert told(kubectl, "GateRestored") == [], "a bundle is no edit"
            kubectl("delete", configuration)
            until(trusted, "it is back, and trusted", AT_ONCE)
            until(lambda: len(told(kubectl, "GateRestored")) == 1, "it is told", AT_ONCE)
            kubectl("delete", BACKSTOP)  # a look at everything follows
            until(lambda: there(kubectl, BACKSTOP), "the look is over", AT_ONCE)
            until(
                lambda: len(told(kubectl, "GateRestored")) == 2,
                "the backstop is told, and the bundle is no edit",
                AT_ONCE,
            )
            assert trusted()


def test_moving_from_the_webhook_to_the_policy_is_not_undone(tmp_path: Path) -> None:
    """What the chart renders no more stays away, also when the guard looks again; what it renders now is guarded."""
    configuration = "mutatingwebhookconfiguration/gate.locktender.dev"
    with installed("--set=gate.carrier=webhook") as kubectl, operator(kubectl, tmp_path / "log").start():
        until(lambda: _age(kubectl) > BY_CHART_AGE, "the install is over")
        kubectl("delete", configuration)
        until(lambda: there(kubectl, configuration), "the guard is at work", 40.0)
        for carrier, webhook in (("both", True), ("policy", False)):
            time_of_rest(kubectl)
            helm(kubectl, "upgrade", RELEASE, str(render.CHART), f"--set=gate.carrier={carrier}")
            until(lambda: _age(kubectl) > BY_CHART_AGE, "the upgrade is over")
            kubectl("delete", BACKSTOP)  # a look at everything follows
            until(lambda: there(kubectl, BACKSTOP), "the look is over", AFTER_SOME)
            until(lambda: len(told(kubectl, "GateRestored")) == 1, "it is told", AT_ONCE)
            assert told(kubectl, "GateRestored")[0].startswith("ValidatingAdmissionPolicy gate-backstop.")
            assert (there(kubectl, configuration), all(there(kubectl, item) for item in OBJECTS)) == (webhook, True)
