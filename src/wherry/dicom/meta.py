"""The file meta information that a data set from the network needs to be a file (PS3.10 §7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from wherry.dicom.dicomdir.writing import element
from wherry.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

_LENGTH: Final = struct.Struct("<I")
_PREAMBLE: Final = bytes(128) + b"DICM"


def meta_information(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, source_title: str
) -> bytes:
    """Preamble and group 0002: what stands before the data set. Texts that are no ASCII have
    question marks."""
    group = b"".join(
        (
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", _ascii(sop_class_uid)),
            element(0x00020003, "UI", _ascii(sop_instance_uid)),
            _end(transfer_syntax, source_title),
        )
    )
    return _PREAMBLE + element(0x00020000, "UL", _LENGTH.pack(len(group))) + group


@lru_cache(maxsize=256)
def _end(transfer_syntax: str, source_title: str) -> bytes:
    return b"".join(
        (
            element(0x00020010, "UI", _ascii(transfer_syntax)),
            element(0x00020012, "UI", _ascii(IMPLEMENTATION_CLASS)),
            element(0x00020013, "SH", _ascii(IMPLEMENTATION_VERSION)),
            element(0x00020016, "AE", _ascii(source_title)),
        )
    )


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
