"""Every knob of the control side in one place, each with its unit and reason. Read once, at start, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

GROUP = "locktender.dev"
VERSION = "v1alpha1"
FIELD_MANAGER = "locktender"
FINALIZER = f"{GROUP}/run"

LABEL_GATE = f"{GROUP}/gate"
LABEL_MIGRATION = f"{GROUP}/migration"
LABEL_OWNER = f"{GROUP}/migration-uid"
LABEL_RUN = f"{GROUP}/run"
LABEL_STEP = f"{GROUP}/step"
MANAGED_BY = ("app.kubernetes.io/managed-by", "locktender")
ANNOTATION_HELD = f"{GROUP}/held"
ANNOTATION_RELEASED = f"{GROUP}/released"
ANNOTATION_BYPASS = f"{GROUP}/bypass"
ANNOTATION_KEY = f"{GROUP}/key"
ANNOTATION_RETRY = f"{GROUP}/retry"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_IMAGE = f"{GROUP}/image"
ANNOTATION_RELEASE = f"{GROUP}/release"
ANNOTATION_RESOLVE = f"{GROUP}/resolve"

REQUEST_TIMEOUT = 10.0  # seconds a call to the API server may take: far above its p99, far below a person's patience
EVENT_LIFETIME = 3600.0  # seconds that the API server keeps an Event unless it is told otherwise (--event-ttl)
RESYNC_INTERVAL = 300.0  # seconds between full lists that catch whatever a watch has missed
BACKUP_TIMEOUT = 6 * 3600.0  # seconds until a backup's pod is stopped: a hung store must not hold a release for ever
BACKUP_FRESH = (
    3600.0  # seconds that a backup counts as taken before the migration; after a longer wait it is taken again
)
# Seconds of lock_timeout that a framework's sessions get unless spec.locks.timeout says otherwise: about what a user bears.
LOCK_TIMEOUT = 2.0
POD_START_ALLOWANCE = 60.0  # seconds on top of spec.migration.timeout for pulling, mounting and taking the fence
TTL_SUCCEEDED = 3600  # seconds that a successful Job and its log are kept
TTL_FAILED = 7 * 24 * 3600  # seconds that a failed Job and its log are kept: somebody may be on leave
REPORT_PATIENCE = (
    60.0  # seconds after an attempt's end that its log may take to become readable; then there is no report
)
REPORT_RETRY = 5.0  # seconds between two tries of reading it
REPORTS_KEPT = 10  # MigrationReports of each DatabaseMigration, as many as runs in its history: at most 2 MiB
LOG_LIMIT = (
    12 * 1024 * 1024
)  # bytes of a log that are read for a report: above the 10 MiB at which kubelets begin a new file
LOG_SILENCE = 45.0  # seconds without a byte until a followed log is asked for anew: an agent says something every 10 s
LOG_RETRY = (1.0, 30.0)  # seconds until a log that broke off is asked for again, doubled each time
LOG_LINES = (
    1000  # lines a second that are read of a followed log: an agent writes a few; a flood is slowed down, not skipped
)
LOG_FAREWELL = 10.0  # seconds that a follower may still read after the migration's end, for the agent's last lines
FOLLOWED_AT_ONCE = 50  # migrations whose logs are followed at the same time: a connection each, of the 100 of a client
RUNNER_UID = 65532  # the numeric user of our images ("nonroot" of distroless images)

LEASE_DURATION = 15.0  # seconds a lease is valid; the three numbers are those of client-go's leader election
LEASE_RENEW_DEADLINE = 10.0
LEASE_RETRY_PERIOD = 2.0
LOOP_STALL_LIMIT = 30.0  # seconds without a tick of the event loop until /healthz fails
GATE = "gate.locktender.dev"  # the name of the gate's admission objects, and of the webhook in its configuration
CA_MANAGER = "locktender-gate-ca"  # field manager of caBundle alone: whoever applies the rest leaves it in place
CA_INTERVAL = (
    2.0  # seconds between two looks at the bundle and the configuration: a lost bundle closes the gate that long
)
# Bytes of an AdmissionReview: two Deployments of the 1.5 MiB that etcd takes, as JSON, and room.
WEBHOOK_BODY_LIMIT = 8 * 1024 * 1024
# Seconds that an idle connection stays open: above the 90 s of API servers, so that they close first and no request meets a closed one.
WEBHOOK_KEEPALIVE = 120.0
WEBHOOK_DRAIN = 8.0  # seconds of serving after SIGTERM: every node must have heard that this replica leaves
WEBHOOK_FILES = 10.0  # seconds between two looks at a certificate's files; a kubelet renews them about once a minute
WEBHOOK_BUNDLE_LIMIT = 8  # authorities in the published bundle: two in ordinary life, more only after Secrets were lost
WATCH_SILENCE_LIMIT = (
    900.0  # seconds without a sign of life from watches or resync until /healthz fails (three resyncs)
)


WATCH_DURATION = 240  # seconds until the server ends a watch on one object, and we begin it anew
GUARD_RETRY = 2.0  # seconds until a watch that failed is begun anew
GUARD_INTERVAL = 60.0  # seconds between two looks at the gate's own objects that no watch has asked for
GUARD_GRACE = 10.0  # seconds that the guard's ConfigMap may be missing: an uninstall takes it away first, and the operator soon after
GUARD_PATIENCE = (1.0, 60.0)  # seconds between two restorations of one object, doubled each time: nobody is fought
GUARD_FORGETS = 600.0  # seconds without a restoration after which the next one comes at once again


class GuardMode(StrEnum):
    """What happens when one of the gate's own objects is deleted or edited."""

    RESTORE = "Restore"
    REPORT = "Report"
    OFF = "Off"


class ImageVolumes(StrEnum):
    """Whether migrations are mounted from the application's image (1.36 and newer) or copied by an init container."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Settings:
    """The process's configuration. Raises SettingsError from `read` when a value is missing or malformed."""

    runner_image: str
    runner_pull_policy: str = "IfNotPresent"
    namespaces: tuple[str, ...] = ()
    lease_namespace: str = "default"
    lease_name: str = "locktender"
    pod_name: str = "locktender"
    workers: int = 8
    port: int = 8080
    log_level: str = "INFO"
    image_volumes: ImageVolumes = ImageVolumes.AUTO
    gate_ca_config_map: str = ""
    guard: GuardMode = GuardMode.OFF
    guard_config_map: str = ""


class SettingsError(ValueError):
    """An environment variable is missing or malformed. `str()` names it."""


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the environment (see docs/reference/settings.md)."""
    image = environment.get("LOCKTENDER_RUNNER_IMAGE", "")
    if not image:
        raise SettingsError(
            "LOCKTENDER_RUNNER_IMAGE is not set: name the runner image that Jobs use (chart value runner.image)"
        )
    mode = environment.get("LOCKTENDER_IMAGE_VOLUMES", "auto")
    if mode not in tuple(ImageVolumes):
        raise SettingsError(f"LOCKTENDER_IMAGE_VOLUMES is {mode!r}; it must be one of {', '.join(ImageVolumes)}")
    return Settings(
        runner_image=image,
        runner_pull_policy=environment.get("LOCKTENDER_RUNNER_PULL_POLICY", "IfNotPresent"),
        namespaces=_names(environment, "LOCKTENDER_NAMESPACES"),
        lease_namespace=environment.get("LOCKTENDER_LEASE_NAMESPACE", "default"),
        lease_name=environment.get("LOCKTENDER_LEASE_NAME", "locktender"),
        pod_name=environment.get("LOCKTENDER_POD_NAME", "locktender"),
        workers=_number(environment, "LOCKTENDER_WORKERS", 8),
        port=_number(environment, "LOCKTENDER_PORT", 8080),
        log_level=environment.get("LOCKTENDER_LOG_LEVEL", "INFO").upper(),
        image_volumes=ImageVolumes(mode),
        gate_ca_config_map=environment.get("LOCKTENDER_GATE_CA_CONFIGMAP", ""),
        guard=_guard(environment),
        guard_config_map=environment.get("LOCKTENDER_GATE_CONFIGMAP", ""),
    )


def _guard(environment: Mapping[str, str]) -> GuardMode:
    mode = environment.get("LOCKTENDER_GATE_GUARD", "") or str(GuardMode.OFF)
    if mode not in tuple(GuardMode):
        raise SettingsError(f"LOCKTENDER_GATE_GUARD is {mode!r}; it must be one of {', '.join(GuardMode)}")
    if mode != GuardMode.OFF and not environment.get("LOCKTENDER_GATE_CONFIGMAP"):
        raise SettingsError("LOCKTENDER_GATE_CONFIGMAP is not set: name the ConfigMap that holds the gate's objects")
    return GuardMode(mode)


@dataclass(frozen=True)
class CertificateTimes:
    """How long the certificates that we make ourselves live, and what has to pass between their steps."""

    # Renewed after two thirds, so a bundle that nobody copies is noticed four months before anything ends.
    authority: timedelta = timedelta(days=365)
    # A new authority signs only after this long in the published bundle: an operator that is down for a weekend is no outage.
    overlap: timedelta = timedelta(days=7)
    # Short, because they cost nothing: each replica signs its own, in memory.
    serving: timedelta = timedelta(days=30)
    # From publishing the very first authority to its being in the API servers' configuration: the operator looks every 2 s, and an
    # API server hears of a changed configuration within a second.
    settle: timedelta = timedelta(seconds=10)
    # Between two looks at the Secret and the ConfigMap: two small reads.
    look: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class WebhookSettings:
    """The configuration of `gate-webhook`: a folder of certificates that somebody else renews, or where to keep our own."""

    certificate_folder: str = ""
    certificate_names: tuple[str, ...] = ()
    secret: str = ""
    config_map: str = ""
    namespace: str = "default"
    hold_port: int = 9443
    port: int = 8080
    log_level: str = "INFO"


def read_webhook(environment: Mapping[str, str] = os.environ) -> WebhookSettings:
    """The settings of `gate-webhook` in the environment (see docs/reference/settings.md). SettingsError names what is wrong."""
    settings = WebhookSettings(
        certificate_folder=environment.get("LOCKTENDER_CERTIFICATE_FOLDER", ""),
        certificate_names=_names(environment, "LOCKTENDER_CERTIFICATE_NAMES"),
        secret=environment.get("LOCKTENDER_CERTIFICATE_SECRET", ""),
        config_map=environment.get("LOCKTENDER_GATE_CA_CONFIGMAP", ""),
        namespace=environment.get("LOCKTENDER_NAMESPACE", "default"),
        hold_port=_number(environment, "LOCKTENDER_HOLD_PORT", 9443),
        port=_number(environment, "LOCKTENDER_PORT", 8080),
        log_level=environment.get("LOCKTENDER_LOG_LEVEL", "INFO").upper(),
    )
    own = (settings.secret, settings.config_map, settings.certificate_names)
    if bool(settings.certificate_folder) == any(own) or (any(own) and not all(own)):
        raise SettingsError(
            "set either LOCKTENDER_CERTIFICATE_FOLDER (certificates that somebody else renews) or all of "
            "LOCKTENDER_CERTIFICATE_SECRET, LOCKTENDER_GATE_CA_CONFIGMAP and LOCKTENDER_CERTIFICATE_NAMES (our own)"
        )
    return settings


def _names(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in environment.get(name, "").split(",") if part.strip())


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "") or str(default)
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name} is {text!r}; it must be a whole number above 0")
    return int(text)
