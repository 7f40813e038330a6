"""DICOM JSON (PS3.18 §F.2): ``application/dicom+json``, as pieces of bytes.

Bulk is inline, as base64: one answer, no second request. Not here: what the values are
(``native``).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any

import orjson

from wherry.dicom.elements import type_data
from wherry.dicom.json import readable
from wherry.dicom.native import Attribute, attributes, type_value
from wherry.dicom.tree import Tree

_NAMES = ("Alphabetic", "Ideographic", "Phonetic")


def to_dicom_json(data: type_data) -> Generator[bytes, None, None]:
    """The file ``data``, without its file meta information. Raises ``BadFileFormat``."""
    with readable(data):
        tree = Tree(data, whole=True)
    yield from _data_set(attributes(tree))


def _data_set(found: Iterator[Attribute]) -> Generator[bytes, None, None]:
    before = b"{"
    for attribute in found:
        yield before + b'"%08X":{"vr":"%s"' % (attribute.tag, attribute.vr.encode())
        before = b","
        if attribute.bulk is not None:
            yield b',"InlineBinary":"'
            yield from attribute.bulk.pieces()
            yield b'"'
        elif attribute.items:
            yield b',"Value":'
            separator = b"["
            for item in attribute.items:
                yield separator
                yield from _data_set(item)
                separator = b","
            yield b"]"
        elif attribute.values:
            values = [_shown(value, attribute.vr) for value in attribute.values]
            yield b',"Value":' + orjson.dumps(values)
        yield b"}"
    yield b"{}" if before == b"{" else b"}"


def _shown(value: type_value, vr: str) -> Any:
    if vr == "PN" and isinstance(value, str):
        groups = zip(_NAMES, value.split("=", 2), strict=False)
        return {name: text.rstrip(" ") for name, text in groups if text}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
