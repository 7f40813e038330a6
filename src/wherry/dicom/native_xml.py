"""The Native DICOM Model (PS3.19 §A.1): ``application/dicom+xml``, as pieces of bytes.

Bulk is inline, as base64. Not here: what the values are (``native``).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from wherry.dicom.elements import type_data
from wherry.dicom.json import readable
from wherry.dicom.native import Attribute, attributes, type_value
from wherry.dicom.tree import Tree

_HEAD: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>\n'
    b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
    b' xsi:schemaLocation="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
    b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
)
_FOOT: Final = b"</NativeDicomModel>\n"
_NAMES: Final = ("Alphabetic", "Ideographic", "Phonetic")
_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_FORBIDDEN: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even escaped."""


def to_dicom_xml(data: type_data) -> Generator[bytes, None, None]:
    """The file ``data``, without its file meta information. Raises ``BadFileFormat``."""
    with readable(data):
        tree = Tree(data, whole=True)
    yield _HEAD
    yield from _data_set(attributes(tree), "  ")
    yield _FOOT


def _data_set(found: Iterator[Attribute], indent: str) -> Generator[bytes, None, None]:
    for attribute in found:
        head = f'{indent}<DicomAttribute tag="{attribute.tag:08X}" vr="{attribute.vr}"'
        if attribute.keyword:
            head += f" keyword={quoteattr(attribute.keyword)}"
        if attribute.creator:
            head += f" privateCreator={quoteattr(_clean(attribute.creator))}"
        if attribute.bulk is None and not attribute.items and not attribute.values:
            yield f"{head} />\n".encode()
            continue
        yield f"{head}>\n".encode()
        yield from _content(attribute, indent + "  ")
        yield f"{indent}</DicomAttribute>\n".encode()


def _content(attribute: Attribute, indent: str) -> Generator[bytes, None, None]:
    if attribute.bulk is not None:
        yield f"{indent}<InlineBinary>".encode()
        yield from attribute.bulk.pieces()
        yield b"</InlineBinary>\n"
        return
    for number, item in enumerate(attribute.items or (), 1):
        yield f'{indent}<Item number="{number}">\n'.encode()
        yield from _data_set(item, indent + "  ")
        yield f"{indent}</Item>\n".encode()
    for number, value in enumerate(attribute.values, 1):
        if attribute.vr == "PN" and isinstance(value, str):
            yield _person(value, number, indent).encode()
        elif value is not None:
            shown = escape(_clean(_text(value)))
            yield f'{indent}<Value number="{number}">{shown}</Value>\n'.encode()


def _person(name: str, number: int, indent: str) -> str:
    lines = [f'{indent}<PersonName number="{number}">\n']
    for group, text in zip(_NAMES, name.split("=", 2), strict=False):
        if not text:
            continue
        lines.append(f"{indent}  <{group}>\n")
        for part, word in zip(_PARTS, text.split("^"), strict=False):
            if word:
                lines.append(f"{indent}    <{part}>{escape(_clean(word))}</{part}>\n")
        lines.append(f"{indent}  </{group}>\n")
    lines.append(f"{indent}</PersonName>\n")
    return "".join(lines)


def _text(value: type_value) -> str:
    """Floating point in as few digits as tell it apart."""
    return str(value)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("", text)
