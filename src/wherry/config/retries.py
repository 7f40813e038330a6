"""``Wherry.JobRetries``: how often and how fast jobs are tried again after a temporary failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.config import place as check
from wherry.config.place import Place

_DAY_S: Final = 24 * 3600
_DEFAULT: Final = "Default"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Of one type of job."""

    attempts: int = 8
    """Further attempts after the first that failed, as long as none of them comes any further."""
    first_delay_s: int = 2
    """Pause before the first of them; doubled each time."""
    longest_delay_s: int = 300


@dataclass(frozen=True, slots=True)
class JobRetries:
    """The policies of all types."""

    default: RetryPolicy = field(default_factory=RetryPolicy)
    of_type: Mapping[str, RetryPolicy] = field(default_factory=dict)

    def policy(self, type: str) -> RetryPolicy:
        """The policy for a type of job."""
        return self.of_type.get(type, self.default)


def job_retries(value: Any, place: Place) -> JobRetries:
    """Read the section: type of job, or ``Default``, → ``Attempts``, ``FirstDelay``,
    ``LongestDelay``; what is not said is as in ``Default``. Raises ``ConfigurationError``."""
    section = check.mapping(value, place)
    default = _policy(section.get(_DEFAULT, {}), place.inner(_DEFAULT), RetryPolicy())
    return JobRetries(
        default,
        {
            name: _policy(entry, place.inner(name), default)
            for name, entry in section.items()
            if name != _DEFAULT
        },
    )


def _policy(value: Any, place: Place, otherwise: RetryPolicy) -> RetryPolicy:
    found = check.mapping(value, place)
    for name in found:
        if name not in ("Attempts", "FirstDelay", "LongestDelay"):
            raise place.inner(name).error("is none of Attempts, FirstDelay, LongestDelay")

    def number(name: str, low: int, high: int, default: int) -> int:
        return check.integer(found.get(name, default), place.inner(name), low, high)

    return RetryPolicy(
        number("Attempts", 0, 10_000, otherwise.attempts),
        number("FirstDelay", 1, _DAY_S, otherwise.first_delay_s),
        number("LongestDelay", 1, _DAY_S, otherwise.longest_delay_s),
    )
