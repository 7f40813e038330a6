"""Queries to modalities."""

from alembic import op

from wherry.index.schema import statements

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
