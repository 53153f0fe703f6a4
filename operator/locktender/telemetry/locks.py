"""What a migration does to other sessions, as metrics while it runs.

Gauges are removed when the migration ends. Counters stay until its resource is deleted: one that went away with the migration would often
be gone before it is scraped.
"""

from locktender.telemetry.metric import Kind, Metric

_RESOURCE = ("namespace", "migration")
LOCK_METRICS: tuple[Metric, ...] = (
    Metric(
        "locktender_blocked_sessions",
        Kind.GAUGE,
        _RESOURCE,
        "Sessions of others that wait because of the running migration, directly or in a queue.",
    ),
    Metric(
        "locktender_longest_wait_seconds",
        Kind.GAUGE,
        _RESOURCE,
        "The longest that one session of others has waited because of the running migration, so far; spec.locks.budget bounds it.",
    ),
    Metric(
        "locktender_waiting_sessions",
        Kind.GAUGE,
        (*_RESOURCE, "mode"),
        "Sessions of others that wait because of the running migration, by the lock mode that they ask for.",
    ),
    Metric(
        "locktender_blocked_seconds",
        Kind.COUNTER,
        _RESOURCE,
        "Seconds that sessions of others have waited because of migrations, summed over the sessions.",
    ),
    Metric(
        "locktender_own_wait_seconds",
        Kind.GAUGE,
        _RESOURCE,
        "Seconds that the running migration has been waiting for the lock it asks for now; spec.locks.maxWait bounds it.",
    ),
    Metric(
        "locktender_blockers",
        Kind.GAUGE,
        _RESOURCE,
        "Sessions that the running migration waits for now.",
    ),
    Metric(
        "locktender_wal_bytes",
        Kind.GAUGE,
        _RESOURCE,
        "Write-ahead log that the server has written since the running migration began.",
    ),
    Metric(
        "locktender_replication_lag_bytes",
        Kind.GAUGE,
        _RESOURCE,
        "Write-ahead log that the furthest replica has still to replay, while a migration runs.",
    ),
    Metric(
        "locktender_replication_lag_seconds",
        Kind.GAUGE,
        _RESOURCE,
        "Time by which the furthest replica is behind, while a migration runs.",
    ),
    Metric(
        "locktender_deadlocks",
        Kind.COUNTER,
        _RESOURCE,
        "Deadlocks that the database has counted while migrations ran.",
    ),
    Metric(
        "locktender_cancellations",
        Kind.COUNTER,
        (*_RESOURCE, "why"),
        "Sessions of migrations that the agent has cancelled or terminated, by cause.",
    ),
)
