"""Time, identifiers and randomness as replaceable functions.

Nothing else calls ``time.time()``, ``uuid4()`` or ``random``: a test replaces an attribute of
this module and everything follows. Import the module, not its names.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from functools import lru_cache


def now() -> datetime:
    """The present moment in UTC, aware."""
    return datetime.now(UTC)


def timestamp() -> float:
    """Seconds since 1970, for leases that other processes read."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that never steps back, for durations."""
    return time.monotonic()


def awake_or_not() -> float:
    """... that also runs while the machine is suspended, for what others may do meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def new_uuid() -> str:
    """A random UUID (RFC 9562 version 4), lower case."""
    return str(uuid.uuid4())


_POOL_BYTES = 2048
_pool: list[str] = []


def random_hex(digits: int) -> str:
    """``digits`` (at most 32) random lower-case hexadecimal digits from the operating system,
    which is asked once for many."""
    while True:
        try:
            return _pool.pop()[:digits]
        except IndexError:
            text = os.urandom(_POOL_BYTES).hex()
            _pool.extend(text[start : start + 32] for start in range(0, len(text), 32))


def random_share() -> float:
    """A random number of 0…1."""
    return int(random_hex(8), 16) / 0xFFFFFFFF


def orthanc_date(moment: datetime) -> str:
    """``YYYYMMDDTHHMMSS`` in UTC, Orthanc's date format."""
    return _date_of_second(moment.replace(microsecond=0))


@lru_cache(maxsize=16)
def _date_of_second(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return (
        f"{utc.year:04d}{utc.month:02d}{utc.day:02d}T{utc.hour:02d}{utc.minute:02d}{utc.second:02d}"
    )


def orthanc_date_precise(moment: datetime) -> str:
    """``YYYYMMDDTHHMMSS.ffffff`` in UTC; the fraction is left out when exactly 0 (jobs)."""
    text = orthanc_date(moment)
    return f"{text}.{moment.microsecond:06d}" if moment.microsecond else text
