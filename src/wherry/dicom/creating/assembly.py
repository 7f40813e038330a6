"""The bytes of a new file around its content: file meta information and data set, explicit little
endian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from wherry.dicom.charsets import character_set
from wherry.dicom.creating.draft import SOP_UID
from wherry.dicom.creating.fillings import SOP_CLASS, Filling
from wherry.dicom.creating.order import CHARACTER_SET
from wherry.dicom.editing.encoding import UnwritableError, Writing, elements
from wherry.dicom.elements import EXPLICIT_LITTLE
from wherry.dicom.meta import meta_information
from wherry.dicom.preamble import EXPLICIT

_ANY_TEXT: Final = "ISO_IR 192"
_NO_CLASS: Final = "1.2.276.0.7230010.3.1.0.1"
"""What DCMTK, and so Orthanc, writes into the file meta information of an instance without a SOP
class, which must have one (PS3.10 §7.1)."""


class Assembled(NamedTuple):
    """A file without its content."""

    before: bytes
    after: bytes


def assembled(
    values: Mapping[int, Any], filling: Filling | None, writing: Writing, title: str
) -> Assembled:
    """``writing``: the character set that ``values`` name; where that does not know a text, UTF-8
    takes its place. ``title``: of this application.

    Raises what ``encoding.element`` raises.
    """
    try:
        before, after = _data_set(values, filling, writing)
    except UnwritableError:
        utf8 = writing._replace(charset=character_set(_ANY_TEXT.encode()))
        before, after = _data_set({**values, CHARACTER_SET: _ANY_TEXT}, filling, utf8)
    sop_class = _text(values.get(SOP_CLASS)) or _NO_CLASS
    syntax = EXPLICIT if filling is None else filling.syntax
    meta = meta_information(sop_class, _text(values.get(SOP_UID)), syntax, title)
    return Assembled(meta + before, after)


def _data_set(
    values: Mapping[int, Any], filling: Filling | None, writing: Writing
) -> tuple[bytes, bytes]:
    if filling is None:
        return elements(values.items(), writing), b""
    lower = [(tag, value) for tag, value in values.items() if tag < filling.tag]
    upper = [(tag, value) for tag, value in values.items() if tag > filling.tag]
    return (
        elements(lower, writing) + filling.head,
        filling.tail + elements(upper, writing),
    )


def writing_of(charset: str, *, interprets: bool, creator: str) -> Writing:
    """How a data set with this value of (0008,0005) is written; "" = what is assumed."""
    found = character_set(charset.encode("ascii", "replace"))
    return Writing(EXPLICIT_LITTLE, found, creator, interprets)


def _text(value: Any) -> str:
    return value.strip(" \0") if isinstance(value, str) else ""
