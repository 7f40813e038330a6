"""Is a series complete? What its first instance announces against what is there (rest-api §3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wherry.index.database import Transaction

_PAIRS = (
    ("0020,0105", "0020,1002"),  # NumberOfTemporalPositions × ImagesInAcquisition
    ("0054,0081", "0054,0101"),  # NumberOfSlices × NumberOfTimeSlices
)
_CARDIAC = "0018,1090"
_INSTANCE_NUMBER = "0020,0013"
_IMAGE_INDEX = "0054,1330"
_LARGEST = 2**31 - 1


def expected_instances(tags: Sequence[dict[str, str]]) -> int | None:
    """``ExpectedNumberOfInstances`` of the series of an instance with these main tags."""
    series = tags[2]
    for first, second in _PAIRS:
        if first in series and second in series:
            factors = number(series[first]), number(series[second])
            if factors[0] is None or factors[1] is None:
                return None
            product = factors[0] * factors[1]
            return product if 0 < product <= _LARGEST else None
    cardiac = number(series.get(_CARDIAC, ""))
    return cardiac if cardiac is not None and cardiac > 0 else None


def index_in_series(tags: dict[str, str]) -> int | None:
    """``IndexInSeries`` of an instance with these main tags."""
    text = tags.get(_INSTANCE_NUMBER)
    if text is None:
        text = tags.get(_IMAGE_INDEX)
    return None if text is None else number(text)


def statuses(tx: Transaction, series: Collection[int]) -> dict[int, str]:
    """``Missing``, ``Complete`` or ``Inconsistent`` of the series (rows) that announce a number.
    Instances without an index do not count, as in Orthanc 1.10.1."""
    rows = tx.all(
        "SELECT s.id, s.expected_instances, count(i.index_in_series),"
        " count(DISTINCT i.index_in_series), min(i.index_in_series), max(i.index_in_series)"
        " FROM series s JOIN instances i ON i.parent = s.id"
        " WHERE s.id IN ? AND s.expected_instances IS NOT NULL"
        " GROUP BY s.id, s.expected_instances",
        (list(series),),
    )
    return {row[0]: _status(*row[1:]) for row in rows}


def complete(tx: Transaction, series: Collection[int]) -> list[int]:
    """Those of these series (rows) that are complete."""
    return [row for row, status in statuses(tx, series).items() if status == "Complete"]


def _status(
    expected: int, indexed: int, distinct: int, lowest: int | None, highest: int | None
) -> str:
    if lowest is None or highest is None:
        return "Missing"
    if lowest < 1 or highest > expected or distinct < indexed:
        return "Inconsistent"
    return "Complete" if distinct == expected else "Missing"


def number(text: str) -> int | None:
    """The integer of an IS or US value; None when it is none."""
    if len(text) > 16:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    return value if -_LARGEST <= value <= _LARGEST else None
