"""Retries, events and outputs of jobs."""

from alembic import op

from wherry.index.schema import statements

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
