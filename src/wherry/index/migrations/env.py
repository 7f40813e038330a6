"""Alembic's entry: one connection that the caller opened, one transaction that it holds."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=False
)
context.run_migrations()
