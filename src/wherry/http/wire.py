"""The head of an answer as bytes: status line and headers, names as Orthanc writes them.

Case does not matter by RFC 9110 §5.1, but it does to scripts that look for ``Content-Type:``, and
to recordings. Not here: which headers an answer has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

_SPECIAL = {b"etag": b"ETag", b"www-authenticate": b"WWW-Authenticate", b"te": b"TE"}
"""Names that are not simply capitalised."""

_UNKNOWN_STATUS = b"HTTP/1.1 %d \r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

NO_SNIFFING = b"X-Content-Type-Options: nosniff\r\n"
"""Browsers take an answer for what its Content-Type says, whatever it looks like."""

type_headers = Iterable[tuple[bytes, bytes]]


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK``, with the end of the line."""
    return _STATUS_LINES.get(status) or _UNKNOWN_STATUS % status


def canonical(name: bytes) -> bytes:
    """``content-type`` → ``Content-Type``."""
    lower = name.lower()
    return _SPECIAL.get(lower) or b"-".join(word.capitalize() for word in lower.split(b"-"))


@lru_cache(maxsize=512)
def line(name: bytes, value: bytes) -> bytes:
    """One header line. Raises ``ValueError`` for what would break out of its line."""
    if not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise ValueError("A header holds characters that no header may hold")
    return canonical(name) + b": " + value + b"\r\n"
