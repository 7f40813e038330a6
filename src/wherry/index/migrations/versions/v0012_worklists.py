"""Items of modality worklists."""

from alembic import op

from wherry.index.schema import statements

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
