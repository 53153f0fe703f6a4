"""What the migration may do to others and to itself, as the operator tells the agent."""

from dataclasses import dataclass

from locktender.runner import settings


@dataclass(frozen=True)
class Limits:
    """In seconds. `budget`: another session's longest wait because of the migration; `max_wait`: its own wait for one lock."""

    budget: float = settings.LOCK_BUDGET
    max_wait: float = settings.LOCK_MAX_WAIT
    statement: float = settings.STATEMENT_TIMEOUT
    total: float = settings.MIGRATION_TIMEOUT

    @staticmethod
    def from_environment() -> "Limits":
        """Raises ValueError with a sentence that names the variable."""
        return Limits(
            settings.duration("LOCKTENDER_LOCK_BUDGET", settings.LOCK_BUDGET),
            settings.duration("LOCKTENDER_LOCK_MAX_WAIT", settings.LOCK_MAX_WAIT),
            settings.duration("LOCKTENDER_STATEMENT_TIMEOUT", settings.STATEMENT_TIMEOUT),
            settings.duration("LOCKTENDER_MIGRATION_TIMEOUT", settings.MIGRATION_TIMEOUT),
        )

    @property
    def act_at(self) -> float:
        """The wait at which a cancel must begin, so that the wait ends within the budget."""
        return self.budget - min(settings.BUDGET_LEAD, self.budget / 4)
