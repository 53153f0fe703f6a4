"""Revision 1 of the tests' Alembic project."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """One step on."""
    op.execute("CREATE TABLE authors (id bigint PRIMARY KEY, name text NOT NULL)")


def downgrade() -> None:
    """One step back."""
    op.execute("DROP TABLE authors")
