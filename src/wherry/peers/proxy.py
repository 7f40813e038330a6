"""``HttpProxy``: the machine that carries outgoing requests to the others."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from wherry.errors import ConfigurationError

_PORT = 3128


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens, and what it wants to hear."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def read_proxy(text: str) -> Proxy | None:
    """``[http://][user:password@]host[:port]``; None when empty. Raises ``ConfigurationError``."""
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme != "http" or parts.path not in ("", "/"):
        raise ConfigurationError('"HttpProxy" must be [user:password@]host:port')
    headers = {}
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(credentials).decode('ascii')}"
    return Proxy(host, port, headers)
