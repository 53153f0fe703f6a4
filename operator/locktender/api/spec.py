"""The spec of a DatabaseMigration as frozen dataclasses.

The API server has already refused most mistakes (crds/databasemigrations.yaml); what is left is checked here, so that a spec stored
by an older or looser schema still ends in a sentence and not in a traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from locktender.api import duration

_Choice = TypeVar("_Choice", bound=StrEnum)


class SpecError(ValueError):
    """The spec cannot work as written. `str()` is a sentence that names the field."""


class Framework(StrEnum):
    """What runs the migration."""

    SQL = "Sql"
    COMMAND = "Command"
    GOLANG_MIGRATE = "GolangMigrate"
    DJANGO = "Django"
    ALEMBIC = "Alembic"


class Strategy(StrEnum):
    """In which order the migration and the rollout happen."""

    MIGRATE_THEN_DEPLOY = "MigrateThenDeploy"
    DEPLOY_THEN_MIGRATE = "DeployThenMigrate"


class BackupPolicy(StrEnum):
    """Whether a migration needs a backup."""

    REQUIRED = "Required"
    SKIP = "Skip"


class HoldOrRelease(StrEnum):
    """What happens to held Deployments in the two cases of `spec.gate`."""

    HOLD = "Hold"
    RELEASE = "Release"


@dataclass(frozen=True)
class SecretKey:
    """One key of a Secret in the same namespace. The operator never reads it."""

    name: str
    key: str = "url"


@dataclass(frozen=True)
class Source:
    """The Deployment (and container) whose image carries the migrations."""

    deployment: str
    container: str | None = None


@dataclass(frozen=True)
class Migration:
    """`spec.migration`. `timeout` is in seconds; `pod` is the raw pod section, checked by the CRD."""

    framework: Framework
    image: str | None = None
    source: Source | None = None
    path: str | None = None
    config_map: str | None = None
    command: tuple[str, ...] = ()
    timeout: float = 1800.0
    pod: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Backup:
    """`spec.backup`. With policy Required a claim is always named."""

    policy: BackupPolicy
    reason: str = ""
    claim_name: str = ""
    sub_path: str = ""


@dataclass(frozen=True)
class Locks:
    """`spec.locks`, in seconds. `timeout` None means the framework's own default (render/presets.py), `retries` None likewise (core/retry.py)."""

    budget: float = 2.0
    timeout: float | None = None
    max_wait: float = 60.0
    statement_timeout: float = 30.0
    retries: int | None = None


@dataclass(frozen=True)
class Spec:
    """The whole spec, parsed."""

    secret: SecretKey
    url_env: str
    migration: Migration
    strategy: Strategy
    release: str
    backup: Backup
    locks: Locks
    on_delete: HoldOrRelease
    revert: HoldOrRelease
    suspend: bool


def parse(raw: Mapping[str, Any]) -> Spec:
    """Parse `spec` of an API object. Raises SpecError with a sentence."""
    database = raw.get("database") or {}
    secret = database.get("urlSecretRef") or {}
    if not secret.get("name"):
        raise SpecError("spec.database.urlSecretRef.name is missing: name the Secret that holds the connection URL")
    url_env = database.get("urlEnv") or "DATABASE_URL"
    if url_env.startswith("LOCKTENDER_"):
        raise SpecError(f"spec.database.urlEnv is {url_env!r}: names that start with LOCKTENDER_ belong to Locktender")
    gate = raw.get("gate") or {}
    return Spec(
        secret=SecretKey(secret["name"], secret.get("key") or "url"),
        url_env=url_env,
        migration=_migration(raw.get("migration") or {}),
        strategy=_choice(Strategy, raw.get("strategy") or "MigrateThenDeploy", "spec.strategy"),
        release=str(raw.get("release") or ""),
        backup=_backup(raw.get("backup") or {}),
        locks=_locks(raw.get("locks") or {}),
        on_delete=_choice(HoldOrRelease, gate.get("onDelete") or "Hold", "spec.gate.onDelete"),
        revert=_choice(HoldOrRelease, gate.get("revert") or "Release", "spec.gate.revert"),
        suspend=bool(raw.get("suspend")),
    )


def _choice(kind: type[_Choice], value: str, where: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise SpecError(f"{where} is {value!r}; it must be one of {known}") from None


def _seconds(value: str, where: str) -> float:
    try:
        return duration.seconds(value)
    except ValueError as problem:
        raise SpecError(f"{where}: {problem}") from None


def _migration(raw: Mapping[str, Any]) -> Migration:
    framework = _choice(Framework, raw.get("framework") or "", "spec.migration.framework")
    command = tuple(raw.get("command") or ())
    if framework is Framework.COMMAND and not command:
        raise SpecError("spec.migration.command is missing: framework Command needs the command to run")
    if framework is Framework.SQL and command:
        raise SpecError("spec.migration.command is set: framework Sql runs the files of spec.migration.path itself")
    source = raw.get("from")
    config_map = (raw.get("configMapRef") or {}).get("name")
    if config_map and framework is not Framework.SQL:
        raise SpecError("spec.migration.configMapRef is only for framework Sql")
    return Migration(
        framework=framework,
        image=raw.get("image"),
        source=Source(source["deployment"], source.get("container")) if source else None,
        path=raw.get("path"),
        config_map=config_map,
        command=command,
        timeout=_seconds(raw.get("timeout") or "30m", "spec.migration.timeout"),
        pod=raw.get("pod") or {},
    )


def _backup(raw: Mapping[str, Any]) -> Backup:
    policy = _choice(BackupPolicy, raw.get("policy") or "Required", "spec.backup.policy")
    claim = (raw.get("storage") or {}).get("pvc") or {}
    if policy is BackupPolicy.REQUIRED and not claim.get("claimName"):
        raise SpecError("spec.backup.storage.pvc.claimName is missing: policy Required needs a place for the backup")
    return Backup(policy, raw.get("reason") or "", claim.get("claimName") or "", claim.get("subPath") or "")


def _locks(raw: Mapping[str, Any]) -> Locks:
    retries = raw.get("retries")
    if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
        raise SpecError(f"spec.locks.retries is {retries!r}; it must be a whole number, 0 or more")
    return Locks(
        budget=_seconds(raw.get("budget") or "2s", "spec.locks.budget"),
        timeout=_seconds(raw["timeout"], "spec.locks.timeout") if raw.get("timeout") else None,
        max_wait=_seconds(raw.get("maxWait") or "60s", "spec.locks.maxWait"),
        statement_timeout=_seconds(raw.get("statementTimeout") or "30s", "spec.locks.statementTimeout"),
        retries=retries,
    )
