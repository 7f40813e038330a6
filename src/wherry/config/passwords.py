"""Hashed passwords in ``RegisteredUsers``: PHC strings of scrypt and PBKDF2.

    $scrypt$ln=15,r=8,p=1$SALT$HASH              (RFC 7914)
    $pbkdf2-sha256$i=600000$SALT$HASH            (RFC 8018)
    $pbkdf2-sha512$i=210000$SALT$HASH

SALT and HASH in base64 without padding, as the PHC string format wants, and as passlib and others
write them. ``wherry hash-password`` makes one. A value that does not begin like one of these is a
password in clear, as in Orthanc.

Not here: who is let in (``http.auth``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import cached_property

from wherry import clock, limits

_SCHEMES = re.compile(r"\$(scrypt|pbkdf2-sha256|pbkdf2-sha512)\$")
_PHC = re.compile(r"\$([a-z0-9-]+)\$([A-Za-z0-9=,.-]+)\$([A-Za-z0-9+/.]+)\$([A-Za-z0-9+/.]+)")
_LN, _R, _P = 15, 8, 1
"""32 MiB and about 0.1 s for each password that is tried (OWASP's least for 32 MiB is p=3)."""
_SALT_BYTES, _HASH_BYTES = 16, 32


@dataclass(frozen=True)
class HashedPassword:
    """What is known of a password. Equal passwords have unequal hashes."""

    scheme: str
    cost: tuple[int, ...]
    """scrypt: ln, r, p; PBKDF2: iterations."""
    salt: bytes
    digest: bytes

    def verify(self, password: bytes) -> bool:
        """Whether this is the password. Takes long on purpose; blocking."""
        return hmac.compare_digest(self._derive(password), self.digest)

    def _derive(self, password: bytes) -> bytes:
        size = len(self.digest)
        if self.scheme == "scrypt":
            ln, r, p = self.cost
            memory = 128 * r * (2**ln + p + 2) + limits.MIB
            return hashlib.scrypt(
                password, salt=self.salt, n=2**ln, r=r, p=p, maxmem=memory, dklen=size
            )
        algorithm = self.scheme.removeprefix("pbkdf2-")
        return hashlib.pbkdf2_hmac(algorithm, password, self.salt, self.cost[0], size)

    @cached_property
    def text(self) -> str:
        """The PHC string."""
        if self.scheme == "scrypt":
            cost = "ln={},r={},p={}".format(*self.cost)
        else:
            cost = f"i={self.cost[0]}"
        return f"${self.scheme}${cost}${_encode(self.salt)}${_encode(self.digest)}"


def looks_hashed(value: str) -> bool:
    """Whether a value of ``RegisteredUsers`` is meant as a hash."""
    return _SCHEMES.match(value) is not None


def parse(value: str) -> HashedPassword:
    """Read a PHC string. Raises ``ValueError`` with the reason, never with the value."""
    found = _PHC.fullmatch(value)
    if found is None:
        raise ValueError("is no complete PHC string")
    scheme, cost, salt, digest = found.groups()
    hashed = HashedPassword(scheme, _cost(scheme, cost), _decode(salt), _decode(digest))
    if not (8 <= len(hashed.salt) <= 1024 and 16 <= len(hashed.digest) <= 128):
        raise ValueError("has a salt or a hash of an unusual length")
    return hashed


def hash_password(password: str) -> HashedPassword:
    """A new hash, with a salt of its own."""
    salt = bytes.fromhex(clock.random_hex(2 * _SALT_BYTES))
    blank = HashedPassword("scrypt", (_LN, _R, _P), salt, bytes(_HASH_BYTES))
    return HashedPassword("scrypt", blank.cost, salt, blank._derive(password.encode()))


def _cost(scheme: str, text: str) -> tuple[int, ...]:
    try:
        pairs = dict(part.split("=", 1) for part in text.split(","))
        values = {name: int(number) for name, number in pairs.items()}
        if scheme == "scrypt":
            ln, r, p = (values.pop(name) for name in ("ln", "r", "p"))
            known = 10 <= ln <= 20 and 1 <= r <= 32 and 1 <= p <= 16
            if not known or 128 * r * 2**ln > limits.PASSWORD_HASH_BYTES:
                raise ValueError("costs too little or too much")
            cost: tuple[int, ...] = (ln, r, p)
        else:
            cost = (values.pop("i"),)
            if not 1_000 <= cost[0] <= limits.PASSWORD_HASH_ITERATIONS:
                raise ValueError("costs too little or too much")
    except KeyError:
        raise ValueError("lacks a parameter") from None
    if values:
        raise ValueError("has a parameter that is not known")
    return cost


def _encode(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """passlib writes ``.`` for ``+``."""
    plain = text.replace(".", "+")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise ValueError("holds what is no base64") from None
