"""Receipts of transfers."""

from alembic import op

from wherry.index.schema import statements

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
