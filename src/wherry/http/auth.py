"""Who may speak: HTTP Basic, and the loopback rule.

One answer for every kind of failure, and comparisons that take the same time whatever differs, so
that an attacker learns nothing. To compute the hash of a password takes long on purpose; so its
result is remembered, and only one is computed at a time.

Not here: what a user may do (there are no roles yet); the form of hashes (``config.passwords``).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from starlette.types import Scope

from wherry import limits
from wherry.config.passwords import HashedPassword, looks_hashed, parse
from wherry.errors import Unavailable

USERNAME = "wherry.username"
"""Key of the ASGI scope under which the name of the user stands."""


class Guard:
    """Decides whether a request may be looked at."""

    def __init__(self, users: Mapping[str, str] | None, *, remote_access_allowed: bool) -> None:
        """``users``: name → password or hash of it; None = authentication is off."""
        self._remote_access_allowed = remote_access_allowed
        self._open = users is None
        self._key = os.urandom(32)
        self._known: list[tuple[str, bytes]] = []
        self._hashed: dict[bytes, HashedPassword] = {}
        for name, password in (users or {}).items():
            if looks_hashed(password):
                self._hashed[name.encode()] = parse(password)
            else:
                self._known.append((name, self._digest(f"{name}:{password}".encode())))
        self._verdicts: OrderedDict[bytes, str | None] = OrderedDict()
        """Digest of credentials → name of the user, or None: wrong."""
        self._lock = threading.Lock()
        self._computing = ThreadPoolExecutor(1, "passwords")
        self._waiting = 0

    def admits(self, scope: Scope) -> bool | None:
        """Whether the request may pass; notes the name of its user in the scope. None: a hash must
        be computed first, see ``settle``."""
        if not self._remote_access_allowed and not is_loopback(scope):
            return False
        if self._open:
            return True
        credentials = _basic_credentials(scope)
        if credentials is None:
            return False
        offered, admitted = self._digest(credentials), None
        for name, expected in self._known:
            if hmac.compare_digest(offered, expected):
                admitted = name
        if admitted is None and self._hashed:
            with self._lock:
                if offered not in self._verdicts:
                    return None
                self._verdicts.move_to_end(offered)
                admitted = self._verdicts[offered]
        if admitted is None:
            return False
        scope[USERNAME] = admitted
        return True

    async def settle(self, scope: Scope) -> bool:
        """Compute what ``admits`` lacked, in a thread of its own. Raises ``Unavailable`` when too
        many others wait for the same."""
        credentials = _basic_credentials(scope) or b""
        if self._waiting >= limits.PASSWORDS_WAITING:
            raise Unavailable("Too many passwords are being checked")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._computing, self._compute, credentials)
        finally:
            self._waiting -= 1
        return bool(self.admits(scope))

    def _compute(self, credentials: bytes) -> None:
        offered = self._digest(credentials)
        if offered in self._verdicts:
            return
        name, _, password = credentials.partition(b":")
        # For an unknown name, any hash: names must not be told by how long the refusal takes.
        hashed = self._hashed.get(name) or next(iter(self._hashed.values()))
        right = hashed.verify(password) and name in self._hashed
        self._remember(offered, name.decode() if right else None)

    def _remember(self, offered: bytes, verdict: str | None) -> None:
        with self._lock:
            self._verdicts[offered] = verdict
            while len(self._verdicts) > limits.PASSWORDS_REMEMBERED:
                # wrong ones first: who guesses must not make the right ones be computed anew
                wrong = next((key for key, name in self._verdicts.items() if name is None), None)
                self._verdicts.pop(next(iter(self._verdicts)) if wrong is None else wrong)

    def _digest(self, credentials: bytes) -> bytes:
        return hmac.digest(self._key, credentials, "sha256")


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
