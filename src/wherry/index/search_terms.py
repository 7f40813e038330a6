"""What a search may ask for (rest-api §9), as plain values.

Not here: how it is planned (``search_plan``) and what a searched text means (``patterns``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wherry.model import Level


class LabelsConstraint(StrEnum):
    """How the labels of a resource relate to those of the search."""

    ALL = "All"
    """It has each of them."""
    ANY = "Any"
    """It has one of them at least; when none are named, every resource does."""
    NONE = "None"
    """It has none of them; when none are named, it has no label at all."""


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by. Resources without the value come first, as if it were the lowest."""

    tag: str = ""
    """``gggg,eeee``, of the level of the search or one above; "" = ``metadata``."""
    metadata: int = 0
    as_integer: bool = False
    """Compare metadata as whole numbers; what is none counts as absent."""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class ItemTerms:
    """What one item of a sequence must hold (PS3.4 §C.2.2.2.6)."""

    tags: tuple[tuple[str, str], ...] = ()
    """As those of ``Criteria``."""
    sequences: tuple[tuple[str, ItemTerms], ...] = ()


@dataclass(frozen=True, slots=True)
class Criteria:
    """One search. All conditions must hold."""

    level: Level
    tags: tuple[tuple[str, str], ...] = ()
    """``gggg,eeee`` and the searched text; an empty text is no condition."""
    metadata: tuple[tuple[int, str], ...] = ()
    """Number and searched text, in the same syntax."""
    labels: tuple[str, ...] = ()
    labels_constraint: LabelsConstraint = LabelsConstraint.ALL
    parents: tuple[tuple[Level, str], ...] = ()
    """Identifiers of resources that must be above, each of a level above ``level``."""
    order: tuple[Order, ...] = ()
    """Empty: in order of arrival, which also settles ties."""
    case_sensitive: bool = False
    dicom: bool = False
    """Match as DICOM does (PS3.4 §C.2.2.2), not as ``/tools/find``: case matters (in names with
    ``case_sensitive`` only), one of several values is enough, and a name matches without what may
    be left out of it."""
    sequences: tuple[tuple[str, ItemTerms], ...] = ()
    """Sequences of which one item must match; their values are in the stored files."""
    extra_tags: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    """Tags that the index holds beside the main ones (``ExtraMainDicomTags``), perhaps not of
    resources that are older than the setting."""
