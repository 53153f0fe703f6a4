"""How often and how long after is a step tried again. Pure arithmetic; the jitter comes from a hash, so that every pass finds the same."""

import hashlib

from locktender.api.spec import Framework, Spec

WAIT_FIRST = 2.0  # seconds before the second attempt of a step that may come right by waiting
WAIT_LONGEST = 60.0  # seconds: a database that comes back is noticed within a minute
# Seconds after an attempt that locks have ended: the queue behind it drains in less, and a session in its way may take minutes. With five
# retries these are about 5, 10, 20, 40 and 80 s.
LOCK_WAIT_FIRST = 5.0
LOCK_WAIT_LONGEST = 300.0
LOCK_JITTER = 0.25  # of the wait, up or down: two migrations that met do not meet again, and each wait still is longer than the last
# Only what knows which part of its work is done may be tried again without being asked. golang-migrate knows, but marks the version dirty
# after any failure and refuses to go on until a person has looked.
LOCK_RETRIES = {Framework.SQL: 5, Framework.DJANGO: 5, Framework.ALEMBIC: 5}


def wait_before_attempt(attempt: int) -> float:
    """Seconds between the end of attempt `attempt - 1` and the start of `attempt` (2, 4, 8, ... 60)."""
    return float(min(WAIT_FIRST * 2 ** max(0, attempt - 2), WAIT_LONGEST))


def wait_for_locks(run_id: str, failures: int) -> float:
    """Seconds between the end of the `failures`th attempt that locks have ended and the next one."""
    digest = hashlib.sha256(f"{run_id}/{failures}".encode()).digest()
    fraction = int.from_bytes(digest[:4]) / 2**32
    whole = min(LOCK_WAIT_FIRST * 2 ** max(0, failures - 1), LOCK_WAIT_LONGEST)
    return float(whole * (1 - LOCK_JITTER + 2 * LOCK_JITTER * fraction))


def lock_retries(spec: Spec) -> int:
    """How many attempts may follow one that locks have ended."""
    return spec.locks.retries if spec.locks.retries is not None else LOCK_RETRIES.get(spec.migration.framework, 0)
