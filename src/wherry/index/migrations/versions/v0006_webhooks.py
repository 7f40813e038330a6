"""What a change is about, and how far each webhook is."""

from alembic import op

from wherry.index.schema import statements

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
