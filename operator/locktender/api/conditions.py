"""Condition types and reasons of our kinds. A reason is one CamelCase word; its sentence here is rendered into the docs."""

from enum import StrEnum


class ConditionType(StrEnum):
    """`Ready`, `Reconciling` and `Stalled` follow kstatus; the rest say where a release stands."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    BACKUP_READY = "BackupReady"
    MIGRATION_SUCCEEDED = "MigrationSucceeded"
    GATE_OPEN = "GateOpen"


class Reason(StrEnum):
    """Why a condition has its value, a step its state, or an Event was posted."""

    # The release as a whole
    SUCCEEDED = "Succeeded"
    BASELINE_ADOPTED = "BaselineAdopted"
    AWAITING_DEPLOYMENT = "AwaitingDeployment"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUSPENDED = "Suspended"
    SUPERSEDED = "Superseded"
    DELETING = "Deleting"
    REVERT_HELD = "RevertHeld"
    # The gate
    HELD = "Held"
    OPEN = "Open"
    RELEASED = "Released"
    GATE_MISMATCH = "GateMismatch"
    GATE_BYPASSED = "GateBypassed"
    GATE_SKIPPED = "GateSkipped"
    BYPASS_HELD = "BypassHeld"
    GATE_RESTORED = "GateRestored"
    GATE_INCOMPLETE = "GateIncomplete"
    AMBIGUOUS_SOURCE = "AmbiguousSource"
    PREVIOUS_MIGRATION_FAILED = "PreviousMigrationFailed"
    # What a person has to look at
    INVALID_SPEC = "InvalidSpec"
    FAILED = "Failed"
    NEEDS_ATTENTION = "NeedsAttention"
    PREVIOUS_ATTEMPT_UNKNOWN = "PreviousAttemptUnknown"
    RELEASE_REFUSED = "ReleaseRefused"
    NAME_CONFLICT = "NameConflict"
    JOB_REFUSED = "JobRefused"
    VERDICT_DISPUTED = "VerdictDisputed"
    # Steps
    BACKUP_STARTED = "BackupStarted"
    BACKUP_READY = "BackupReady"
    BACKUP_SKIPPED = "BackupSkipped"
    BACKUP_FAILED = "BackupFailed"
    MIGRATION_STARTED = "MigrationStarted"
    MIGRATION_SUCCEEDED = "MigrationSucceeded"
    MIGRATION_FAILED = "MigrationFailed"
    ROLLOUT_STARTED = "RolloutStarted"
    ROLLOUT_COMPLETE = "RolloutComplete"
    # What the pod's own state tells
    POD_PENDING = "PodPending"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    DATABASE_CLAIMED = "DatabaseClaimed"
    CONFIG_MISSING = "ConfigMissing"
    IMAGE_PULL = "ImagePull"
    INVALID_IMAGE = "InvalidImage"
    CONTAINER_START = "ContainerStart"
    TIMEOUT = "Timeout"
    LOCK_BUDGET_EXCEEDED = "LockBudgetExceeded"
    LOCK_TIMEOUT = "LockTimeout"
    DEADLOCK = "Deadlock"
    STATEMENT_TIMEOUT = "StatementTimeout"
    LOST = "Lost"
    EVICTED = "Evicted"
    JOB_VANISHED = "JobVanished"
    NOT_RECORDED = "NotRecorded"
    EXIT_CODE = "NonZeroExit"


REASON_DOCS: dict[Reason, str] = {
    Reason.SUCCEEDED: "The newest release is backed up, migrated and let through its gate.",
    Reason.BASELINE_ADOPTED: "The running version was there before the gate; it counts as migrated.",
    Reason.AWAITING_DEPLOYMENT: "Nothing to migrate yet: no image is named and no Deployment carries the gate label.",
    Reason.RUNNING: "A step of the release is at work.",
    Reason.WAITING: "Something that may still come is awaited: a Secret, an image, the database, a rollout.",
    Reason.SUSPENDED: "spec.suspend is true: no new step starts.",
    Reason.SUPERSEDED: "A newer version arrived before the migration of this one had started.",
    Reason.DELETING: "The resource is being deleted; a running migration is finished first.",
    Reason.REVERT_HELD: "An already verified version came back and spec.gate.revert is Hold.",
    Reason.HELD: "A Deployment waits at the gate.",
    Reason.OPEN: "No Deployment waits at the gate.",
    Reason.RELEASED: "A Deployment was let through.",
    Reason.GATE_MISMATCH: "A held Deployment does not belong to the release that was migrated.",
    Reason.GATE_BYPASSED: "Somebody with the verb `bypass` let a version through without its migration.",
    Reason.GATE_SKIPPED: "A version runs that the gate should have held, and nobody asked for that: the gate was not in force.",
    Reason.BYPASS_HELD: "A bypass was asked for, and the Deployment is held all the same.",
    Reason.GATE_RESTORED: "One of the gate's own objects was deleted or edited, and the operator brought it back.",
    Reason.GATE_INCOMPLETE: "One of the gate's own objects is missing or not what the chart installed, and the operator leaves it so.",
    Reason.AMBIGUOUS_SOURCE: "Several images could be the one that carries the migrations.",
    Reason.PREVIOUS_MIGRATION_FAILED: "DeployThenMigrate: the migration of the running version failed, so the next waits.",
    Reason.INVALID_SPEC: "The spec cannot work as written.",
    Reason.FAILED: "A step failed for good; the old version keeps serving.",
    Reason.NEEDS_ATTENTION: "Whether the migration ran cannot be known; a person has to say.",
    Reason.PREVIOUS_ATTEMPT_UNKNOWN: "An earlier attempt on this database has no recorded end; a person has to say.",
    Reason.RELEASE_REFUSED: "Admission held what the operator released: it lacks the verb `release`.",
    Reason.NAME_CONFLICT: "A Job of the name we need exists and is not ours.",
    Reason.JOB_REFUSED: "The API server does not accept our Job: a quota, or an admission policy of the namespace.",
    Reason.VERDICT_DISPUTED: "The Job's own end disagrees with the container's exit code.",
    Reason.BACKUP_STARTED: "The backup Job was created.",
    Reason.BACKUP_READY: "The backup was decoded in full, hashed, read again from its store and recorded.",
    Reason.BACKUP_SKIPPED: "spec.backup.policy is Skip.",
    Reason.BACKUP_FAILED: "No backup, so no migration.",
    Reason.MIGRATION_STARTED: "The migration Job was created.",
    Reason.MIGRATION_SUCCEEDED: "The migration's container ended with exit code 0.",
    Reason.MIGRATION_FAILED: "The migration's container ended with another exit code than 0.",
    Reason.ROLLOUT_STARTED: "DeployThenMigrate: the new version rolls out before its migration.",
    Reason.ROLLOUT_COMPLETE: "Every replica runs the new version.",
    Reason.POD_PENDING: "The Job has no pod yet, or its pod has no container yet.",
    Reason.POD_UNSCHEDULABLE: "The scheduler finds no node, or a volume claim is not there.",
    Reason.DATABASE_CLAIMED: "Another DatabaseMigration is at work on the same database.",
    Reason.CONFIG_MISSING: "A Secret, ConfigMap or key that the pod names does not exist.",
    Reason.IMAGE_PULL: "An image cannot be pulled.",
    Reason.INVALID_IMAGE: "The image name is malformed.",
    Reason.CONTAINER_START: "The container runtime could not start the command.",
    Reason.TIMEOUT: "spec.migration.timeout passed.",
    Reason.LOCK_BUDGET_EXCEEDED: "The migration made another session wait longer than spec.locks.budget and was stopped; tried again.",
    Reason.LOCK_TIMEOUT: "The migration did not get a lock in time (spec.locks.maxWait, or its driver's lock_timeout); tried again.",
    Reason.DEADLOCK: "PostgreSQL ended the migration's transaction to resolve a deadlock; tried again.",
    Reason.STATEMENT_TIMEOUT: "A statement of the migration ran longer than spec.locks.statementTimeout.",
    Reason.LOST: "The agent lost its session at the database, so what the migration had running was ended.",
    Reason.EVICTED: "The pod was evicted or preempted while it ran.",
    Reason.JOB_VANISHED: "The Job was deleted before its end was recorded.",
    Reason.NOT_RECORDED: "The pod is gone and its end was never seen.",
    Reason.EXIT_CODE: "A container of the user's image ended with another exit code than 0.",
}
