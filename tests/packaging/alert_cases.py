"""When each alert has to fire: series, a minute each, and the first minute of the alert.

A series is written in promtool's notation: `1+0x60` is sixty minutes of 1, `_` a minute without it.
"""

from dataclasses import dataclass

RESOURCE = 'namespace="shop",migration="shop-db"'
POD = 'namespace="locktender-system",pod="operator-1",job="metrics"'
OF_RESOURCE = {"namespace": "shop", "migration": "shop-db"}
OF_RELEASE = {"namespace": "locktender-system"}
OF_POD = {"namespace": "locktender-system", "pod": "operator-1"}
WHILE = "+0x100"


@dataclass(frozen=True)
class Case:
    """An alert, what makes it fire from minute `at` on, and what comes near and does not."""

    alert: str
    series: dict[str, str]
    at: int
    labels: dict[str, str]
    value: str
    quiet: dict[str, str]


def of_resource(name: str, more: str = "") -> str:
    """A series of one DatabaseMigration."""
    return f"locktender_{name}{{{RESOURCE}{more}}}"


def of_pod(name: str, more: str = "") -> str:
    """A series of one replica."""
    return f"locktender_{name}{{{POD}{more}}}"


def stalled(reason: str) -> str:
    """The series that says why a person is needed."""
    return of_resource("stalled_reason", f',reason="{reason}"')


def began(step: str) -> str:
    """The start of a step."""
    return of_resource("step_start_timestamp_seconds", f',step="{step}"')


def budget_kept(wait: str) -> dict[str, str]:
    """The longest wait beside a budget of two seconds."""
    return {of_resource("longest_wait_seconds"): wait, of_resource("lock_budget_seconds"): f"2{WHILE}"}


CASES = (
    Case(
        "LocktenderMigrationFailed",
        {stalled("Failed"): f"_ _ _ 1{WHILE}"},
        3,
        OF_RESOURCE,
        "",
        {stalled("InvalidSpec"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderNeedsAttention",
        {stalled("JobVanished"): f"_ _ _ 1{WHILE}"},
        3,
        {**OF_RESOURCE, "reason": "JobVanished"},
        "",
        {stalled("Failed"): f"1{WHILE}", stalled("AmbiguousSource"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderStalled",
        {stalled("InvalidSpec"): f"_ _ _ 1{WHILE}"},
        8,
        {**OF_RESOURCE, "reason": "InvalidSpec"},
        "",
        {stalled("Failed"): f"1{WHILE}", stalled("NeedsAttention"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderHeldTooLong",
        {of_resource("held_since_timestamp_seconds"): f"0 0 120{WHILE}"},
        64,  # held in minute 2, an hour is over after minute 62, and one minute more
        OF_RESOURCE,
        "1h 2m 0s",
        {of_resource("held_since_timestamp_seconds"): f"0{WHILE}"},
    ),
    Case(
        "LocktenderMigrationSlow",
        {began("Migrate"): f"_ _ 120{WHILE}"},
        34,
        OF_RESOURCE,
        "32m 0s",
        {began("Backup"): f"60{WHILE}"},
    ),
    Case(
        "LocktenderBackupSlow",
        {began("Backup"): f"_ _ 120{WHILE}"},
        64,
        OF_RESOURCE,
        "1h 2m 0s",
        {began("Migrate"): f"60{WHILE}"},
    ),
    Case(
        "LocktenderBackupVolumeFull",
        {
            of_resource("backup_volume_free_bytes"): "3000 3000 2900+0x100",
            of_resource("backup_size_bytes"): "1000+0x100",
        },
        2,
        OF_RESOURCE,
        "2.9",
        {of_resource("backup_volume_free_bytes"): f"3000{WHILE}", of_resource("backup_size_bytes"): f"1000{WHILE}"},
    ),
    Case(
        "LocktenderBackupTooOld",
        {of_resource("last_backup_timestamp_seconds"): "-604680+0x100"},
        63,  # the clock of a rule test begins at 0: seven days are over after minute 2, and one hour more
        OF_RESOURCE,
        "7d 1h 1m 0s",
        {of_resource("last_backup_timestamp_seconds"): f"-590000{WHILE}"},
    ),
    Case(
        "LocktenderLockBudgetExceeded",
        budget_kept("0 0 0 3+0x100"),
        3,
        OF_RESOURCE,
        "1s",
        budget_kept("2.1+0x100"),
    ),
    Case(
        "LocktenderSessionsBlocked",
        {of_resource("blocked_sessions"): f"0 0 0 11{WHILE}"},
        3,
        OF_RESOURCE,
        "11",
        {of_resource("blocked_sessions"): f"10{WHILE}"},
    ),
    Case(
        "LocktenderMigrationCancelled",
        {of_resource("cancellations_total", ',why="LockTimeout"'): "_ _ _ 1+0x100"},
        3,
        {**OF_RESOURCE, "why": "LockTimeout"},
        "",
        {of_resource("cancellations_total", ',why="LockTimeout"'): f"1{WHILE}"},
    ),
    Case(
        "LocktenderMigrationBlocked",
        {of_resource("own_wait_seconds"): "0 0 0 31+0x100"},
        3,
        OF_RESOURCE,
        "31s",
        {of_resource("own_wait_seconds"): f"30{WHILE}"},
    ),
    Case(
        "LocktenderDeadlock",
        {of_resource("deadlocks_total"): "_ _ 0 1+0x100"},
        3,
        OF_RESOURCE,
        "",
        {of_resource("deadlocks_total"): f"0{WHILE}"},
    ),
    Case(
        "LocktenderMigrationFillsDisk",
        {of_resource("wal_bytes"): "0 0 0 21474836480+0x100"},
        3,
        OF_RESOURCE,
        "20Gi",
        {of_resource("wal_bytes"): "10737418240+0x100"},
    ),
    Case(
        "LocktenderReplicaBehind",
        {of_resource("replication_lag_seconds"): "0 0 0 90+0x100"},
        4,
        OF_RESOURCE,
        "1m 30s",
        {of_resource("replication_lag_seconds"): "60+0x100"},
    ),
    Case(
        "LocktenderGateIncomplete",
        {of_pod("gate_installed"): f"1 1 1 0{WHILE}"},
        4,
        OF_POD,
        "",
        {of_pod("gate_installed"): f"-1{WHILE}"},
    ),
    Case(
        "LocktenderGateRestoredOften",
        {of_pod("gate_restored_total", ',object="Binding/gate"'): "0 0 0 0 5+0x100"},
        4,
        {**OF_RELEASE, "object": "Binding/gate"},
        "5",
        {of_pod("gate_restored_total", ',object="Binding/gate"'): "0 0 0 0 2+0x100"},
    ),
    Case(
        "LocktenderGateSkipped",
        {of_pod("gate_skips_total"): "0 0 0 1+0x100"},
        3,
        OF_RELEASE,
        "",
        {of_pod("gate_skips_total"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderGateBypassed",
        {of_pod("gate_bypasses_total"): "0 0 0 1+0x100"},
        3,
        OF_RELEASE,
        "",
        {of_pod("gate_bypasses_total"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderUnverifiedVersion",
        {of_resource("unverified_deployments"): f"0 0 0 2{WHILE}"},
        33,
        OF_RESOURCE,
        "2",
        {of_resource("unverified_deployments"): f"0{WHILE}"},
    ),
    Case("LocktenderDown", {of_pod("queue_depth"): f"0{WHILE}"}, 5, {}, "", {of_pod("leader"): f"0{WHILE}"}),
    Case(
        "LocktenderNoLeader",
        {of_pod("leader"): f"1 1 1 0{WHILE}"},
        5,
        {**OF_RELEASE, "job": "metrics"},
        "",
        {of_pod("leader"): f"0{WHILE}", of_pod("leader").replace("operator-1", "operator-2"): f"1{WHILE}"},
    ),
    Case(
        "LocktenderWatchTooOld",
        {of_pod("watch_age_seconds"): "0 0 0 601+0x100"},
        3,
        OF_POD,
        "10m 1s",
        {of_pod("watch_age_seconds"): "600+0x100"},
    ),
    Case(
        "LocktenderReconcileErrors",
        {of_pod("reconcile_errors_total", ',kind="ApiError"'): "0+1x100"},
        21,  # six within the window after minute 6, and 15 minutes more
        {**OF_RELEASE, "kind": "ApiError"},
        "15",
        {of_pod("reconcile_errors_total", ',kind="stale"'): "0+1x100"},
    ),
    Case(
        "LocktenderWebhookErrors",
        {of_pod("webhook_request_duration_seconds_count", ',outcome="error"'): "0 0 0 1+1x100"},
        8,
        OF_RELEASE,
        "6",
        {of_pod("webhook_request_duration_seconds_count", ',outcome="held"'): "0+1x100"},
    ),
    Case(
        "LocktenderWebhookCertificateExpiring",
        {of_pod("webhook_certificate_expiry_timestamp_seconds"): "432600+0x100"},
        26,  # five days are left after ten minutes, and 15 minutes more
        OF_POD,
        "4d 23h 44m 0s",
        {of_pod("webhook_certificate_expiry_timestamp_seconds"): f"0{WHILE}"},
    ),
)
