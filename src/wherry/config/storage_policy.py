"""``Wherry.StoragePolicy``: what is moved between the file system and the object storage when
nobody orders it. Without the section nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wherry import limits
from wherry.config import place as check
from wherry.config.links import Span, hour
from wherry.config.place import Place

_KNOWN: Final = (
    "MoveAfterDays",
    "KeepLocalGB",
    "MoveWhenStable",
    "PrefetchWithNewStudy",
    "Interval",
    "From",
    "To",
)
_MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class StoragePolicy:
    """The rules; all off by default."""

    move_after_days: int = 0
    """Studies that were neither read nor added to for so long go to the object storage; 0 = none
    does (``MoveAfterDays``)."""
    keep_local_bytes: int = 0
    """So much stays in the file system: beyond it, the studies that were used longest ago go to the
    object storage; 0 = no bound (``KeepLocalGB``)."""
    prefetch: bool = False
    """When a new study of a patient arrives, the older ones come to the file system
    (``PrefetchWithNewStudy``)."""
    interval_s: int = 3600
    """How often it is looked for studies that have to go (``Interval``, minutes)."""
    when_stable: bool = False
    """Studies that have become stable go to the object storage at once, and stay there unless they
    are brought back (``MoveWhenStable``)."""
    hours: Span | None = None
    """When studies may go; None = at any time (``From``, ``To``)."""

    @property
    def takes_away(self) -> bool:
        """Whether studies may have to go."""
        return bool(self.move_after_days or self.keep_local_bytes or self.when_stable)

    def may_take_away(self, moment: datetime) -> bool:
        """Whether studies may go now, in the local time of the server."""
        return self.takes_away and (self.hours is None or self.hours.hold(moment.time()))


def storage_policy(value: Any, place: Place) -> StoragePolicy:
    """Read the section. Raises ``ConfigurationError``."""
    found = check.mapping(value, place)
    for name in found:
        if name not in _KNOWN:
            raise place.inner(name).error(f"is none of {', '.join(_KNOWN)}")

    def number(name: str, low: int, high: int, default: int) -> int:
        return check.integer(found.get(name, default), place.inner(name), low, high)

    return StoragePolicy(
        number("MoveAfterDays", 0, 36_500, 0),
        number("KeepLocalGB", 0, 1_000_000, 0) * limits.GIB,
        check.boolean(
            found.get("PrefetchWithNewStudy", False), place.inner("PrefetchWithNewStudy")
        ),
        number("Interval", 1, 7 * 24 * 60, 60) * _MINUTE_S,
        check.boolean(found.get("MoveWhenStable", False), place.inner("MoveWhenStable")),
        _hours(found, place),
    )


def _hours(found: Mapping[str, Any], place: Place) -> Span | None:
    if "From" not in found and "To" not in found:
        return None
    for name in ("From", "To"):
        if name not in found:
            raise place.inner(name).error("must be there")
    return Span(
        hour(found["From"], place.inner("From")),
        hour(found["To"], place.inner("To")),
    )
