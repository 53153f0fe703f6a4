"""Every metric in one table. Registration, tests and the docs page come from it.

Labels are few: `namespace` and `migration` only on gauges that a person looks at per resource; outcomes are closed sets.
"""

from locktender.telemetry.locks import LOCK_METRICS
from locktender.telemetry.metric import LONG_BUCKETS, SHORT_BUCKETS, Kind, Metric

RESOURCE = ("namespace", "migration")
METRICS: tuple[Metric, ...] = (
    Metric(
        "locktender_step",
        Kind.GAUGE,
        (*RESOURCE, "step", "state"),
        "1 for the step that the current run is at, with its state.",
    ),
    Metric("locktender_ready", Kind.GAUGE, RESOURCE, "1 when the newest release is through its gate, else 0."),
    Metric(
        "locktender_step_start_timestamp_seconds",
        Kind.GAUGE,
        (*RESOURCE, "step"),
        "Unix time at which the step began that the current run is at; absent while none has begun.",
    ),
    Metric("locktender_stalled", Kind.GAUGE, RESOURCE, "1 when a person is needed, else 0."),
    Metric(
        "locktender_stalled_reason",
        Kind.GAUGE,
        (*RESOURCE, "reason"),
        "1 for the reason for which a person is needed, Other for one that a pod has made up; absent when nobody is.",
    ),
    Metric("locktender_held_deployments", Kind.GAUGE, RESOURCE, "Deployments that wait at the gate."),
    Metric(
        "locktender_unverified_deployments",
        Kind.GAUGE,
        RESOURCE,
        "Deployments that run what no migration has verified: a bypass let them through, or there was no gate.",
    ),
    Metric(
        "locktender_held_since_timestamp_seconds",
        Kind.GAUGE,
        RESOURCE,
        "Unix time since when the longest waiting Deployment is held; 0 when none is.",
    ),
    Metric(
        "locktender_last_success_timestamp_seconds",
        Kind.GAUGE,
        RESOURCE,
        "Unix time of the end of the last successful run.",
    ),
    Metric("locktender_backup_size_bytes", Kind.GAUGE, RESOURCE, "Stored size of the last backup."),
    Metric(
        "locktender_backup_volume_free_bytes",
        Kind.GAUGE,
        RESOURCE,
        "What was free of the backups' volume after the last backup.",
    ),
    Metric(
        "locktender_last_backup_timestamp_seconds",
        Kind.GAUGE,
        RESOURCE,
        "Unix time of the end of the last backup that was proved.",
    ),
    Metric(
        "locktender_lock_budget_seconds",
        Kind.GAUGE,
        RESOURCE,
        "spec.locks.budget: how long one session of others may wait because of the migration.",
    ),
    Metric(
        "locktender_step_duration_seconds",
        Kind.HISTOGRAM,
        ("step", "outcome"),
        "Time from a step's start to its end.",
        LONG_BUCKETS,
    ),
    Metric(
        "locktender_run_duration_seconds",
        Kind.HISTOGRAM,
        ("outcome",),
        "Time from a run's start to its end.",
        LONG_BUCKETS,
    ),
    Metric("locktender_runs", Kind.COUNTER, ("outcome",), "Runs that have ended."),
    Metric("locktender_releases", Kind.COUNTER, (), "Deployments let through the gate."),
    Metric("locktender_gate_bypasses", Kind.COUNTER, (), "Uses of the verb bypass, each once."),
    Metric(
        "locktender_gate_restored",
        Kind.COUNTER,
        ("object",),
        "Times that one of the gate's own objects was brought back; object is Kind/name.",
    ),
    Metric(
        "locktender_gate_installed",
        Kind.GAUGE,
        (),
        "1 when the gate's own objects are as the chart installed them, 0 when they are not; -1 where this replica does not look.",
    ),
    Metric(
        "locktender_gate_skips",
        Kind.COUNTER,
        (),
        "Versions that came past their gate although nobody asked for that, each once.",
    ),
    Metric(
        "locktender_reconcile_duration_seconds",
        Kind.HISTOGRAM,
        (),
        "Time of one pass: observe, decide, act.",
        SHORT_BUCKETS,
    ),
    Metric("locktender_reconcile_errors", Kind.COUNTER, ("kind",), "Passes that ended in an error, by class of error."),
    Metric("locktender_queue_depth", Kind.GAUGE, (), "Resources that wait for a worker."),
    Metric(
        "locktender_queue_latency_seconds",
        Kind.HISTOGRAM,
        (),
        "Time from an event to the start of its pass.",
        SHORT_BUCKETS,
    ),
    Metric(
        "locktender_api_request_duration_seconds",
        Kind.HISTOGRAM,
        ("method", "code"),
        "Calls to the API server; code is error when there was no answer.",
        SHORT_BUCKETS,
    ),
    Metric("locktender_watch_age_seconds", Kind.GAUGE, (), "Seconds since the last event or full list."),
    Metric("locktender_leader", Kind.GAUGE, (), "1 while this replica leads."),
    *LOCK_METRICS,
)
# Of the processes that run `gate-webhook`, and of no other.
WEBHOOK_METRICS: tuple[Metric, ...] = (
    Metric(
        "locktender_webhook_request_duration_seconds",
        Kind.HISTOGRAM,
        ("outcome",),
        "Requests of API servers: held, refused (no AdmissionReview of a Deployment) or error.",
        SHORT_BUCKETS,
    ),
    Metric(
        "locktender_webhook_certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        (),
        "Unix time at which the certificate that is served ends; 0 before one is loaded.",
    ),
    Metric(
        "locktender_api_request_duration_seconds",
        Kind.HISTOGRAM,
        ("method", "code"),
        "Calls to the API server; code is error when there was no answer.",
        SHORT_BUCKETS,
    ),
)
