"""The places of files."""

from alembic import op

from wherry.index.schema import statements

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
