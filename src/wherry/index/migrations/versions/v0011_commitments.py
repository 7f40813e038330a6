"""Storage commitment, asked of others and by others."""

from alembic import op

from wherry.index.schema import statements

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
