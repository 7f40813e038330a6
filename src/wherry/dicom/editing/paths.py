"""The way to an attribute: ``PatientName``, ``0010-0010``, ``Seq[0].Tag``, ``Seq[*].Other[1].Tag``.

What: a tag, and the sequences and items above it. Why: the fields ``Replace``, ``Remove`` and
``Keep`` of the REST API. Not here: what is done at the end of a path (``rules``).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wherry import limits
from wherry.dicom.tags import shown, tag_of
from wherry.errors import ParameterOutOfRange

_STEP: Final = re.compile(r"([^\[\]]*)(\[.*\])?", re.DOTALL)
_INDEX: Final = re.compile(r"\[(-?[0-9]{1,9}|\*)\]")


class Step(NamedTuple):
    """A sequence, and the item in it that the path goes through."""

    tag: int
    item: int | None
    """None = all of them."""


class Path(NamedTuple):
    """Where an attribute is."""

    parents: tuple[Step, ...]
    """From the outside in; () = in the data set of the file."""
    tag: int

    def __str__(self) -> str:
        above = "".join(f"{shown(tag)}[{_item(item)}]." for tag, item in self.parents)
        return above + shown(self.tag)


def path_of(text: str) -> Path:
    """The path that ``text`` names; tags are written as ``tags.tag_of`` knows them, or in brackets.

    Raises ``UnknownDicomTag``, ``ParameterOutOfRange`` (an index that is none, a path that is
    deeper than ``limits.DICOM_NESTING``).
    """
    *above, last = text.split(".")
    if len(above) > limits.DICOM_NESTING:
        raise ParameterOutOfRange(f"A path of more than {limits.DICOM_NESTING} sequences")
    return Path(tuple(map(_step, above)), tag_number(last))


def tag_number(name: str) -> int:
    """The tag that ``name`` names. Raises ``UnknownDicomTag``."""
    if name.startswith("(") and name.endswith(")"):
        name = name[1:-1]
    return int(tag_of(name).replace(",", ""), 16)


def _step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if match is None or match[2] is None:
        raise ParameterOutOfRange("Parent path doesn't contain an index")
    index = _INDEX.fullmatch(match[2])
    if index is None:
        raise ParameterOutOfRange(f"Not a valid index in parent path: {match[2][:32]}")
    if index[1].startswith("-"):
        raise ParameterOutOfRange(f"Negative index in parent path: {index[1]}")
    return Step(tag_number(match[1]), None if index[1] == "*" else int(index[1]))


def _item(item: int | None) -> str:
    return "*" if item is None else str(item)
