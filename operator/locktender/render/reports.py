"""The MigrationReport, as the API wants it."""

from typing import Any

from locktender.core.actions import StoreReport
from locktender.core.messages import fit
from locktender.core.steps import migrate
from locktender.render.names import labels
from locktender.settings import GROUP, VERSION


def report(
    action: StoreReport, namespace: str, migration: str, owner_uid: str, content: dict[str, Any]
) -> dict[str, Any]:
    """The MigrationReport of one attempt. Owned by nobody: what happened outlives the migration."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MigrationReport",
        "metadata": {
            "name": action.name,
            "namespace": namespace,
            "labels": labels(migration, owner_uid, action.run_id, migrate.NAME),
        },
        "spec": {
            "migration": {"name": migration, "uid": owner_uid},
            "run": action.run_id,
            "attempt": action.attempt,
            "image": fit(action.image, 1024),
            "release": fit(action.release, 253),
            **({"budget": action.budget} if action.budget is not None else {}),
        },
        "report": content,
    }
