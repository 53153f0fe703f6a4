"""How long to wait before the next try. Pure arithmetic; jitter belongs to the queue."""

WAIT_FIRST = 2.0  # seconds before the second attempt of a step that may come right by waiting
WAIT_LONGEST = 60.0  # seconds: a database that comes back is noticed within a minute


def wait_before_attempt(attempt: int) -> float:
    """Seconds between the end of attempt `attempt - 1` and the start of `attempt` (2, 4, 8, ... 60)."""
    return float(min(WAIT_FIRST * 2 ** max(0, attempt - 2), WAIT_LONGEST))
