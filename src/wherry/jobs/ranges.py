"""A set of small numbers as text: ``0-4,7,9-12``. How acknowledged buckets are remembered."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RANGES = re.compile(r"(\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*)?")


def to_text(numbers: Iterable[int]) -> str:
    """The shortest form; empty for none."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in spans(numbers)
    )


def spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers, ascending."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def parse_spans(text: str) -> list[tuple[int, int]]:
    """The runs of a text. Raises ``ValueError``."""
    if not _RANGES.fullmatch(text):
        raise ValueError("not a set of numbers")
    found = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.append((int(first), int(last or first)))
    return found


def parse(text: str, below: int) -> set[int]:
    """The numbers of a text, all less than ``below``. Raises ``ValueError``."""
    numbers: set[int] = set()
    for first, last in parse_spans(text):
        if last >= below:
            raise ValueError("number out of range")
        numbers.update(range(first, last + 1))
    return numbers
