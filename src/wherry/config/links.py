"""``Transfers.Peers``: how fast a transfer to or from a peer may be, and at which hours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Final

from wherry.config import place as check
from wherry.config.place import Place

_MBIT_BYTES: Final = 125_000
_MOST_MBIT: Final = 1_000_000
_HOUR: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the day, in the local time of the server."""

    begin: time
    end: time
    """The first moment after it; not later than ``begin`` = on the next day."""

    def hold(self, moment: time) -> bool:
        """Whether a moment lies in it."""
        if self.begin < self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end


@dataclass(frozen=True, slots=True)
class Hours(Span):
    """What may travel in a part of the day."""

    bytes_per_s: float
    """0 = nothing travels."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Of one peer."""

    bytes_per_s: float | None = None
    """None = no limit."""
    schedule: Sequence[Hours] = ()
    """The first that holds takes the place of ``bytes_per_s``."""

    def at(self, moment: datetime) -> float | None:
        """Bytes a second that are allowed; None = no limit."""
        for hours in self.schedule:
            if hours.hold(moment.time()):
                return hours.bytes_per_s
        return self.bytes_per_s


def link_limits(value: Any, place: Place) -> Mapping[str, LinkLimits]:
    """Read the section: peer → ``RateLimit`` (Mbit/s), ``Schedule``. Raises
    ``ConfigurationError``."""
    return {
        name: _peer(entry, place.inner(name)) for name, entry in check.mapping(value, place).items()
    }


def _peer(value: Any, place: Place) -> LinkLimits:
    found = _members(value, place, "RateLimit", "Schedule")
    schedule = found.get("Schedule", [])
    if not isinstance(schedule, list):
        raise place.inner("Schedule").wrong_type("a list", schedule)
    limit = found.get("RateLimit")
    return LinkLimits(
        None if limit is None else _rate(limit, place.inner("RateLimit"), least=1e-3),
        tuple(
            _hours(entry, place.inner(f"Schedule[{number}]"))
            for number, entry in enumerate(schedule)
        ),
    )


def _hours(value: Any, place: Place) -> Hours:
    found = _members(value, place, "From", "To", "RateLimit")
    for name in ("From", "To", "RateLimit"):
        if name not in found:
            raise place.inner(name).error("must be there")
    return Hours(
        hour(found["From"], place.inner("From")),
        hour(found["To"], place.inner("To")),
        _rate(found["RateLimit"], place.inner("RateLimit"), least=0.0),
    )


def _members(value: Any, place: Place, *names: str) -> Mapping[str, Any]:
    found = check.mapping(value, place)
    for name in found:
        if name not in names:
            raise place.inner(name).error(f"is none of {', '.join(names)}")
    return found


def hour(value: Any, place: Place) -> time:
    """A time of the day. Raises ``ConfigurationError``."""
    if not isinstance(value, str) or not _HOUR.fullmatch(value):
        raise place.error('must be a time such as "07:30"')
    return time.min if value == "24:00" else time.fromisoformat(value)


def _rate(value: Any, place: Place, *, least: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise place.wrong_type("a number of Mbit/s", value)
    if value != 0 or least:
        least = max(least, 1e-3)
    if not least <= value <= _MOST_MBIT:
        raise place.error(f"must be between {least:g} and {_MOST_MBIT} Mbit/s")
    return value * _MBIT_BYTES
