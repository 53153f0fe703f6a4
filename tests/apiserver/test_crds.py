"""The resource definitions on a real API server: every rule refuses its bad example with its own sentence, and accepts a good one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.conftest import Kubectl
from tools.render import render

pytestmark = pytest.mark.apiserver

Body = dict[str, Any]
STORAGE = {"pvc": {"claimName": "backups"}}
NONE = object()  # takes a field away


@pytest.fixture(scope="module", autouse=True)
def _installed(definitions: None) -> None:
    """Every test here needs the definitions."""


def migration(changes: Body | None = None, name: str = "shop") -> Body:
    """The smallest DatabaseMigration, with changes as `{"migration.image": "shop:1"}`."""
    spec: Body = {
        "database": {"urlSecretRef": {"name": "shop-db"}},
        "migration": {"framework": "Django"},
        "backup": {"storage": STORAGE},
    }
    return _changed(
        {
            "apiVersion": "locktender.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": name},
            "spec": spec,
        },
        changes,
    )


def backup(changes: Body | None = None, name: str = "shop-backup") -> Body:
    """The smallest DatabaseBackup."""
    spec: Body = {
        "migration": {"name": "shop", "uid": "5ae23efc-9209-4a5a-9b95-ea972ff5d27e"},
        "run": "3f9a1c2b-1",
        "database": {"urlSecretRef": {"name": "shop-db"}},
        "storage": STORAGE,
    }
    return _changed(
        {"apiVersion": "locktender.dev/v1alpha1", "kind": "DatabaseBackup", "metadata": {"name": name}, "spec": spec},
        changes,
    )


def report(changes: Body | None = None, name: str = "shop-migrate") -> Body:
    """The smallest MigrationReport, with changes to its spec."""
    spec: Body = {"migration": {"name": "shop", "uid": "5ae23efc"}, "run": "3f9a1c2b-1", "attempt": 1}
    told: Body = {"seconds": 4.4, "worstWait": "2.0 s", "cause": "LockBudgetExceeded", "summary": {"worstWait": 2.0}}
    head = {"apiVersion": "locktender.dev/v1alpha1", "kind": "MigrationReport", "metadata": {"name": name}}
    return _changed({**head, "spec": spec, "report": told}, changes)


def _changed(body: Body, changes: Body | None) -> Body:
    body = copy.deepcopy(body)
    for dotted, value in (changes or {}).items():
        *folders, last = dotted.split(".")
        place = body["spec"]
        for folder in folders:
            place = place.setdefault(folder, {})
        if value is NONE:
            del place[last]
        else:
            place[last] = value
    return body


SQL = {"migration.framework": "Sql"}
BAD: dict[str, tuple[Body, str]] = {
    "a name that is no label value": ({"": None}, "the name is longer than 63 characters"),
    "no Secret": ({"database": {}}, "spec.database.urlSecretRef: Required value"),
    "a Secret's name in capitals": ({"database.urlSecretRef.name": "Shop"}, "this is not the name of a Secret"),
    "a Secret's key with a slash": ({"database.urlSecretRef.key": "a/b"}, "this is not a key of a Secret"),
    "a variable's name with a dash": (
        {"database.urlEnv": "DATABASE-URL"},
        "this is not the name of an environment variable",
    ),
    "a URL in one of our variables": (
        {"database.urlEnv": "LOCKTENDER_URL"},
        "names that start with LOCKTENDER_ belong to Locktender",
    ),
    "the URL's variable in pod.env": (
        {"migration.pod.env": [{"name": "DATABASE_URL", "value": "x"}]},
        "migration.pod.env sets the variable that database.urlEnv names",
    ),
    "no framework": ({"migration": {}}, "spec.migration.framework: Required value"),
    "an unknown framework": (
        {"migration.framework": "Rails"},
        'Unsupported value: "Rails": supported values: "Sql", "Command", "GolangMigrate", "Django", "Alembic"',
    ),
    "Command without a command": ({"migration.framework": "Command"}, "framework Command needs migration.command"),
    "an empty command": ({"migration.framework": "Command", "migration.command": []}, "should have at least 1 items"),
    "Sql with a command": ({**SQL, "migration.command": ["psql"]}, "framework Sql takes no migration.command"),
    "pod.runAsUser of root": (
        {"migration.pod": {"runAsUser": 0}},
        "spec.migration.pod.runAsUser: Invalid value: 0",
    ),
    "a ConfigMap for Django": (
        {"migration.configMapRef": {"name": "files"}},
        "migration.configMapRef is only for framework Sql",
    ),
    "a ConfigMap and an image": (
        {**SQL, "migration.configMapRef": {"name": "files"}, "migration.image": "shop:1"},
        "set migration.configMapRef or migration.image, not both",
    ),
    "a ConfigMap and a Deployment": (
        {**SQL, "migration.configMapRef": {"name": "files"}, "migration.from": {"deployment": "web"}},
        "set migration.configMapRef or migration.from, not both",
    ),
    "a ConfigMap and a path": (
        {**SQL, "migration.configMapRef": {"name": "files"}, "migration.path": "db"},
        "migration.path does not go with migration.configMapRef",
    ),
    "a ConfigMap's name in capitals": (
        {**SQL, "migration.configMapRef": {"name": "Files"}},
        "this is not the name of a ConfigMap",
    ),
    "an image and a Deployment": (
        {"migration.image": "shop:1", "migration.from": {"deployment": "web"}},
        "set migration.image or migration.from, not both",
    ),
    "an image with a space": ({"migration.image": "shop :1"}, "an image name has no spaces"),
    "from without a Deployment": (
        {"migration.from": {"container": "web"}},
        "spec.migration.from.deployment: Required value",
    ),
    "a Deployment's name in capitals": (
        {"migration.from": {"deployment": "Web"}},
        "this is not the name of a Deployment",
    ),
    "a container's name with a dot": (
        {"migration.from": {"deployment": "web", "container": "a.b"}},
        "this is not the name of a container",
    ),
    "a path for Django": ({"migration.path": "db"}, "migration.path is only for frameworks Sql and GolangMigrate"),
    "a path that leaves its folder": ({**SQL, "migration.path": "db/../../etc"}, "the path leaves its folder"),
    "a timeout in words": (
        {"migration.timeout": "ten minutes"},
        "this is not a duration: write it like 90s, 30m or 1h30m",
    ),
    "a timeout without a unit": ({"migration.timeout": "90"}, "this is not a duration"),
    "a timeout of nothing": ({"migration.timeout": "0s"}, "the timeout is shorter than a second"),
    "a negative timeout": ({"migration.timeout": "-5m"}, "this is not a duration"),
    "one of our variables in pod.env": (
        {"migration.pod.env": [{"name": "LOCKTENDER_RUN", "value": "x"}]},
        "names that start with LOCKTENDER_ belong to Locktender",
    ),
    "the same variable twice": ({"migration.pod.env": [{"name": "A"}, {"name": "A"}]}, "Duplicate value"),
    "envFrom with nothing": (
        {"migration.pod.envFrom": [{"prefix": "A_"}]},
        "set either configMapRef or secretRef in each entry of envFrom",
    ),
    "envFrom with both": (
        {"migration.pod.envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]},
        "set either configMapRef or secretRef",
    ),
    "a ServiceAccount's name in capitals": (
        {"migration.pod.serviceAccountName": "Shop"},
        "this is not the name of a ServiceAccount",
    ),
    "one of our labels on the pod": (
        {"migration.pod.labels": {"locktender.dev/run": "x"}},
        "are set by Locktender, remove them from pod.labels",
    ),
    "the managed-by label on the pod": (
        {"migration.pod.labels": {"app.kubernetes.io/managed-by": "x"}},
        "are set by Locktender",
    ),
    "one of our annotations on the pod": (
        {"migration.pod.annotations": {"locktender.dev/key": "x"}},
        "are set by Locktender, remove them from pod.annotations",
    ),
    "an annotation that loosens AppArmor": (
        {"migration.pod.annotations": {"container.apparmor.security.beta.kubernetes.io/migrate": "unconfined"}},
        "the restricted security context cannot be changed: remove the AppArmor annotation",
    ),
    "two sources of one variable": (
        {
            "migration.pod.env": [
                {
                    "name": "A",
                    "valueFrom": {
                        "secretKeyRef": {"name": "s", "key": "k"},
                        "fieldRef": {"fieldPath": "metadata.name"},
                    },
                }
            ]
        },
        "set exactly one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef in valueFrom",
    ),
    "an unknown field of the pod": (
        {"migration.pod.hostNetwork": True},
        'unknown field "spec.migration.pod.hostNetwork"',
    ),
    "an unknown toleration": ({"migration.pod.tolerations": [{"effect": "Never"}]}, 'Unsupported value: "Never"'),
    "an unknown strategy": (
        {"strategy": "BlueGreen"},
        'Unsupported value: "BlueGreen": supported values: "MigrateThenDeploy", "DeployThenMigrate"',
    ),
    "a release that is a number": ({"release": 1.4}, "spec.release in body must be of type string"),
    "an empty release": ({"release": ""}, "spec.release in body should be at least 1 chars long"),
    "no word about the backup": (
        {"backup": NONE},
        "backup policy Required needs backup.storage: name a PersistentVolumeClaim",
    ),
    "Required without storage": ({"backup": {"policy": "Required"}}, "backup policy Required needs backup.storage"),
    "storage without a claim": ({"backup.storage": {}}, "spec.backup.storage.pvc: Required value"),
    "a claim's name in capitals": (
        {"backup.storage": {"pvc": {"claimName": "Backups"}}},
        "this is not the name of a PersistentVolumeClaim",
    ),
    "a subPath from the root": (
        {"backup.storage": {"pvc": {"claimName": "b", "subPath": "/shop"}}},
        "the subPath leaves the volume",
    ),
    "a subPath that climbs": (
        {"backup.storage": {"pvc": {"claimName": "b", "subPath": "../shop"}}},
        "the subPath leaves the volume",
    ),
    "Skip without a reason": ({"backup": {"policy": "Skip"}}, "backup policy Skip needs backup.reason"),
    "Skip with a blank reason": (
        {"backup": {"policy": "Skip", "reason": "  "}},
        "backup policy Skip needs backup.reason",
    ),
    "an unknown policy": (
        {"backup.policy": "Maybe"},
        'Unsupported value: "Maybe": supported values: "Required", "Skip"',
    ),
    "an unknown verification": ({"backup.verify": "Hoped"}, 'Unsupported value: "Hoped"'),
    "a lock timeout of nothing": ({"locks.timeout": "0ms"}, "PostgreSQL would take it as no limit at all"),
    "a lock timeout in words": ({"locks.timeout": "short"}, "this is not a duration: write it like 100ms, 2s or 1m30s"),
    "a maxWait of nothing": ({"locks.maxWait": "0s"}, "PostgreSQL would take it as no limit at all"),
    "a statementTimeout of nothing": ({"locks.statementTimeout": "0s"}, "PostgreSQL would take it as no limit at all"),
    "a budget of nothing": ({"locks.budget": "0s"}, "PostgreSQL would take it as no limit at all"),
    "a budget in words": ({"locks.budget": "small"}, "this is not a duration: write it like 100ms, 2s or 1m30s"),
    "retries without end": ({"locks.retries": 21}, "spec.locks.retries in body should be less than or equal to 20"),
    "retries below none": ({"locks.retries": -1}, "spec.locks.retries in body should be greater than or equal to 0"),
    "an unknown onDelete": (
        {"gate.onDelete": "Drop"},
        'Unsupported value: "Drop": supported values: "Hold", "Release"',
    ),
    "an unknown revert": ({"gate.revert": "Drop"}, 'Unsupported value: "Drop": supported values: "Hold", "Release"'),
    "a suspend in quotes": ({"suspend": "true"}, "spec.suspend in body must be of type boolean"),
    "a misspelt field": ({"migrations": {}}, 'unknown field "spec.migrations"'),
    "too many arguments": ({"migration.command": ["x"] * 65}, "must have at most 64 items"),
    "a reason as long as a book": ({"backup.reason": "x" * 1025}, "may not be more than 1024"),
}
GOOD: dict[str, Body] = {
    "the smallest": {},
    "Sql from the Deployment's image": {**SQL, "migration.path": "db/migrations"},
    "Sql from a ConfigMap": {**SQL, "migration.configMapRef": {"name": "shop.files"}},
    "Sql from another container": {**SQL, "migration.from": {"deployment": "web", "container": "app"}},
    "Command with an image": {
        "migration.framework": "Command",
        "migration.command": ["bin/migrate", "up"],
        "migration.image": "registry.example:5000/shop:1@sha256:" + "a" * 64,
    },
    "a preset with its own command": {
        "migration.framework": "Alembic",
        "migration.command": ["alembic", "upgrade", "heads"],
    },
    "GolangMigrate with an absolute path": {"migration.framework": "GolangMigrate", "migration.path": "/migrations"},
    "every duration": {
        "migration.timeout": "1h30m",
        "locks": {"budget": "500ms", "timeout": "100ms", "maxWait": "2m", "statementTimeout": "1.5s"},
    },
    "a Command that may be tried again": {
        "migration": {"framework": "Command", "command": ["bin/migrate"]},
        "locks": {"retries": 3},
    },
    "no backup, with a reason": {"backup": {"policy": "Skip", "reason": "the database is rebuilt from events"}},
    "a backup in a folder": {"backup.storage": {"pvc": {"claimName": "b", "subPath": "teams/shop"}}},
    "DeployThenMigrate, suspended": {
        "strategy": "DeployThenMigrate",
        "suspend": True,
        "release": "1.4.2",
        "gate": {"onDelete": "Release", "revert": "Hold"},
    },
    "everything a pod may have": {
        "migration.pod": {
            "resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"memory": "1Gi", "example.com/gpu": 1}},
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
            ],
            "envFrom": [
                {"prefix": "P_", "configMapRef": {"name": "c"}},
                {"secretRef": {"name": "s", "optional": True}},
            ],
            "serviceAccountName": "shop-migrate",
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [
                {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
                {"operator": "Exists", "tolerationSeconds": 60},
            ],
            "imagePullSecrets": [{"name": "registry"}],
            "labels": {"sidecar.istio.io/inject": "false"},
            "annotations": {"example.com/note": "x"},
        }
    },
}
BAD_BACKUPS: dict[str, tuple[Body, str]] = {
    "no migration": ({"migration": NONE}, "spec.migration: Required value"),
    "no uid": ({"migration": {"name": "shop"}}, "spec.migration.uid: Required value"),
    "no run": ({"run": NONE}, "spec.run: Required value"),
    "no storage": ({"storage": NONE}, "spec.storage: Required value"),
    "a subPath that climbs": (
        {"storage": {"pvc": {"claimName": "b", "subPath": "a/../../b"}}},
        "the subPath leaves the volume",
    ),
}
NOW = "2026-01-02T03:04:05Z"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Succeeded",
    "message": "shop:1 is migrated.",
    "lastTransitionTime": NOW,
}


def _create(kubectl: Kubectl, body: Body) -> str:
    return kubectl("create", "--dry-run=server", "--validate=strict", body=body)


@pytest.mark.parametrize("case", GOOD)
def test_accepts(kubectl: Kubectl, case: str) -> None:
    _create(kubectl, migration(GOOD[case]))


@pytest.mark.parametrize("case", BAD)
def test_refuses(kubectl: Kubectl, case: str) -> None:
    changes, sentence = BAD[case]
    body = migration(name="x" * 64) if "" in changes else migration(changes)
    refusal = kubectl.refused("create", "--dry-run=server", "--validate=strict", body=body)
    assert sentence in refusal
    assert "no such key" not in refusal, "a rule that cannot be evaluated is a rule with a hole"


@pytest.mark.parametrize("case", BAD_BACKUPS)
def test_refuses_a_backup_with(kubectl: Kubectl, case: str) -> None:
    changes, sentence = BAD_BACKUPS[case]
    assert sentence in kubectl.refused("create", "--dry-run=server", "--validate=strict", body=backup(changes))


def test_every_rule_has_a_bad_example() -> None:
    sentences = [sentence for _, sentence in (*BAD.values(), *BAD_BACKUPS.values())]
    sentences += [CHANGED, REPORT_CHANGED, TOLD_CHANGED]
    untested = [
        message for file in _files() for message in _messages(file) if not any(part in message for part in sentences)
    ]
    assert untested == []


def test_everything_of_unknown_size_has_a_bound() -> None:
    unbounded = [place for file in _files() for place in _unbounded(_schema(file), file.stem)]
    assert unbounded == []


def test_nothing_can_be_nested_without_end(kubectl: Kubectl) -> None:
    """A list of all DatabaseMigrations is parsed whole: one of any depth would stop the operator for everybody."""
    open_ended = [
        file.stem
        for file in _files()
        for schema in _walk(_schema(file))
        if schema.get("x-kubernetes-preserve-unknown-fields")
    ]
    assert open_ended == []
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    body = json.dumps(migration({"migration.pod.env": [{"name": "A", "valueFrom": {"secretKeyRef": "HERE"}}]}, "deep"))
    reference = '{"name": "s", "key": "k", "more": ' + deep + "}"
    kubectl("create", "--validate=false", body=body.replace('"HERE"', reference))
    stored = kubectl.json("get", "databasemigration", "deep")
    assert stored["spec"]["migration"]["pod"]["env"] == [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    ]


def test_defaults(kubectl: Kubectl) -> None:
    created = kubectl.json("create", "--dry-run=server", body=migration(SQL))
    assert created["spec"] == {
        "database": {"urlSecretRef": {"name": "shop-db", "key": "url"}, "urlEnv": "DATABASE_URL"},
        "migration": {"framework": "Sql", "timeout": "30m"},
        "strategy": "MigrateThenDeploy",
        "backup": {"policy": "Required", "storage": STORAGE, "verify": "Decoded"},
        "locks": {"budget": "2s", "maxWait": "60s", "statementTimeout": "30s"},
        "gate": {"onDelete": "Hold", "revert": "Release"},
        "suspend": False,
    }


@pytest.mark.parametrize("body", [migration(), backup()], ids=lambda body: str(body["kind"]))
def test_a_fresh_object_does_not_look_observed(kubectl: Kubectl, body: Body) -> None:
    assert kubectl.json("create", "--dry-run=server", body=body)["status"] == {"observedGeneration": -1}


def test_the_framework_may_change_later(kubectl: Kubectl) -> None:
    kubectl("apply", body=migration(name="grows"))
    kubectl("apply", body=migration(SQL, name="grows"))


REPORT_CHANGED = "a MigrationReport records what happened: its spec does not change"
TOLD_CHANGED = "a MigrationReport records what happened: it does not change"
CHANGED = "a DatabaseBackup records what happened: its spec does not change"


def test_the_spec_of_a_backup_does_not_change(kubectl: Kubectl) -> None:
    kubectl("apply", body=backup(name="fixed"))
    kubectl("apply", body=backup(name="fixed"))
    assert CHANGED in kubectl.refused("apply", body=backup({"run": "other"}, name="fixed"))


def test_a_report_does_not_change(kubectl: Kubectl) -> None:
    kubectl("apply", body=report(name="fixed"))
    assert REPORT_CHANGED in kubectl.refused("apply", body=report({"run": "other"}, name="fixed"))
    told = report(name="fixed")
    told["report"]["cause"] = ""
    assert TOLD_CHANGED in kubectl.refused("apply", body=told)


def test_columns_of_a_report(kubectl: Kubectl) -> None:
    kubectl("apply", body=report(name="columns"))
    shown = kubectl("get", "dmr", "columns", "--no-headers").split()
    assert shown[:-1] == ["columns", "shop", "3f9a1c2b-1", "2.0", "s", "LockBudgetExceeded"]


def test_columns_of_a_migration(kubectl: Kubectl) -> None:
    kubectl("apply", body=migration(name="columns"))
    step = {
        "name": "Migrate",
        "state": "Running",
        "attempt": 1,
        "job": "shop-migrate",
        "jobUID": "u",
        "startTime": NOW,
        "confirmed": True,
    }
    run = {
        "id": "3f9a1c2b-1",
        "key": "3f9a1c2b",
        "attempt": 1,
        "startTime": NOW,
        "step": "Migrate",
        "steps": [step],
        "specHash": "a",
        "overridden": True,
    }
    deployment = {"name": "web", "state": "Held", "images": ["shop:1"], "heldSince": NOW}
    verdict = {"key": "3f9a1c2b", "outcome": "Baseline", "run": "", "image": "shop:1", "time": NOW}
    past = {"id": "3f9a1c2b-1", "key": "3f9a1c2b", "outcome": "Superseded", "startTime": NOW, "endTime": NOW}
    status = {
        "observedGeneration": 1,
        "conditions": [READY],
        "image": "shop:1",
        "run": run,
        "gate": {"deployments": [deployment]},
        "verdicts": [verdict],
        "history": [past],
    }
    kubectl(
        "patch",
        "dbm",
        "columns",
        "--subresource=status",
        "--type=merge",
        f"--patch={yaml.safe_dump({'status': status})}",
    )
    stored = kubectl.json("get", "dbm", "columns")["status"]
    assert stored == status, "no field of the status is pruned"
    assert _table(kubectl("get", "dbm", "columns")) == {
        "NAME": "columns",
        "READY": "True",
        "REASON": "Succeeded",
        "STEP": "Migrate",
        "RUN": "3f9a1c2b-1",
    }
    wide = kubectl("get", "dbm", "columns", "--output=wide")
    assert "MESSAGE" in wide
    assert "shop:1 is migrated." in wide
    assert "IMAGE" in wide


def test_columns_of_a_backup(kubectl: Kubectl) -> None:
    kubectl("apply", body=backup(name="columns"))
    status = {
        "observedGeneration": 1, "conditions": [READY], "file": "/backups/a/b.dump", "directory": "/backups/a", "manifest": "/backups/a/b.json",
        "sizeBytes": 4096, "rawBytes": 4096, "sha256": "a" * 64, "rawSha256": "b" * 64, "database": "shop", "serverVersion": "18.6",
        "clientVersion": "18.6", "verification": "Decoded", "tables": 3, "startTime": NOW, "completionTime": NOW,
    }  # fmt: skip
    kubectl(
        "patch",
        "dbb",
        "columns",
        "--subresource=status",
        "--type=merge",
        f"--patch={yaml.safe_dump({'status': status})}",
    )
    assert kubectl.json("get", "dbb", "columns")["status"] == status
    assert _table(kubectl("get", "dbb", "columns")) == {
        "NAME": "columns",
        "MIGRATION": "shop",
        "SIZE": "4096",
        "VERIFIED": "Decoded",
        "READY": "True",
    }


def test_a_status_names_each_condition_once(kubectl: Kubectl) -> None:
    kubectl("apply", body=migration(name="twice"))
    patch = yaml.safe_dump({"status": {"conditions": [READY, READY]}})
    assert "Duplicate value" in kubectl.refused(
        "patch", "dbm", "twice", "--subresource=status", "--type=merge", f"--patch={patch}"
    )


def test_the_category_lists_both_kinds(kubectl: Kubectl) -> None:
    kubectl("apply", body=migration(name="listed"))
    kubectl("apply", body=backup(name="listed"))
    names = kubectl("get", "locktender", "--output=name").split()
    assert {"databasemigration.locktender.dev/listed", "databasebackup.locktender.dev/listed"} <= set(names)


def test_every_field_of_a_spec_is_described() -> None:
    bare = [place for file in _files() for place in _undescribed(_schema(file)["properties"]["spec"], file.stem)]
    assert bare == []


def test_the_examples_are_accepted(kubectl: Kubectl) -> None:
    documents = list(_examples())
    assert documents, "examples/ holds no DatabaseMigration"
    for file, document in documents:
        document["metadata"].pop("namespace", None)
        done = kubectl.run("create", "--dry-run=server", "--validate=strict", body=document)
        assert done.returncode == 0, f"{file}: {done.stderr}"


def _examples() -> Iterator[tuple[Path, Body]]:
    for file in sorted((render.ROOT / "examples").rglob("*.yaml")):
        if "{{" in file.read_text():
            continue  # a chart's template; what it renders to is its own chart's business
        for document in yaml.safe_load_all(file.read_text()):
            if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith("locktender.dev/"):
                yield file, document


def _table(text: str) -> dict[str, str]:
    head, row = (line.split() for line in text.strip().splitlines())
    assert head[-1] == "AGE"
    return dict(zip(head[:-1], row[:-1], strict=True))


def _files() -> list[Path]:
    return sorted(render.CRDS.glob("*.yaml"))


def _schema(file: Path) -> Body:
    versions = yaml.safe_load(file.read_text())["spec"]["versions"]
    schema: Body = versions[0]["schema"]["openAPIV3Schema"]
    return schema


def _messages(file: Path) -> Iterator[str]:
    for schema in _walk(_schema(file)):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule.get("message"), f"{file.name}: a rule without a sentence: {rule['rule']}"
            yield rule["message"]


def _walk(schema: Body) -> Iterator[Body]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from _walk(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _walk(schema[key])


def _unbounded(schema: Body, place: str) -> Iterator[str]:
    kind = schema.get("type")
    fixed = "enum" in schema or schema.get("format") == "date-time" or place.endswith((".kind", ".apiVersion"))
    if kind == "string" and not fixed and "maxLength" not in schema:
        yield f"{place}: no maxLength"
    if kind == "array" and "maxItems" not in schema:
        yield f"{place}: no maxItems"
    if (
        "additionalProperties" in schema or "x-kubernetes-preserve-unknown-fields" in schema
    ) and "maxProperties" not in schema:
        yield f"{place}: no maxProperties"
    for name, child in schema.get("properties", {}).items():
        yield from _unbounded(child, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _unbounded(schema[key], f"{place}[]")


def _undescribed(schema: Body, place: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        if not child.get("description"):
            yield f"{place}.{name}"
        yield from _undescribed(child, f"{place}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _undescribed(schema["items"], f"{place}[]")
