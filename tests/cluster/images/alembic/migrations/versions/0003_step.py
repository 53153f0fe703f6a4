"""Revision 3 of the tests' Alembic project."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One step on."""
    op.execute("CREATE INDEX authors_by_email ON authors (email)")


def downgrade() -> None:
    """One step back."""
    op.execute("DROP INDEX authors_by_email")
