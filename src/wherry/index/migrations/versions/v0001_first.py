"""The first schema."""

from alembic import op

from wherry.index.schema import statements

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
