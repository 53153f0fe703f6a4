"""Least privilege as a truth table: every verb that the chart grants, and to whom."""

import pytest

from tests.rights import Grant, by_account, grants, objects
from tools.render import render

pytestmark = pytest.mark.packaging

OPERATOR = {
    "locktender.dev databasemigrations": "get list watch patch release",
    "locktender.dev databasemigrations/status": "patch",
    "locktender.dev databasebackups": "create",
    "locktender.dev databasebackups/status": "patch",
    "locktender.dev migrationreports": "get list create delete",
    " pods/log": "get",
    "batch jobs": "get list watch create patch delete",
    " pods": "list watch",
    "apps deployments": "get list watch patch",
    "events.k8s.io events": "create",
}
LEASE = {"coordination.k8s.io leases": "get create update"}
POLICIES = "mutatingwebhookconfigurations mutatingadmissionpolicies mutatingadmissionpolicybindings validatingadmissionpolicies validatingadmissionpolicybindings"
LOOKING, RESTORING = "get watch", "get watch create patch update delete"
UNINSTALL = {
    **{f"admissionregistration.k8s.io {policy}": "list delete" for policy in POLICIES.split()},
    "apps deployments": "list patch",
    "locktender.dev databasemigrations": "list patch release",
}
FORBIDDEN = {"secrets", "configmaps", "pods/exec", "nodes", "serviceaccounts", "roles", "clusterroles", "*"}
NAMED = {"configmaps"}  # forbidden but for single objects by name, in the operator's own namespace


def guard(verbs: str) -> dict[str, str]:
    """What the operator may do to the gate's own objects, by name, and to the ConfigMap that says what they should be."""
    objects = {f"admissionregistration.k8s.io {resource}": verbs for resource in POLICIES.split()}
    return {**objects, " configmaps": LOOKING}


EXPECTED = {
    "locktender": {**OPERATOR, **LEASE, **guard(RESTORING)},
    "locktender-release-all": UNINSTALL,
}
# With the gate carried by the webhook: the operator copies a public bundle, the server keeps its own authority.
COPYING = {" configmaps": "get", "admissionregistration.k8s.io mutatingwebhookconfigurations": "get patch"}
WEBHOOK = {" secrets": "get update", " configmaps": "get update"}
ON_THE_WEBHOOK = {
    **EXPECTED,
    "locktender": {**EXPECTED["locktender"], **COPYING, **guard(RESTORING)},
    "locktender-gate-webhook": WEBHOOK,
}
BY_WEBHOOK = ("--set=gate.carrier=webhook",)
BY_CERT_MANAGER = (*BY_WEBHOOK, "--set=gate.webhook.certificate.mode=certManager")


def expand(table: dict[str, str]) -> set[Grant]:
    return {(*key.split(" ", 1), verb) for key, verbs in table.items() for verb in verbs.split()}  # type: ignore[misc]  # two parts each


@pytest.mark.parametrize(
    "arguments", [(), ("--set=watch.namespaces={shop,billing}",)], ids=["all namespaces", "two namespaces"]
)
def test_every_account_has_exactly_these_verbs(arguments: tuple[str, ...]) -> None:
    assert by_account(objects(*arguments)) == {account: expand(table) for account, table in EXPECTED.items()}
    assert by_account(objects(*arguments, *BY_CERT_MANAGER)) == by_account(objects(*arguments))
    expected = {account: expand(table) for account, table in ON_THE_WEBHOOK.items()}
    assert by_account(objects(*arguments, *BY_WEBHOOK)) == expected


def test_the_webhook_and_its_bundle_are_granted_by_name_and_in_one_namespace() -> None:
    """Whoever may read a Secret or a ConfigMap here may read this one only, and only in the release's own namespace."""
    granting = [
        (item["kind"], item["metadata"]["name"], item["metadata"].get("namespace"), rule["resourceNames"])
        for item in objects(*BY_WEBHOOK, "--set=watch.namespaces={shop,locktender-system}")
        if item["kind"] in ("Role", "ClusterRole")
        and item["metadata"]["name"] not in ("locktender-release-all", "locktender-guard")
        for rule in item["rules"]
        if {"secrets", "configmaps", "mutatingwebhookconfigurations"} & set(rule["resources"])
    ]
    assert sorted(granting, key=lambda item: item[:2]) == [
        ("ClusterRole", "locktender-gate-ca", None, ["gate.locktender.dev"]),
        ("Role", "locktender-gate-ca", render.NAMESPACE, ["locktender-gate-ca"]),
        ("Role", "locktender-gate-webhook", render.NAMESPACE, ["locktender-gate-ca"]),
    ]


def test_no_two_objects_share_a_name() -> None:
    for arguments in ((), BY_WEBHOOK, BY_CERT_MANAGER):
        items = objects(*arguments, "--set=watch.namespaces={shop,locktender-system},networkPolicy.enabled=true")
        names = [
            (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
            for item in items
            # An uninstall puts an empty ConfigMap in the place of the guard's: the same name is what it is for.
            if item["kind"] != "ConfigMap" or "helm.sh/hook" not in item["metadata"].get("annotations", {})
        ]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("mode", "table"), [("Report", {**OPERATOR, **LEASE, **guard(LOOKING)}), ("Off", {**OPERATOR, **LEASE})]
)
def test_the_operator_may_write_the_gates_objects_only_where_it_restores_them(mode: str, table: dict[str, str]) -> None:
    assert by_account(objects(f"--set=gate.guard={mode}"))["locktender"] == expand(table)


def test_the_guards_rights_are_on_the_names_that_the_chart_installs() -> None:
    everything = objects("--set=gate.carrier=both")
    rules = [
        rule
        for item in everything
        if item["kind"] in ("Role", "ClusterRole") and item["metadata"]["name"] == "locktender-guard"
        for rule in item["rules"]
        if rule["resources"] != ["events"]
    ]
    installed = {
        item["metadata"]["name"] for item in everything if item["apiVersion"].startswith("admissionregistration")
    }
    assert sorted(rule["resourceNames"] for rule in rules) == sorted(
        [sorted(installed, reverse=True), ["locktender-gate"]]
    )


def test_nobody_gets_a_verb_on_what_the_operator_must_not_see() -> None:
    of_the_webhook = ("locktender-gate-ca", "locktender-gate-webhook")
    roles = [item for item in objects(*BY_WEBHOOK) if item["kind"] in ("Role", "ClusterRole")]
    assert roles
    for role in roles:
        if role["metadata"]["name"] in of_the_webhook:
            continue
        for rule in role["rules"]:
            by_name = set(rule["resources"]) & NAMED if rule.get("resourceNames") and role["kind"] == "Role" else set()
            named = f"{role['metadata']['name']}: {rule}"
            assert not (set(rule["resources"]) - by_name) & FORBIDDEN, named
            assert "*" not in (*rule["apiGroups"], *rule["verbs"]), named


def test_with_namespaces_the_operator_has_no_cluster_wide_verb_but_on_the_gates_own_objects() -> None:
    items = objects("--set=watch.namespaces={shop,billing}")
    cluster_wide = [item for item in items if item["kind"] == "ClusterRoleBinding"]
    granted = {item["roleRef"]["name"]: item["subjects"][0]["name"] for item in cluster_wide}
    assert granted == {"locktender-guard": "locktender", "locktender-release-all": "locktender-release-all"}
    roles = {item["metadata"].get("namespace") for item in items if item["kind"] == "Role"}
    assert roles == {"shop", "billing", render.NAMESPACE}


def test_the_lease_is_granted_in_the_operators_own_namespace_only() -> None:
    holders = [
        item
        for item in objects()
        if item["kind"] in ("Role", "ClusterRole")
        and any(group == "coordination.k8s.io" for group, _, _ in grants(item))
    ]
    assert [(item["kind"], item["metadata"]["namespace"]) for item in holders] == [("Role", render.NAMESPACE)]


def test_people_get_release_and_bypass_only_by_being_bound_to_them() -> None:
    roles = {item["metadata"]["name"]: item for item in objects() if item["kind"] == "ClusterRole"}
    assert grants(roles["locktender-release"]) == {("locktender.dev", "databasemigrations", "release")}
    assert grants(roles["locktender-bypass"]) == {("locktender.dev", "databasemigrations", "bypass")}
    for name in ("locktender-release", "locktender-bypass"):
        assert not any("aggregate" in label for label in roles[name]["metadata"]["labels"])
    for name in ("locktender-view", "locktender-edit"):
        assert not {"release", "bypass"} & {verb for _, _, verb in grants(roles[name])}


def test_viewers_read_and_editors_write() -> None:
    roles = {item["metadata"]["name"]: item for item in objects() if item["kind"] == "ClusterRole"}
    assert {verb for _, _, verb in grants(roles["locktender-view"])} == {"get", "list", "watch"}
    assert not any(resource.endswith("/status") for _, resource, _ in grants(roles["locktender-edit"]))
    assert roles["locktender-view"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert roles["locktender-edit"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"


def test_the_uninstall_deletes_its_own_policies_only() -> None:
    role = next(
        item
        for item in objects()
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "locktender-release-all"
    )
    (deleting,) = [rule for rule in role["rules"] if "delete" in rule["verbs"]]
    kinds = ("Admission", "WebhookConfiguration")
    items = objects("--set=gate.carrier=both")
    policies = {item["metadata"]["name"] for item in items if any(kind in item["kind"] for kind in kinds)}
    assert set(deleting["resourceNames"]) == policies
