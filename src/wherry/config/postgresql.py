"""Section ``PostgreSQL``, with the keys of Orthanc's plugin → a connection string of libpq."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def connection_string(values: Mapping[str, Any]) -> str | None:
    """The connection string; None when the section does not ask for the index.

    ``values`` are checked already. ``ConnectionUri`` wins over the single keys.
    """
    if not values.get("EnableIndex", False):
        return None
    if values.get("ConnectionUri"):
        return str(values["ConnectionUri"])
    parameters = {
        "host": values.get("Host", "localhost"),
        "port": values.get("Port", 5432),
        "dbname": values.get("Database") or None,
        "user": values.get("Username") or None,
        "password": values.get("Password") or None,
        "sslmode": "require" if values.get("EnableSsl") else None,
        "application_name": values.get("ApplicationName") or "wherry",
    }
    return " ".join(
        f"{name}={_quoted(str(value))}" for name, value in parameters.items() if value is not None
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
