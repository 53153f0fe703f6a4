"""Whatever stands in a spec, it stays a value: no variable of the kubelet, no word of ours, no volume, token or right comes out of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locktender.api.spec import SpecError, parse
from locktender.core.actions import EnsureBackup, EnsureJob
from locktender.core.key import job_name, of_spec, run_id
from locktender.render.jobs import backup_object, job
from locktender.settings import GROUP, Settings
from tests import crd_schema
from tests.builders import BACKUP_FACTS, a_spec

BUSY = (HealthCheck.too_slow,)  # a machine with other work is no mistake of a test
SETTINGS = Settings(runner_image="runner:test")
OURS = ("agent", "backup", "copy-migrations")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
POD_FIELDS = {
    "restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "securityContext", "containers", "volumes", "initContainers",
    "serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets", "activeDeadlineSeconds",
}  # fmt: skip
VOLUMES = {"tmp", "run", "files", "backups"}


def consistent(raw: dict[str, Any]) -> dict[str, Any]:
    """The same without what contradicts itself, which is refused and so proves nothing."""
    migration, backup = raw["migration"], raw.setdefault("backup", {})
    sql = migration["framework"] == "Sql"
    migration["command"] = migration.get("command") or (["true"] if migration["framework"] == "Command" else [])
    for field in ("command",) if sql else ("configMapRef",):
        migration.pop(field, None)
    pod = migration.get("pod") or {}
    if pod.get("env"):  # the API server takes each name once (list-map-keys)
        pod["env"] = list({item["name"]: item for item in pod["env"]}.values())
    if not (backup.get("storage") or {}).get("pvc", {}).get("claimName"):
        backup["policy"] = "Skip"
    return raw


SPECS = crd_schema.values(crd_schema.schema("databasemigrations", "spec")).map(consistent)


def expanded(value: str, variables: dict[str, str]) -> str:
    """What a kubelet makes of a value: `$(NAME)` is the variable, `$$` is `$`, read from left to right."""
    return re.sub(
        r"\$(?:\$|\((?P<name>[^)]*)\))",
        lambda found: "$" if found["name"] is None else variables.get(found["name"], found[0]),
        value,
    )


def made(raw: dict[str, Any], step: str, release: str, *, image_volumes: bool) -> dict[str, Any] | None:
    """The Job of a spec; None when the spec is refused with a sentence."""
    try:
        spec = parse(raw)
    except SpecError:
        return None
    known = of_spec(spec)
    run = run_id(known.key, 1, "2026-03-01T12:00:00Z")
    name = job_name("shop-db", "uid-1", run, "2026-03-01T12:00:00Z", step, 1)
    action = EnsureJob(name, step, run, 1, raw["migration"].get("image") or "shop:1", release, spec, settled=("a-1-b",))
    return job(action, "shop", "shop-db", "uid-1", SETTINGS, image_volumes=image_volumes)


def containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    pod = body["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(SPECS, st.sampled_from(["Backup", "Migrate"]), crd_schema.text(halves=False), st.booleans())
def test_a_job_of_any_spec_keeps_every_promise(raw: dict[str, Any], step: str, release: str, image_volumes: bool) -> None:  # fmt: skip
    body = made(raw, step, release, image_volumes=image_volumes)
    if body is None:
        return
    assert NAME.fullmatch(body["metadata"]["name"])
    meta, pod = body["spec"]["template"]["metadata"], body["spec"]["template"]["spec"]
    own = body["metadata"]["labels"]
    assert all(LABEL.fullmatch(value) for value in own.values())
    assert own.items() <= meta["labels"].items()
    theirs = (meta["labels"].keys() - own.keys()) | meta["annotations"].keys()
    assert not [name for name in theirs if name.split("/")[0].endswith(GROUP)]
    assert set(pod) <= POD_FIELDS
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {volume["name"] for volume in pod.get("volumes", ())} <= VOLUMES
    assert all(
        set(volume) <= {"name", "emptyDir", "configMap", "image", "persistentVolumeClaim"}
        for volume in pod.get("volumes", ())
    )
    for container in containers(body):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["runAsNonRoot"] is True
        assert security.get("runAsUser", 1) > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= VOLUMES
    assert json.loads(json.dumps(body)) == body
    assert yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(body)))) == json.loads(json.dumps(body))


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(SPECS, st.sampled_from(["Backup", "Migrate"]), crd_schema.text(halves=False), st.booleans())
def test_our_own_containers_read_every_value_as_it_was_written(raw: dict[str, Any], step: str, release: str, image_volumes: bool) -> None:  # fmt: skip
    """With every variable a canary: none of them shows in another one, or in a command."""
    body = made(raw, step, release, image_volumes=image_volumes)
    if body is None:
        return
    for container in containers(body):
        ours = container["image"] == SETTINGS.runner_image or container["name"] in OURS
        known = {item["name"]: "CANARY" for item in container.get("env", ())}
        told = {item["name"]: item["value"] for item in container.get("env", ()) if "value" in item}
        if ours:
            values = {name: expanded(value, known) for name, value in told.items()}
            assert values == {name: value.replace("$$", "$") for name, value in told.items()}
            assert values.get("LOCKTENDER_RELEASE", release) == release
            assert "CANARY" not in "".join(values.values())
            commands = [*container.get("command", ()), *container.get("args", ())]
            assert not [word for word in commands if "CANARY" in expanded(word, known)]
        names = [item["name"] for item in container.get("env", ())]
        assert len(names) == len(set(names)), "a later one of the same name would win"


@settings(max_examples=100, deadline=None, suppress_health_check=BUSY)
@given(SPECS)
def test_a_pod_section_reaches_the_migrations_container_only(raw: dict[str, Any]) -> None:
    raw["migration"]["pod"] = {
        "env": [{"name": "MINE", "value": "x"}],
        "envFrom": [{"secretRef": {"name": "other"}}],
        "runAsUser": 7,
    }
    for step in ("Backup", "Migrate"):
        body = made(raw, step, "", image_volumes=True)
        for container in containers(body) if body else ():
            if container["image"] == SETTINGS.runner_image:
                assert "envFrom" not in container
                assert "MINE" not in {item["name"] for item in container["env"]}
                assert container["securityContext"]["runAsUser"] != 7


@pytest.mark.parametrize(
    "text", ["$(DATABASE_URL)", "$$(DATABASE_URL)", "$$$(LOCKTENDER_DATABASE_URL)", "$", "$$", "a$(b"]
)
def test_a_release_is_told_letter_by_letter(text: str) -> None:
    body = made(a_spec(), "Migrate", text, image_volumes=True)
    assert body is not None
    for container in containers(body):
        told = {item["name"]: item.get("value", "") for item in container["env"]}
        assert (
            expanded(told["LOCKTENDER_RELEASE"], {"DATABASE_URL": "secret", "LOCKTENDER_DATABASE_URL": "secret"})
            == text
        )


def test_what_an_older_definition_let_in_sets_none_of_our_variables_and_no_other_confinement() -> None:
    pod = {
        "env": [{"name": "LOCKTENDER_RUN", "value": "x"}, {"name": "LOCKTENDER_MORE", "value": "x"}, {"name": "DATABASE_URL", "value": "elsewhere"}, {"name": "MINE", "value": "$(DATABASE_URL)"}],
        "annotations": {
            "container.apparmor.security.beta.kubernetes.io/migrate": "unconfined",
            "kubectl.kubernetes.io/default-container": "other",
            "team": "shop",
        },
    }  # fmt: skip
    body = made(a_spec(migration={"framework": "Django", "pod": pod}), "Migrate", "", image_volumes=True)
    assert body is not None
    env = {item["name"]: item for item in containers(body)[-1]["env"]}
    assert env["LOCKTENDER_RUN"]["value"] == body["metadata"]["labels"]["locktender.dev/run"]
    assert "LOCKTENDER_MORE" not in env
    assert "valueFrom" in env["DATABASE_URL"]
    assert env["MINE"]["value"] == "$(DATABASE_URL)", "in their own variables people may name the others"
    assert body["spec"]["template"]["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "team": "shop",
        "kubectl.kubernetes.io/default-container": "migrate",
    }


@settings(max_examples=100, deadline=None, suppress_health_check=BUSY)
@given(SPECS)
def test_a_backups_record_fits_its_definition(raw: dict[str, Any]) -> None:
    raw["backup"] = {"policy": "Required", "storage": {"pvc": {"claimName": "backups"}}}
    try:
        spec = parse(raw)
    except SpecError:
        return
    action = EnsureBackup("shop-db-backup-1", "run-1", tuple(sorted(BACKUP_FACTS.items())), spec)
    body, status = backup_object(action, "shop", "shop-db", "uid-1", spec)
    assert crd_schema.problems("databasebackups", "spec", body["spec"]) == []
    assert crd_schema.problems("databasebackups", "status", status) == []
