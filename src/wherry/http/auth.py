"""Who may speak: HTTP Basic, and the loopback rule.

One answer for every kind of failure, and comparisons that take the same time whatever differs, so
that an attacker learns nothing. Not here: what a user may do (there are no roles yet).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from starlette.types import Scope

USERNAME = "wherry.username"
"""Key of the ASGI scope under which the name of the user stands."""


class Guard:
    """Decides whether a request may be looked at."""

    def __init__(self, users: Mapping[str, str] | None, *, remote_access_allowed: bool) -> None:
        """``users``: name → password; None = authentication is off."""
        self._remote_access_allowed = remote_access_allowed
        self._known = (
            None
            if users is None
            else [
                (name, _digest(f"{name}:{password}".encode())) for name, password in users.items()
            ]
        )

    def admits(self, scope: Scope) -> bool:
        """Whether the request may pass; notes the name of its user in the scope."""
        if not self._remote_access_allowed and not is_loopback(scope):
            return False
        if self._known is None:
            return True
        credentials = _basic_credentials(scope)
        if credentials is None:
            return False
        offered, admitted = _digest(credentials), None
        for name, expected in self._known:
            if hmac.compare_digest(offered, expected):
                admitted = name
        if admitted is None:
            return False
        scope[USERNAME] = admitted
        return True


def username(scope: Scope) -> str:
    """Name of the authenticated user; empty without authentication."""
    return str(scope.get(USERNAME, ""))


def remote_ip(scope: Scope) -> str:
    """Address of the caller, as text."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_loopback(scope: Scope) -> bool:
    """Whether the caller is on this machine. A Unix socket (no address) is."""
    return _is_loopback(remote_ip(scope))


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    if not address:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def _digest(credentials: bytes) -> bytes:
    return hashlib.sha256(credentials).digest()


def _basic_credentials(scope: Scope) -> bytes | None:
    """``name:password`` of the Authorization header (RFC 7617), when there is one."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() != b"basic":
                return None
            try:
                return base64.b64decode(token.strip(), validate=True)
            except binascii.Error:
                return None
    return None
