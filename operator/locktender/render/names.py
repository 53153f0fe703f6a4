"""Labels and identities that tie the objects we make to their DatabaseMigration. They are the filter of every watch and list."""

from collections.abc import Mapping
from typing import Any

from locktender.settings import LABEL_MIGRATION, LABEL_OWNER, LABEL_RUN, LABEL_STEP, MANAGED_BY

MANAGED_SELECTOR = "=".join(MANAGED_BY)


def labels(migration: str, owner_uid: str, run_id: str, step: str) -> dict[str, str]:
    """The labels of everything made for one step of one run."""
    return {
        MANAGED_BY[0]: MANAGED_BY[1],
        LABEL_MIGRATION: _label(migration),
        LABEL_OWNER: owner_uid,
        LABEL_RUN: run_id,
        LABEL_STEP: step.lower(),
    }


def migration_selector(migration: str) -> str:
    """Selects the Jobs and pods of a DatabaseMigration by its name. A namesake of former times is told apart by `is_owned_by`."""
    return f"{MANAGED_SELECTOR},{LABEL_MIGRATION}={_label(migration)}"


def is_owned_by(raw: Mapping[str, Any], owner_uid: str) -> bool:
    """Whether a Job or pod was made for the DatabaseMigration of this uid."""
    return (raw["metadata"].get("labels") or {}).get(LABEL_OWNER) == owner_uid


def _label(name: str) -> str:
    """A label's value holds 63 characters; longer names are cut."""
    return name[:63].rstrip("-.")
