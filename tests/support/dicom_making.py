"""Data sets put together from nested values in any native encoding, with every liberty that the
Standard gives: lengths defined or not, UN in place of a VR, group lengths."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from tests.support.dicom_bytes import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, implicit


@dataclass(frozen=True)
class Made:
    """One element: ``value`` is bytes, or the items of a sequence."""

    tag: int
    vr: str
    value: bytes | tuple[tuple[Made, ...], ...]
    undefined: bool = False
    """Whether sequence and items have no length."""
    unknown: bool = False
    """Written as UN, with implicit content."""


def written(
    elements: Iterable[Made], *, order: str = "<", vrs: bool = True, group_lengths: bool = False
) -> bytes:
    """The data set of these elements."""
    groups = groupby(sorted(elements, key=lambda one: one.tag), key=lambda one: one.tag >> 16)
    whole = b""
    for group, members in groups:
        content = b"".join(_element(one, order, vrs) for one in members)
        if group_lengths:
            length = struct.pack(order + "I", len(content))
            whole += _head(group << 16, "UL", length, None, order, vrs)
        whole += content
    return whole


def _element(one: Made, order: str, vrs: bool) -> bytes:
    vr = "UN" if one.unknown else one.vr
    if isinstance(one.value, bytes):
        value = one.value + (b"\0" if one.vr in ("UI", "OB", "UN") else b" ") * (len(one.value) % 2)
        return _head(one.tag, vr, value, None, order, vrs)
    inner = vrs and not one.unknown
    items = b"".join(_item(item, order, inner, one.undefined) for item in one.value)
    if not one.undefined:
        return _head(one.tag, vr, items, None, order, vrs)
    end = implicit(SEQUENCE_END, order=order)
    return _head(one.tag, vr, items, UNDEFINED, order, vrs) + end


def _item(members: Iterable[Made], order: str, vrs: bool, undefined: bool) -> bytes:
    content = written(members, order=order, vrs=vrs)
    if undefined:
        return implicit(ITEM, content, UNDEFINED, order) + implicit(ITEM_END, order=order)
    return implicit(ITEM, content, order=order)


def _head(tag: int, vr: str, value: bytes, length: int | None, order: str, vrs: bool) -> bytes:
    if vrs:
        return explicit(tag, vr, value, length, order)
    return implicit(tag, value, length, order)
