"""How much of a log of small files is in the index."""

from alembic import op

from wherry.index.schema import statements

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
