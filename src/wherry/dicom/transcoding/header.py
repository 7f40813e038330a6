"""The file meta information of a file that is written anew (PS3.10 §7.1)."""

from __future__ import annotations

import struct
from typing import Final

from wherry.dicom.dicomdir.writing import element
from wherry.dicom.elements import type_data
from wherry.dicom.meta import meta_information
from wherry.dicom.tree import Header
from wherry.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

_LENGTH: Final = struct.Struct("<I")
_GROUP_LENGTH, _SOP_INSTANCE, _SYNTAX = 0x00020000, 0x00020003, 0x00020010
_CLASS, _VERSION = 0x00020012, 0x00020013


def header(
    data: type_data, syntax: str, sop_class: str, sop_instance: str, *, is_new: bool
) -> bytes:
    """What stands before the data set of the file ``data`` in transfer syntax ``syntax``: what
    stood there, but for who has written it, and the instance where that ``is_new``."""
    found = Header(data)
    if not found.root:
        return meta_information(sop_class, sop_instance, syntax, "")
    values = {tag: (one.vr, found.value(one)) for tag, one in found.root.items()}
    values[_SYNTAX] = ("UI", syntax.encode())
    values[_CLASS] = ("UI", IMPLEMENTATION_CLASS.encode())
    values[_VERSION] = ("SH", IMPLEMENTATION_VERSION.encode())
    if is_new:
        values[_SOP_INSTANCE] = ("UI", sop_instance.encode())
    values.pop(_GROUP_LENGTH, None)
    group = b"".join(element(tag, vr, value) for tag, (vr, value) in sorted(values.items()))
    preamble = bytes(data[:132]) if bytes(data[128:132]) == b"DICM" else bytes(128) + b"DICM"
    return preamble + element(_GROUP_LENGTH, "UL", _LENGTH.pack(len(group))) + group
