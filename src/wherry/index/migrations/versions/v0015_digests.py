"""A second kind of digest."""

from alembic import op

from wherry.index.schema import statements

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
