"""What a migration does to other sessions, as metrics while it runs.

Gauges are removed when the migration ends. Counters stay until its resource is deleted: one that went away with the migration would often
be gone before it is scraped.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from locktender.core.agent_facts import Sample, Stop
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


class LockSeries:
    """The series of one running migration. Used by one follower of its agent's log; `end` takes the gauges away."""

    def __init__(
        self, gauges: Mapping[str, Gauge], counters: Mapping[str, Counter], namespace: str, migration: str
    ) -> None:
        self._gauges, self._counters = gauges, counters
        self._resource = (namespace, migration)
        self._modes: set[str] = set()
        self._counted: dict[str, float] = {}

    def sample(self, sample: Sample) -> None:
        """How things stand now."""
        for name, value in (
            ("locktender_blocked_sessions", sample.blocked),
            ("locktender_longest_wait_seconds", sample.worst_wait),
            ("locktender_own_wait_seconds", sample.own_wait),
            ("locktender_blockers", sample.blockers),
            ("locktender_wal_bytes", sample.wal_bytes),
            ("locktender_replication_lag_bytes", sample.lag_bytes),
            ("locktender_replication_lag_seconds", sample.lag_seconds),
        ):
            self._gauges[name].labels(*self._resource).set(value)
        waits = dict(sample.waits)
        self._modes |= waits.keys()
        for mode in self._modes:
            self._gauges["locktender_waiting_sessions"].labels(*self._resource, mode).set(waits.get(mode, 0))
        self._count("locktender_blocked_seconds", sample.blocked_seconds)
        self._count("locktender_deadlocks", sample.deadlocks)

    def stopped(self, stop: Stop) -> None:
        """A session of the migration was cancelled or terminated."""
        self._counters["locktender_cancellations"].labels(*self._resource, stop.why).inc()

    def end(self) -> None:
        """The migration is over."""
        for metric in LOCK_METRICS:
            if metric.kind is Kind.GAUGE:
                namespace, migration = self._resource
                self._gauges[metric.name].remove_by_labels({"namespace": namespace, "migration": migration})

    def _count(self, name: str, total: float) -> None:
        """Raise a counter to what the agent has counted since the migration began; an agent that was restarted begins at nought.

        A controller that takes over in the middle shows the whole at once, as the one before it did: Prometheus sees no step.
        """
        before = self._counted.get(name, 0.0)
        self._counters[name].labels(*self._resource).inc(total - before if total >= before else total)
        self._counted[name] = total
