"""The Jobs, as the API wants them: one pod, one try, Pod Security "restricted", no API token, the URL only by secretKeyRef."""

from typing import Any

from locktender.api.spec import Framework, Spec
from locktender.core.actions import EnsureJob
from locktender.core.key import spec_hash
from locktender.core.steps import backup, migrate
from locktender.render import pods
from locktender.render.names import labels
from locktender.settings import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_IMAGE,
    ANNOTATION_RELEASE,
    BACKUP_TIMEOUT,
    GROUP,
    POD_START_ALLOWANCE,
    Settings,
)

ANNOTATION_SPEC = f"{GROUP}/spec-hash"
# Ends of the domains that nobody else may set: AppArmor's annotation speaks for the container's securityContext.
NOT_THEIRS = (GROUP, "apparmor.security.beta.kubernetes.io", "seccomp.security.alpha.kubernetes.io")


def job(
    action: EnsureJob, namespace: str, migration: str, owner_uid: str, settings: Settings, *, image_volumes: bool
) -> dict[str, Any]:
    """The Job of one attempt of one step.

    It has no ownerReference: deleting the DatabaseMigration, in whatever propagation mode, must not kill a running migration.
    Its label with the owner's uid says whose it is; a time to live is set once its result is stored.
    """
    step_labels = labels(migration, owner_uid, action.run_id, action.step)
    frame = pods.Frame(action, namespace, migration, owner_uid, settings)
    if action.step == backup.NAME:
        pod, container, deadline = pods.backup_pod(frame), backup.CONTAINER, BACKUP_TIMEOUT
    else:
        pod, container = pods.migration_pod(frame, image_volumes=image_volumes), migrate.CONTAINER
        deadline = action.spec.migration.timeout + POD_START_ALLOWANCE
    extra = action.spec.migration.pod
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": action.name,
            "namespace": namespace,
            "labels": step_labels,
            "annotations": {
                ANNOTATION_SPEC: spec_hash(action.spec),
                ANNOTATION_ATTEMPT: str(action.attempt),
                ANNOTATION_IMAGE: action.image,
                ANNOTATION_RELEASE: action.release,
            },
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {
                    "labels": {**_safe(extra.get("labels")), **step_labels},
                    "annotations": {
                        # Whoever drains nodes should wait for a migration rather than stop it.
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                        **_safe(extra.get("annotations")),
                        "kubectl.kubernetes.io/default-container": container,
                    },
                },
                "spec": {**pod, "activeDeadlineSeconds": int(deadline)},
            },
        },
    }


def _safe(extra: Any) -> dict[str, str]:
    """A person's own labels or annotations, except those of our domain and those that loosen a container's confinement."""
    return {name: value for name, value in (extra or {}).items() if not name.split("/")[0].endswith(NOT_THEIRS)}


def backup_object(
    action: Any, namespace: str, migration: str, owner_uid: str, spec: Spec
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The DatabaseBackup and its status. Owned by nobody: it outlives the migration."""
    facts = dict(action.facts)
    started, ended = facts.pop("startedAt"), facts.pop("finishedAt")
    facts.pop("id")
    pvc = {"claimName": spec.backup.claim_name, **({"subPath": spec.backup.sub_path} if spec.backup.sub_path else {})}
    body = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "DatabaseBackup",
        "metadata": {
            "name": action.name,
            "namespace": namespace,
            "labels": labels(migration, owner_uid, action.run_id, backup.NAME),
        },
        "spec": {
            "migration": {"name": migration, "uid": owner_uid},
            "run": action.run_id,
            "database": {"urlSecretRef": {"name": spec.secret.name, "key": spec.secret.key}},
            "storage": {"pvc": pvc},
        },
    }
    message = f"{facts['file']} was decoded in full, hashed and read back from its store."
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Decoded",
        "message": message,
        "lastTransitionTime": ended,
        "observedGeneration": 1,
    }
    status = {**facts, "startTime": started, "completionTime": ended, "observedGeneration": 1, "conditions": [ready]}
    return body, status


def uses_image_files(spec: Spec) -> bool:
    """The Sql runner reads its files out of the application's image."""
    return spec.migration.framework is Framework.SQL and not spec.migration.config_map
