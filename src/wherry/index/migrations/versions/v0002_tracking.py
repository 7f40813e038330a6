"""Indexes for filtered changes and for recycling."""

from alembic import op

from wherry.index.schema import statements

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
