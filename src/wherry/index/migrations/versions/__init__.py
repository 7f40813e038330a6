"""The migrations: ``vNNNN_name.sql`` is what is done, ``vNNNN_name.py`` tells Alembic so."""
