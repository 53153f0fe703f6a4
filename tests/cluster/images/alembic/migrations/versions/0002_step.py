"""Revision 2 of the tests' Alembic project."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """One step on."""
    op.execute("ALTER TABLE authors ADD COLUMN email text")


def downgrade() -> None:
    """One step back."""
    op.execute("ALTER TABLE authors DROP COLUMN email")
