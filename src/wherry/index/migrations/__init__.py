"""The migrations and Alembic's entry to them. Nothing is imported here: see ``upgrading``."""
