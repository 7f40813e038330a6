"""Where the parts lie that a bucket brought."""

from alembic import op

from wherry.index.schema import statements

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
