"""Every knob of the control side in one place, each with its unit and reason. Read once, at start, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
ANNOTATION_RESOLVE = f"{GROUP}/resolve"

REQUEST_TIMEOUT = 10.0  # seconds a call to the API server may take: far above its p99, far below a person's patience
EVENT_LIFETIME = 3600.0  # seconds that the API server keeps an Event unless it is told otherwise (--event-ttl)
RESYNC_INTERVAL = 300.0  # seconds between full lists that catch whatever a watch has missed
BACKUP_TIMEOUT = 6 * 3600.0  # seconds until a backup's pod is stopped: a hung store must not hold a release for ever
BACKUP_FRESH = (
    3600.0  # seconds that a backup counts as taken before the migration; after a longer wait it is taken again
)
POD_START_ALLOWANCE = 60.0  # seconds on top of spec.migration.timeout for pulling, mounting and taking the fence
TTL_SUCCEEDED = 3600  # seconds that a successful Job and its log are kept
TTL_FAILED = 7 * 24 * 3600  # seconds that a failed Job and its log are kept: somebody may be on leave
RUNNER_UID = 65532  # the numeric user of our images ("nonroot" of distroless images)

LEASE_DURATION = 15.0  # seconds a lease is valid; the three numbers are those of client-go's leader election
LEASE_RENEW_DEADLINE = 10.0
LEASE_RETRY_PERIOD = 2.0
LOOP_STALL_LIMIT = 30.0  # seconds without a tick of the event loop until /healthz fails
WEBHOOK_BODY_LIMIT = (
    8 * 1024 * 1024
)  # bytes of an AdmissionReview: two Deployments of the 1.5 MiB that etcd takes, and room
WEBHOOK_KEEPALIVE = (
    120.0  # seconds that an idle connection stays open: above the 90 s of API servers, so that they close first
)
WEBHOOK_DRAIN = 8.0  # seconds of serving after SIGTERM: every node must have heard that this replica leaves
WEBHOOK_POLL = (
    10.0  # seconds between two looks at the certificate's source; a kubelet renews its files about once a minute
)
WATCH_SILENCE_LIMIT = (
    900.0  # seconds without a sign of life from watches or resync until /healthz fails (three resyncs)
)


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
        namespaces=tuple(
            name.strip() for name in environment.get("LOCKTENDER_NAMESPACES", "").split(",") if name.strip()
        ),
        lease_namespace=environment.get("LOCKTENDER_LEASE_NAMESPACE", "default"),
        lease_name=environment.get("LOCKTENDER_LEASE_NAME", "locktender"),
        pod_name=environment.get("LOCKTENDER_POD_NAME", "locktender"),
        workers=_number(environment, "LOCKTENDER_WORKERS", 8),
        port=_number(environment, "LOCKTENDER_PORT", 8080),
        log_level=environment.get("LOCKTENDER_LOG_LEVEL", "INFO").upper(),
        image_volumes=ImageVolumes(mode),
    )


@dataclass(frozen=True)
class WebhookSettings:
    """The configuration of `gate-webhook`. Raises SettingsError from `read_webhook` when a value is missing or malformed."""

    certificate_folder: str
    hold_port: int = 9443
    port: int = 8080
    log_level: str = "INFO"


def read_webhook(environment: Mapping[str, str] = os.environ) -> WebhookSettings:
    """The settings of `gate-webhook` in the environment (see docs/reference/settings.md)."""
    folder = environment.get("LOCKTENDER_CERTIFICATE_FOLDER", "")
    if not folder:
        raise SettingsError("LOCKTENDER_CERTIFICATE_FOLDER is not set: name the folder that holds tls.crt and tls.key")
    return WebhookSettings(
        certificate_folder=folder,
        hold_port=_number(environment, "LOCKTENDER_HOLD_PORT", 9443),
        port=_number(environment, "LOCKTENDER_PORT", 8080),
        log_level=environment.get("LOCKTENDER_LOG_LEVEL", "INFO").upper(),
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "") or str(default)
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name} is {text!r}; it must be a whole number above 0")
    return int(text)
