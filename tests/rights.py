"""Who may do what, by the chart: rules and bindings as it renders them."""

from typing import Any

import yaml

from tools.render import render

Grant = tuple[str, str, str]  # API group, resource, verb


def objects(*arguments: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(render.helm_template(*arguments)) if item]


def grants(role: dict[str, Any]) -> set[Grant]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def by_account(items: list[dict[str, Any]]) -> dict[str, set[Grant]]:
    """What each ServiceAccount is granted, in any namespace."""
    roles = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in items}
    found: dict[str, set[Grant]] = {}
    for item in items:
        if item["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        role = roles[item["roleRef"]["kind"], item["metadata"].get("namespace"), item["roleRef"]["name"]]
        for subject in item["subjects"]:
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", render.NAMESPACE)
            found.setdefault(subject["name"], set()).update(grants(role))
    return found
