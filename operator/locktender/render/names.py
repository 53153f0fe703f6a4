"""Labels and identities that tie the objects we make to their DatabaseMigration. They are the filter of every watch and list."""

from locktender.settings import LABEL_MIGRATION, LABEL_OWNER, LABEL_RUN, LABEL_STEP, MANAGED_BY

MANAGED_SELECTOR = "=".join(MANAGED_BY)


def labels(migration: str, owner_uid: str, run_id: str, step: str) -> dict[str, str]:
    """The labels of everything made for one step of one run. A label's value holds 63 characters; longer names are cut."""
    return {
        MANAGED_BY[0]: MANAGED_BY[1],
        LABEL_MIGRATION: migration[:63].rstrip("-."),
        LABEL_OWNER: owner_uid,
        LABEL_RUN: run_id,
        LABEL_STEP: step.lower(),
    }


def owner_selector(owner_uid: str) -> str:
    """Selects the Jobs and pods of one DatabaseMigration; a namesake of former times has another uid."""
    return f"{MANAGED_SELECTOR},{LABEL_OWNER}={owner_uid}"
