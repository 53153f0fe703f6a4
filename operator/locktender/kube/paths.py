"""Where the resources that we touch live."""

from locktender.kube.client import path
from locktender.settings import GROUP, VERSION

OURS = f"{GROUP}/{VERSION}"


def migrations(namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """DatabaseMigrations."""
    return path(OURS, namespace, "databasemigrations", name, subresource)


def backups(namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """DatabaseBackups."""
    return path(OURS, namespace, "databasebackups", name, subresource)


def reports(namespace: str | None, name: str | None = None) -> str:
    """MigrationReports."""
    return path(OURS, namespace, "migrationreports", name)


def jobs(namespace: str | None, name: str | None = None) -> str:
    """Jobs."""
    return path("batch/v1", namespace, "jobs", name)


def pods(namespace: str | None) -> str:
    """Pods."""
    return path("v1", namespace, "pods")


def log(namespace: str, pod: str) -> str:
    """The log of a pod."""
    return path("v1", namespace, "pods", pod, "log")


def deployments(namespace: str | None, name: str | None = None) -> str:
    """Deployments."""
    return path("apps/v1", namespace, "deployments", name)


def events(namespace: str) -> str:
    """Events of the events.k8s.io API."""
    return path("events.k8s.io/v1", namespace, "events")


def leases(namespace: str, name: str | None = None) -> str:
    """Leases."""
    return path("coordination.k8s.io/v1", namespace, "leases", name)


def secrets(namespace: str, name: str) -> str:
    """One Secret: the webhook's own authority. The operator has no verb on Secrets."""
    return path("v1", namespace, "secrets", name)


def config_maps(namespace: str, name: str | None = None) -> str:
    """ConfigMaps: one or two are read, by name."""
    return path("v1", namespace, "configmaps", name)


def webhook_configurations(name: str) -> str:
    """One MutatingWebhookConfiguration."""
    return path("admissionregistration.k8s.io/v1", None, "mutatingwebhookconfigurations", name)


def admission(plural: str, name: str | None = None) -> str:
    """Admission policies, their bindings, and webhook configurations."""
    return path("admissionregistration.k8s.io/v1", None, plural, name)
