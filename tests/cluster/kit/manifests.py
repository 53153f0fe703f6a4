"""The objects that tests apply, each the smallest that Pod Security "restricted" accepts."""

from typing import Any

GROUP = "locktender.dev"
MIGRATION = "app-db"
SECRET = "app-db"
CLAIM = "backups"


def image(release: str) -> str:
    """The image of a release of the tests' application: one, two, bad, mended."""
    return f"localhost/locktender-test/app:{release}"


def namespace(name: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "locktender-test": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": data}


def claim() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": {
            "storageClassName": "standard",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "100Mi"}},
        },
    }


def pod_spec(container: dict[str, Any]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                **container,
            }
        ],
    }


def deployment(
    release: str, name: str = "web", key: str = "", whole_image: str = "", *, gated: bool = True
) -> dict[str, Any]:
    """A Deployment of one replica at a release of the application, behind the gate of MIGRATION."""
    ready = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {"name": "app", "image": whole_image or image(release)}
    if not whole_image:
        container |= {"readinessProbe": ready}  # type: ignore[dict-item]
    template: dict[str, Any] = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(container)}
    if key:
        template["metadata"]["annotations"] = {f"{GROUP}/key": key}
    labels = {f"{GROUP}/gate": MIGRATION} if gated else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def migration(framework: str = "Sql", **spec: Any) -> dict[str, Any]:
    """A DatabaseMigration; keyword arguments are fields of its spec, `migration` and `backup` among them are merged."""
    base: dict[str, Any] = {
        "database": {"urlSecretRef": {"name": SECRET}},
        "migration": {"framework": framework, **spec.pop("migration", {})},
        "backup": spec.pop("backup", {"storage": {"pvc": {"claimName": CLAIM}}}),
    }
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": MIGRATION},
        "spec": {**base, **spec},
    }


def postgres(name: str, major: int, password: str) -> list[dict[str, Any]]:
    """A throw-away server and its Service."""
    container = {
        "name": "postgres",
        "image": f"localhost/locktender/postgres:{major}",
        "env": [
            {"name": "POSTGRES_PASSWORD", "value": password},
            {"name": "POSTGRES_FSYNC", "value": "off"},
        ],
        "args": ["-c", "max_connections=200"],
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]},
            "periodSeconds": 1,
            "timeoutSeconds": 10,  # a busy machine: an unready server would refuse everybody's connections
        },
    }
    selector = {"app": name}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": selector},
                "template": {"metadata": {"labels": selector}, "spec": pod_spec(container)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": selector, "ports": [{"port": 5432}]},
        },
    ]
