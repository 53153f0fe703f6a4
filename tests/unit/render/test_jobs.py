"""Every field that Pod Security "restricted" asks for, on every container of every Job, and what must never be there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from locktender.api.spec import parse
from locktender.core.actions import EnsureJob
from locktender.render.jobs import job
from locktender.settings import Settings
from tests.builders import a_spec

SETTINGS = Settings(runner_image="registry.example/locktender/runner@sha256:" + "a" * 64)
FRAMEWORKS = {
    "Sql": {"framework": "Sql"},
    "Sql from a ConfigMap": {"framework": "Sql", "configMapRef": {"name": "migrations"}},
    "Command": {"framework": "Command", "command": ["./migrate"]},
    "Django": {"framework": "Django"},
    "Alembic": {"framework": "Alembic"},
    "GolangMigrate": {"framework": "GolangMigrate"},
}
LIMITS = (
    "LOCKTENDER_LOCK_BUDGET",
    "LOCKTENDER_LOCK_MAX_WAIT",
    "LOCKTENDER_STATEMENT_TIMEOUT",
    "LOCKTENDER_MIGRATION_TIMEOUT",
    "LOCKTENDER_POD_IPS",
)


def rendered(
    migration: dict[str, Any], step: str = "Migrate", *, image_volumes: bool = True, **spec: Any
) -> dict[str, Any]:
    parsed = parse(a_spec(**{"migration": migration, **spec}))
    action = EnsureJob("shop-db-migrate-1", step, "abcd-1", 1, "shop:v2", "1.2", parsed)
    return job(action, "shop", "shop-db", "uid-1", SETTINGS, image_volumes=image_volumes)


def containers(made: dict[str, Any]) -> list[dict[str, Any]]:
    pod = made["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.fixture(params=[*FRAMEWORKS, "Backup", "Sql by copy"])
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "Backup":
        return rendered({"framework": "Sql"}, "Backup")
    if request.param == "Sql by copy":
        return rendered({"framework": "Sql"}, image_volumes=False)
    return rendered(FRAMEWORKS[request.param])


def test_every_container_is_restricted(made: dict[str, Any]) -> None:
    pod = made["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert forbidden not in pod
    assert all("hostPath" not in volume for volume in pod.get("volumes", []))
    for container in containers(made):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "privileged" not in context


def test_runner_containers_have_a_read_only_root_and_a_numeric_user(made: dict[str, Any]) -> None:
    for container in containers(made):
        if container["image"] == SETTINGS.runner_image:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["runAsUser"] == 65532


def test_no_pod_gets_an_api_token(made: dict[str, Any]) -> None:
    assert made["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_url_comes_only_by_reference(made: dict[str, Any]) -> None:
    references = [
        item["valueFrom"]["secretKeyRef"]
        for container in containers(made)
        for item in container.get("env", [])
        if "secretKeyRef" in item.get("valueFrom", {})
    ]
    assert references
    assert all(reference == {"name": "shop-db", "key": "url"} for reference in references)
    for container in containers(made):
        words = json.dumps([container.get("command"), container.get("args")])
        assert "$(DATABASE_URL)" not in words
        assert "$(LOCKTENDER_DATABASE_URL)" not in words


def test_a_job_is_tried_once_and_never_replaced_or_expired_by_itself(made: dict[str, Any]) -> None:
    spec = made["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "FailJob"
    assert "ttlSecondsAfterFinished" not in spec
    assert "ownerReferences" not in made["metadata"], "deleting the resource must not kill a running migration"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_migration_starts_only_behind_the_fence(name: str) -> None:
    pod = rendered(FRAMEWORKS[name])["spec"]["template"]["spec"]
    agent = pod["initContainers"][-1]
    assert agent["name"] == "agent"
    assert agent["restartPolicy"] == "Always"
    assert agent["lifecycle"]["postStart"]["exec"]["command"][-1] == "agent-wait"
    assert [container["name"] for container in pod["containers"]] == ["migrate"]


def test_sql_files_come_from_an_image_volume_or_a_copy() -> None:
    mounted = rendered({"framework": "Sql", "path": "/app/db"})["spec"]["template"]["spec"]
    assert {"name": "files", "image": {"reference": "shop:v2", "pullPolicy": "IfNotPresent"}} in mounted["volumes"]
    copied = rendered({"framework": "Sql", "path": "/app/db"}, image_volumes=False)["spec"]["template"]["spec"]
    assert copied["initContainers"][0]["command"] == ["cp", "-R", "/app/db/.", "/migrations/"]


def test_a_framework_gets_the_time_outs_of_the_spec() -> None:
    made = rendered({"framework": "Django"}, locks={"timeout": "500ms", "statementTimeout": "10s", "maxWait": "20s"})
    told = {item["name"]: item.get("value") for item in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert told["PGOPTIONS"] == "-c lock_timeout=500ms -c statement_timeout=10000ms"
    assert told["PGAPPNAME"] == "locktender/abcd-1"
    assert told["MAX_LOCK_WAIT"] == "20"
    assert told["DB_STATEMENT_TIMEOUT"] == "10000"
    assert told["MIGRATION_TIMEOUT"] == "1800"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_agent_gets_every_limit_and_the_addresses_of_its_pod(name: str) -> None:
    locks = {"budget": "1500ms", "statementTimeout": "10s", "maxWait": "20s"}
    made = rendered(FRAMEWORKS[name] | {"timeout": "10m"}, locks=locks)
    agent = next(container for container in containers(made) if container["name"] == "agent")
    told = {item["name"]: item.get("value", item.get("valueFrom")) for item in agent["env"]}
    assert {name: value for name, value in told.items() if name in LIMITS} == {
        "LOCKTENDER_LOCK_BUDGET": "1500ms",
        "LOCKTENDER_LOCK_MAX_WAIT": "20000ms",
        "LOCKTENDER_STATEMENT_TIMEOUT": "10000ms",
        "LOCKTENDER_MIGRATION_TIMEOUT": "600000ms",
        "LOCKTENDER_POD_IPS": {"fieldRef": {"fieldPath": "status.podIPs"}},
    }


def test_the_variable_of_the_url_is_there_once_whatever_it_is_called() -> None:
    made = rendered({"framework": "Django"}, database={"urlEnv": "PGAPPNAME"})
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item for item in env if item["name"] == "PGAPPNAME"] == [
        {"name": "PGAPPNAME", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}}
    ]


def test_a_persons_env_wins_and_our_labels_stay_ours() -> None:
    pod = {"env": [{"name": "PGAPPNAME", "value": "mine"}], "labels": {"team": "shop", "locktender.dev/run": "forged"}}
    made = rendered({"framework": "Django", "pod": pod})
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["value"] for item in env if item["name"] == "PGAPPNAME"] == ["mine"]
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "shop"
    assert labels["locktender.dev/run"] == "abcd-1"


def test_a_release_name_cannot_reach_another_variable() -> None:
    action = EnsureJob("j", "Migrate", "r-1", 1, "shop:v2", "$(DATABASE_URL)", parse(a_spec()))
    made = job(action, "shop", "shop-db", "u", SETTINGS, image_volumes=True)
    values = [item.get("value", "") for container in containers(made) for item in container.get("env", [])]
    assert "$$(DATABASE_URL)" in values


def test_golang_migrate_never_shows_a_password_in_its_arguments() -> None:
    container = rendered({"framework": "GolangMigrate"})["spec"]["template"]["spec"]["containers"][0]
    assert "DATABASE_URL" not in json.dumps(container["command"])
    told = {item["name"]: item.get("value") for item in container["env"]}
    assert told["PGPASSFILE"] == "/run/locktender/pgpass"
    assert container["securityContext"]["runAsUser"] == 65532


@pytest.mark.parametrize("name", ["Command", "Django", "Alembic"])
def test_a_pod_that_shares_no_files_has_no_volume_and_starts_sooner(name: str) -> None:
    made = rendered(FRAMEWORKS[name])
    assert "volumes" not in made["spec"]["template"]["spec"]
    assert [container.get("volumeMounts", []) for container in containers(made)] == [[], []]
    agent = containers(made)[0]
    told = {item["name"]: item.get("value") for item in agent["env"]}
    assert told["LOCKTENDER_RUN_DIR"] == "/dev/shm/locktender"
    assert "LOCKTENDER_LEAVE_ACCESS" not in told


def test_only_golang_migrate_gets_the_password_file() -> None:
    made = rendered(FRAMEWORKS["GolangMigrate"])
    agent, main = containers(made)
    assert {"name": "LOCKTENDER_LEAVE_ACCESS", "value": "1"} in agent["env"]
    assert [volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]] == ["run"]
    assert main["volumeMounts"] == [{"name": "run", "mountPath": "/run/locktender", "readOnly": True}]


def test_every_mount_has_its_volume(made: dict[str, Any]) -> None:
    there = {volume["name"] for volume in made["spec"]["template"]["spec"].get("volumes", [])}
    mounted = {mount["name"] for container in containers(made) for mount in container.get("volumeMounts", [])}
    assert mounted == there
