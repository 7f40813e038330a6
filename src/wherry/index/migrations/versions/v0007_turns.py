"""Turns of those who wait for a slot for a push."""

from alembic import op

from wherry.index.schema import statements

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
