"""The pod templates: a backup is one container; a migration is the agent (a native sidecar that holds the fence) and one container.

init: [copy-migrations] -> agent (restartPolicy Always; its postStart hook returns when the fence is held)
main: migrate           -> starts only then; its exit code is the verdict
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locktender.api.spec import Framework, Spec
from locktender.core.actions import EnsureJob
from locktender.core.evidence import AGENT
from locktender.core.steps import backup, migrate
from locktender.render.presets import RUN_DIR, SHARED_MEMORY, migrations_path, preset
from locktender.settings import RUNNER_UID, Settings

BACKUP_DIR = "/backups"
APP_IMAGE_DIR = "/app-image"
FILES_DIR = "/migrations"
FENCE_WAIT = 60  # seconds the postStart hook waits for the fence; longer waits are the operator's, in a later attempt
AGENT_MEMORY, BACKUP_MEMORY = (
    ("48Mi", "128Mi"),
    ("128Mi", "512Mi"),
)  # request and limit: measured 35 and 52 MiB, with room

_SECURE: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_SECURE_RUNNER = {**_SECURE, "readOnlyRootFilesystem": True, "runAsUser": RUNNER_UID, "runAsGroup": RUNNER_UID}
# By its addresses the server tells the sessions of this pod from everybody else's, whatever they call themselves.
_POD_IPS: dict[str, Any] = {
    "name": "LOCKTENDER_POD_IPS",
    "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}},
}


@dataclass(frozen=True)
class Frame:
    """What every container of a step is told."""

    action: EnsureJob
    namespace: str
    migration: str
    owner_uid: str
    settings: Settings

    @property
    def spec(self) -> Spec:
        """The spec that the run was decided on."""
        return self.action.spec


def backup_pod(frame: Frame) -> dict[str, Any]:
    """The pod spec of a backup."""
    claim: dict[str, Any] = {"name": "backups", "mountPath": BACKUP_DIR}
    if frame.spec.backup.sub_path:
        claim["subPath"] = frame.spec.backup.sub_path
    container = _runner_container(frame, backup.CONTAINER, ("runner", "backup"), BACKUP_MEMORY)
    container["env"] += _values({"LOCKTENDER_BACKUP_DIR": BACKUP_DIR, "LOCKTENDER_BACKUP_ID": frame.action.name})
    container["volumeMounts"].append(claim)
    volumes = [
        _scratch("tmp"),
        {"name": "backups", "persistentVolumeClaim": {"claimName": frame.spec.backup.claim_name}},
    ]
    return _pod(frame, [], [container], volumes)


def migration_pod(frame: Frame, *, image_volumes: bool) -> dict[str, Any]:
    """The pod spec of a migration."""
    run = {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    if frame.spec.migration.framework is Framework.SQL:
        main, files, copy = _sql_container(frame, image_volumes=image_volumes)
        return _pod(frame, [*copy, _agent(frame, shares=True)], [main], [_scratch("tmp"), run, files])
    shares = preset(frame.spec.migration).same_user
    return _pod(frame, [_agent(frame, shares=shares)], [_application_container(frame)], [run] if shares else [])


def _agent(frame: Frame, *, shares: bool) -> dict[str, Any]:
    """The sidecar that takes and holds the fence. With `shares` its marks are in a volume, which other containers of the pod may mount."""
    container = _runner_container(frame, AGENT, ("runner", "agent"), AGENT_MEMORY)
    container["volumeMounts"] = [{"name": "run", "mountPath": RUN_DIR}] if shares else []
    where = RUN_DIR if shares else SHARED_MEMORY
    container["env"] += _values({"LOCKTENDER_RUN_DIR": where, "LOCKTENDER_FENCE_WAIT": str(FENCE_WAIT)})
    container["env"] += [*_lock_limits(frame.spec), _POD_IPS]
    if preset(frame.spec.migration).same_user:
        container["env"] += _values({"LOCKTENDER_LEAVE_ACCESS": "1"})
    if frame.action.settled:
        container["env"] += _values({"LOCKTENDER_SETTLED_RUNS": ",".join(frame.action.settled)})
    if frame.action.overridden:
        container["env"] += _values({"LOCKTENDER_FENCE_OVERRIDE": "1"})
    wait = ["python3", "-m", "locktender", "runner", "agent-wait"]
    return {**container, "restartPolicy": "Always", "lifecycle": {"postStart": {"exec": {"command": wait}}}}


def _lock_limits(spec: Spec) -> list[dict[str, Any]]:
    """What the agent holds the migration to."""
    limits = {
        "LOCKTENDER_LOCK_BUDGET": spec.locks.budget,
        "LOCKTENDER_LOCK_MAX_WAIT": spec.locks.max_wait,
        "LOCKTENDER_STATEMENT_TIMEOUT": spec.locks.statement_timeout,
        "LOCKTENDER_MIGRATION_TIMEOUT": spec.migration.timeout,
    }
    return _values({name: _milliseconds(seconds) for name, seconds in limits.items()})


def _sql_container(frame: Frame, *, image_volumes: bool) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Our own runner over the SQL files: its container, the volume with the files, and the copy container where one is needed."""
    spec = frame.spec
    container = _runner_container(frame, migrate.CONTAINER, ("runner", "sql", "up"), BACKUP_MEMORY)
    timeout = spec.locks.timeout if spec.locks.timeout is not None else preset(spec.migration).lock_timeout
    container["env"] += _values(
        {
            "LOCKTENDER_LOCK_TIMEOUT": _milliseconds(timeout),
            "LOCKTENDER_LOCK_MAX_WAIT": _milliseconds(spec.locks.max_wait),
            "LOCKTENDER_STATEMENT_TIMEOUT": _milliseconds(spec.locks.statement_timeout),
        }
    )
    container["resources"] = spec.migration.pod.get("resources") or container["resources"]
    path = migrations_path(spec.migration)
    if spec.migration.config_map:
        container["env"] += _values({"LOCKTENDER_MIGRATIONS_DIR": FILES_DIR})
        container["volumeMounts"].append({"name": "files", "mountPath": FILES_DIR, "readOnly": True})
        return container, {"name": "files", "configMap": {"name": spec.migration.config_map}}, []
    if image_volumes:
        container["env"] += _values({"LOCKTENDER_MIGRATIONS_DIR": f"{APP_IMAGE_DIR}/{path.lstrip('/')}"})
        container["volumeMounts"].append({"name": "files", "mountPath": APP_IMAGE_DIR, "readOnly": True})
        return (
            container,
            {"name": "files", "image": {"reference": frame.action.image, "pullPolicy": "IfNotPresent"}},
            [],
        )
    container["env"] += _values({"LOCKTENDER_MIGRATIONS_DIR": FILES_DIR})
    container["volumeMounts"].append({"name": "files", "mountPath": FILES_DIR, "readOnly": True})
    copy = {
        "name": "copy-migrations",
        "image": frame.action.image,
        "command": ["cp", "-R", _literal(f"/{path.strip('/')}/."), f"{FILES_DIR}/"],
        "securityContext": _SECURE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": container["resources"],
        "volumeMounts": [{"name": "files", "mountPath": FILES_DIR}],
    }
    return container, {"name": "files", "emptyDir": {}}, [copy]


def _application_container(frame: Frame) -> dict[str, Any]:
    """The application's own image, running its own framework."""
    spec, extra = frame.spec, frame.spec.migration.pod
    chosen = preset(spec.migration)
    timeout = spec.locks.timeout if spec.locks.timeout is not None else chosen.lock_timeout
    told = {
        "PGOPTIONS": f"-c lock_timeout={_milliseconds(timeout)} -c statement_timeout={_milliseconds(spec.locks.statement_timeout)}",
        "PGAPPNAME": f"locktender/{frame.action.run_id}",
        "MIGRATION_TIMEOUT": str(int(spec.migration.timeout)),
        "MAX_LOCK_WAIT": str(int(spec.locks.max_wait)),
        "DB_STATEMENT_TIMEOUT": str(int(spec.locks.statement_timeout * 1000)),
        "DB_POOL_SIZE": "2",
        "LOCKTENDER_RUN": frame.action.run_id,
        "LOCKTENDER_RELEASE": frame.action.release,
        "LOCKTENDER_MIGRATIONS_PATH": migrations_path(spec.migration),
    }
    security = dict(_SECURE)
    container: dict[str, Any] = {
        "name": migrate.CONTAINER,
        "image": frame.action.image,
        "command": list(chosen.command),
        "env": [_url(spec.url_env, spec)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security,
    }
    if chosen.same_user:
        security |= {"runAsUser": RUNNER_UID, "runAsGroup": RUNNER_UID}
        told["PGPASSFILE"] = f"{RUN_DIR}/pgpass"
        container["volumeMounts"] = [{"name": "run", "mountPath": RUN_DIR, "readOnly": True}]
    elif extra.get("runAsUser") is not None:
        security["runAsUser"] = extra["runAsUser"]
    own = [item for item in extra.get("env") or [] if item["name"] != spec.url_env and not _is_ours(item["name"])]
    theirs = {item["name"] for item in own} | {spec.url_env}
    container["env"] += [item for item in _values(told) if item["name"] not in theirs] + own
    for name in ("resources", "envFrom"):
        if extra.get(name):
            container[name] = extra[name]
    return container


def _runner_container(frame: Frame, name: str, arguments: tuple[str, ...], memory: tuple[str, str]) -> dict[str, Any]:
    """A container of the runner image."""
    action = frame.action
    told = {
        "LOCKTENDER_NAMESPACE": frame.namespace,
        "LOCKTENDER_MIGRATION": frame.migration,
        "LOCKTENDER_MIGRATION_UID": frame.owner_uid,
        "LOCKTENDER_RUN": action.run_id,
        "LOCKTENDER_STEP": action.step.lower(),
        "LOCKTENDER_ATTEMPT": str(action.attempt),
        "LOCKTENDER_RELEASE": action.release,
    }
    pod_uid = {"name": "LOCKTENDER_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return {
        "name": name,
        "image": frame.settings.runner_image,
        "imagePullPolicy": frame.settings.runner_pull_policy,
        "args": list(arguments),
        "env": [_url("LOCKTENDER_DATABASE_URL", frame.spec), pod_uid, *_values(told)],
        "resources": {"requests": {"cpu": "10m", "memory": memory[0]}, "limits": {"memory": memory[1]}},
        "securityContext": dict(_SECURE_RUNNER),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # an emptyDir of this pod alone
    }


def _pod(
    frame: Frame, init: list[dict[str, Any]], containers: list[dict[str, Any]], volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    extra: Mapping[str, Any] = frame.spec.migration.pod
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": RUNNER_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
    }
    if volumes:
        pod["volumes"] = volumes
    if init:
        pod["initContainers"] = init
    for name in ("serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets"):
        if extra.get(name):
            pod[name] = extra[name]
    return pod


def _url(variable: str, spec: Spec) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": spec.secret.name, "key": spec.secret.key}}}


def _values(pairs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Literal values, whatever they hold."""
    return [{"name": name, "value": _literal(value)} for name, value in pairs.items()]


def _literal(text: str) -> str:
    """The kubelet turns $(NAME) into a variable's value and $$ into $: with every dollar doubled, a text stays as it is."""
    return text.replace("$", "$$")


def _is_ours(variable: str) -> bool:
    """The CRD refuses these names; a spec that an older one let in sets none of them either."""
    return variable.startswith("LOCKTENDER_")


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _scratch(name: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"sizeLimit": "64Mi"}}
