"""One step of a run a file; a strategy is a tuple of them. Adding a step means a new file and a place in a tuple."""

from locktender.api.spec import Strategy
from locktender.core.steps import backup, migrate, release, rollout
from locktender.core.steps.base import Advance

STRATEGIES: dict[Strategy, tuple[tuple[str, Advance], ...]] = {
    Strategy.MIGRATE_THEN_DEPLOY: (
        (backup.NAME, backup.advance),
        (migrate.NAME, migrate.advance),
        (release.NAME, release.advance),
    ),
    Strategy.DEPLOY_THEN_MIGRATE: (
        (release.NAME, release.advance),
        (rollout.NAME, rollout.advance),
        (backup.NAME, backup.advance),
        (migrate.NAME, migrate.advance),
    ),
}
