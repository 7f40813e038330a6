"""Person names as DICOM matches them (PS3.4 §C.2.2.2, PS3.5 §6.2.1).

``Doe^Jane`` and ``Doe^Jane^^^`` are one name. A name in one spelling is found among the spellings
(component groups, between ``=``) of another: what is written in ASCII in the first, the alphabetic
one; other writings in each. With ``=`` in it, group is compared with group, and what is left out
means all. The Standard leaves it to us; Orthanc compares the whole value as it is.

Not here: what stands between backslashes, and when names are matched like this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.index.patterns import Exactly, Pattern, Present, Wildcard, type_condition

_NOTHING = "^ "
"""What may follow the last component that is there."""


@dataclass(frozen=True, slots=True)
class Name:
    """One searched name, folded, with or without wildcards."""

    text: str

    def sql(self, column: str) -> type_condition:
        """Holds for whatever matches, and when it is not ``is_certain`` for more."""
        conditions = [pattern.sql(column) for pattern in self._wider()]
        text = " OR ".join(sql for sql, _ in conditions)
        return f"({text})", [param for _, params in conditions for param in params]

    def _wider(self) -> list[Pattern]:
        first, equals, _ = self.text.partition("=")
        first = first.rstrip(_NOTHING)
        if not first.strip("*"):
            return [Present()]
        # One range of the index for what may follow: of several it would make none.
        found: list[Pattern] = [Wildcard(first.rstrip("*") + "*")]
        if not equals and not first.isascii():
            found.append(Wildcard("*=" + first.rstrip("*") + "*"))
        return found

    def matches(self, value: str) -> bool:
        """Whether a value, folded like the name, is meant."""
        have = [group.rstrip(_NOTHING) for group in value.split("=")]
        if "=" in self.text:
            asked = self.text.split("=")
            have += [""] * (len(asked) - len(have))
            pairs = zip(asked, have, strict=False)
            return all(not group.rstrip(_NOTHING) or _same(group, one) for group, one in pairs)
        spellings = have[:1] if self.text.isascii() else have
        whole = "=".join(have).rstrip("=")
        return any(_same(self.text, one) for one in (value, whole, *spellings))

    @property
    def selective(self) -> int:
        """As of ``Pattern``."""
        if not _is_wildcard(self.text):
            return 2 if self.text.isascii() and "=" not in self.text else 0
        return 1 if self.text.isascii() and not self.text.startswith(("*", "?", "=")) else 0

    @property
    def is_certain(self) -> bool:
        """Whether the condition in SQL holds for nothing else."""
        is_short = len(self.text) <= limits.SEARCH_KEY_CHARACTERS
        begins = self.text.endswith("*") and not {"=", "?"}.intersection(self.text)
        return is_short and begins and self.text.isascii()


def as_names(patterns: Iterable[Pattern]) -> list[Pattern]:
    """The same alternatives as names. Raises ``ParameterOutOfRange`` for what passes a bound."""
    found: list[Pattern] = []
    for pattern in patterns:
        if isinstance(pattern, Exactly):
            found += map(Name, sorted(pattern.texts))
        else:
            found.append(Name(pattern.text) if isinstance(pattern, Wildcard) else pattern)
    if len(found) > limits.SEARCH_PATTERNS:
        raise ParameterOutOfRange("A search for too many names")
    if any(isinstance(p, Name) and len(p.text) > limits.SEARCH_WILDCARD_CHARACTERS for p in found):
        raise ParameterOutOfRange("A searched name is too long")
    return found


def _is_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def _same(asked: str, group: str) -> bool:
    asked = asked.rstrip(_NOTHING)
    return Wildcard(asked).matches(group) if _is_wildcard(asked) else asked == group
