"""What each framework runs in the application's own image. A preset is data; `spec.migration.command` overrides the command."""

from dataclasses import dataclass

from locktender.api.spec import Framework, Migration
from locktender.settings import LOCK_TIMEOUT

SQL_PATH = "db/migrations"
GOLANG_MIGRATE_PATH = "migrations"
RUN_DIR = "/run/locktender"  # shared with the agent: its marks, and the URL split into a part without and a part with the password
# Where the agent keeps its marks when nobody else reads them: memory that a pod's containers share, which outlives a restart of the agent.
# It is no volume, so a pod that has no other one starts 0.3 s sooner: a kubelet looks every 300 ms whether volumes are mounted.
SHARED_MEMORY = "/dev/shm/locktender"  # noqa: S108  # of this pod alone


@dataclass(frozen=True)
class Preset:
    """A framework's command; `lock_timeout` in seconds is used when `spec.locks.timeout` is not set.

    `same_user` runs the container as the agent's user, so that it may read the agent's password file.
    """

    command: tuple[str, ...]
    lock_timeout: float = LOCK_TIMEOUT
    same_user: bool = False


def preset(migration: Migration) -> Preset:
    """The preset of a migration's framework, its command overridden where the spec says so."""
    found = _preset(migration)
    return Preset(migration.command, found.lock_timeout, found.same_user) if migration.command else found


def _preset(migration: Migration) -> Preset:
    match migration.framework:
        case Framework.SQL:
            # The runner retries each lock wait itself, so a single try may be short (research: 50 to 100 ms first attempts).
            return Preset(("python3", "-m", "locktender", "runner", "sql", "up"), lock_timeout=0.1)
        case Framework.DJANGO:
            return Preset(("python", "manage.py", "migrate", "--noinput"))
        case Framework.ALEMBIC:
            return Preset(("alembic", "upgrade", "head"))
        case Framework.GOLANG_MIGRATE:
            # `migrate` takes the URL only as an argument, where every process list shows it. The agent therefore writes the URL
            # without its password, and the password to a file that the driver reads (PGPASSFILE).
            script = f'exec migrate -path "$LOCKTENDER_MIGRATIONS_PATH" -database "$(cat {RUN_DIR}/url)" up'
            return Preset(("/bin/sh", "-c", script), same_user=True)
        case Framework.COMMAND:
            return Preset(())


def migrations_path(migration: Migration) -> str:
    """Where the files are: in the image, or in the mounted ConfigMap."""
    defaults = {Framework.SQL: SQL_PATH, Framework.GOLANG_MIGRATE: GOLANG_MIGRATE_PATH}
    return migration.path or defaults.get(migration.framework, "")
