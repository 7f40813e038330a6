"""Dates with times (VR DT, PS3.5 §6.2): made comparable as texts, and ranges of them.

``YYYYMMDDHHMMSS.FFFFFF&ZZXX``: any part but the year may be left out, from the end. A value with an
offset is compared by its time in UTC, one without as if it were in UTC: what else it could mean,
only the data set that holds it knows.

Not here: dates and times that stand alone (``keys``).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_OFFSET: Final = r"[+-][0-9]{4}"
_MOMENT: Final = re.compile(rf"([0-9]{{4,14}})((?:\.[0-9]{{1,6}})?)({_OFFSET})?")
_RANGE: Final = re.compile(
    rf"([0-9]{{4,14}}(?:\.[0-9]{{1,6}})?(?:{_OFFSET})?)?-([0-9]{{4,14}}(?:\.[0-9]{{1,6}})?(?:{_OFFSET})?)?"
)
_FORM: Final = "%Y%m%d%H%M%S"
_HOUR: Final = 10
"""Digits of a date with an hour: an offset means nothing without one."""
_FURTHEST: Final = range(-1200, 1401)
"""Offsets that there are: what else follows a hyphen is the year in which a range ends
(PS3.4 §C.2.2.2.5.3)."""


def in_utc(text: str) -> str:
    """A moment without its offset; what is none stays as it is."""
    match = _MOMENT.fullmatch(text)
    if match is None or match[3] is None or int(match[3]) not in _FURTHEST:
        return text
    digits, fraction, offset = match[1], match[2], match[3]
    if len(digits) < _HOUR or len(digits) % 2:
        return digits + fraction
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    shift = timedelta(minutes=-minutes if offset[0] == "+" else minutes)
    try:
        moved = datetime.strptime(digits + "0000"[: 14 - len(digits)], _FORM) + shift  # noqa: DTZ007
    except (ValueError, OverflowError):
        return digits + fraction
    return moved.strftime(_FORM)[: len(digits)] + fraction


def ends_of(text: str) -> tuple[str, str] | None:
    """The two ends of a range, comparable, an open one empty; None when ``text`` is no range."""
    match = _MOMENT.fullmatch(text)
    if match is not None and (match[3] is None or int(match[3]) in _FURTHEST):
        return None
    match = _RANGE.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    return in_utc(match[1] or ""), in_utc(match[2] or "")
