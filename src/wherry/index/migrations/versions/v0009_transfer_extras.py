"""Metadata, labels and attachments that a transfer brings."""

from alembic import op

from wherry.index.schema import statements

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
