"""Numbers, moments and a server's texts as a person reads them in a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from wherry import limits
from wherry.cli.filling import printable
from wherry.errors import NetworkProtocol

_CREDENTIALS = re.compile(r"(?<=://)(?:\\.|[^/\s\"\\])*@")
_DATE = re.compile(r"(\d{8}T\d{6})(?:\.(\d{1,6}))?")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def harmless(text: str) -> str:
    """A server's text without what could steer a terminal, without user and password in an
    address, and not endless."""
    return _CREDENTIALS.sub("", printable(text[: limits.PEER_ERROR_CHARACTERS]))


def as_json(value: Any) -> str:
    """Indented JSON that is safe to print: what could steer a terminal is written as ``\\u001b``,
    user and password in an address are left out. Raises ``NetworkProtocol`` for a nest of JSON
    that nobody could read."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError as error:
        raise NetworkProtocol("The server answers with JSON that is nested too deeply") from error
    if not text.isascii() or "\x7f" in text:
        text = "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)
    return _CREDENTIALS.sub("", text)


def size(number: float) -> str:
    """``512 B``, ``1.23 MB``, ``45.6 GB``: decimal units, three digits."""
    index = 0
    while number >= 999.5 and index < len(_UNITS) - 1:
        number, index = number / 1000, index + 1
    digits = 0 if index == 0 or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {_UNITS[index]}"


def part(done: float, total: float) -> str:
    """``120 of 512 MB``."""
    first, second = size(done).split(), size(total).split()
    return f"{first[0] if first[1] == second[1] else ' '.join(first)} of {' '.join(second)}"


def duration(seconds: float) -> str:
    """``0.3s``, ``12s``, ``3m20s``, ``2h05m``, ``3d04h``."""
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{whole:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def moment(date: datetime | None, now: datetime) -> str:
    """Local time; the day too when it is not today."""
    if date is None:
        return ""
    local, today = date.astimezone(), now.astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M")


def count(number: int, name: str) -> str:
    """``1 study``, ``2 studies``, ``3 series``."""
    if number == 1 or name == "series":
        return f"{number} {name}"
    return f"{number} {name[:-1]}ies" if name.endswith("y") else f"{number} {name}s"


def parse_date(value: Any) -> datetime | None:
    """Orthanc's ``YYYYMMDDTHHMMSS[.ffffff]`` in UTC; None when it is none."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        whole = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return whole + timedelta(microseconds=int((match[2] or "").ljust(6, "0")))


def _escaped(character: str) -> str:
    code = character.encode("utf-16-be")
    return "".join(f"\\u{code[n : n + 2].hex()}" for n in range(0, len(code), 2))
