"""The order of the slices of a series: along their normal, or by their numbers.

What: instances with parallel planes at different places are a ``Volume``, ordered by the distance
along the normal of the series (PS3.3 §C.7.6.2.1.1); all others are a ``Sequence``, ordered by
their index. Why: viewers ask the server instead of looking into every file.
Not here: where the values come from, and the frames of one instance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from wherry.errors import CannotOrderSlices

_EPSILON: Final = 1.2e-6
"""Ten times the precision of 32-bit floating point: nearer than this is the same."""

_POSITION, _ORIENTATION = "0020,0032", "0020,0037"

type_vector = tuple[float, float, float]


class Kind(StrEnum):
    """What the slices make together."""

    VOLUME = "Volume"
    SEQUENCE = "Sequence"


@dataclass(frozen=True, slots=True)
class Slice:
    """One instance, as far as its place matters."""

    orthanc_id: str
    position: str
    """ImagePositionPatient, or ""."""
    orientation: str
    """ImageOrientationPatient, or ""."""
    index: int | None
    """``IndexInSeries``."""


def order(slices: Sequence[Slice], orientation: str) -> tuple[Kind, list[Slice]]:
    """The slices in order; ``orientation`` is that of the series, "" when it has none.

    Raises ``CannotOrderSlices`` when there is neither geometry nor a number in each.
    """
    normal = _normal(orientation)
    if normal is not None and len(slices) > 1 and (placed := _along(slices, normal)) is not None:
        return Kind.VOLUME, placed
    if len(slices) <= 1:
        return Kind.SEQUENCE, list(slices)
    numbered = [(one.index, one) for one in slices if one.index is not None]
    if len(numbered) < len(slices):
        raise CannotOrderSlices
    numbered.sort(key=lambda pair: pair[0])
    return Kind.SEQUENCE, [one for _, one in numbered]


def _along(slices: Sequence[Slice], normal: type_vector) -> list[Slice] | None:
    """The slices by their distance along ``normal``; None when that does not order them."""
    placed: list[tuple[float, Slice]] = []
    for one in slices:
        place = _numbers(one.position, 3)
        own = _normal(one.orientation)
        if place is None or (own is not None and abs(_dot(own, normal)) < 1 - _EPSILON):
            return None
        placed.append((_dot(place, normal), one))
    placed.sort(key=lambda pair: pair[0])
    if any(b[0] - a[0] < _EPSILON for a, b in pairwise(placed)):
        return None
    return [one for _, one in placed]


def _normal(orientation: str) -> type_vector | None:
    """The unit normal of a plane, or None when six numbers do not span one."""
    cosines = _numbers(orientation, 6)
    if cosines is None:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    size = math.sqrt(x * x + y * y + z * z)
    if not _EPSILON < size < math.inf:
        return None
    return x / size, y / size, z / size


def _numbers(text: str, count: int) -> Sequence[float] | None:
    parts = text.split("\\")
    if len(parts) != count:
        return None
    try:
        found = [float(part) for part in parts]
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
