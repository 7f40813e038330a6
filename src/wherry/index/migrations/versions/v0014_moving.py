"""Files that move, and studies that are read."""

from alembic import op

from wherry.index.schema import statements

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
