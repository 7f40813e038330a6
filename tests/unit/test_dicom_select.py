"""A few tags of a file: as the whole shows them, and without looking further than needed."""

from __future__ import annotations

import zlib

import pytest

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    data_set,
    explicit,
    implicit,
    item,
    meta,
    open_item,
    pixels,
    raw_deflate,
    sequence,
)
from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.json import to_json
from wherry.dicom.select import chosen, values
from wherry.errors import BadFileFormat

NAMES = ((0x00080005, "CS", b"ISO_IR 192"), (0x00100010, "PN", "Müller".encode() + b" "))


@pytest.mark.parametrize("name", FILES[::3])
def test_files_of_pydicom(name: str) -> None:
    data = (ROOT / name).read_bytes()
    try:
        everything = to_json(data, "short")
    except BadFileFormat:
        return
    for tags in (list(everything), list(everything)[::5], ["0010,0010", "0020,0013"]):
        found = values(data, tags)
        assert found == {tag: everything[tag] for tag in tags if tag in everything}
    number = frozenset(int(tag.replace(",", ""), 16) for tag in everything)
    assert chosen(data, number, "full") == to_json(data, "full")


def test_what_values_are_read_by() -> None:
    assert values(meta() + data_set(*NAMES), ["0010,0010"]) == {"0010,0010": "Müller"}
    signed = ((0x00280103, "", b"\1\0"), (0x00280106, "", b"\xff\xff"))
    file = meta(IMPLICIT) + data_set(*signed, vrs=False)
    assert values(file, ["0028,0106"]) == {"0028,0106": "-1"}
    private = ((0x00090010, "", b"GEMS_IDEN_01"), (0x00091027, "", b"\1\0\0\0"))
    file = meta(IMPLICIT) + data_set(*private, vrs=False)
    assert values(file, ["0009,1027"]) == {"0009,1027": "1"}
    assert values(file, []) == {}


@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_sequences(vr: str) -> None:
    inner = explicit(0x00081155, "UI", b"1.2\0")
    if vr == "UN":
        inner = implicit(0x00081155, b"1.2\0")
    body = explicit(0x00081140, vr, open_item(inner), 0xFFFFFFFF) + implicit(0xFFFEE0DD)
    file = meta() + body + data_set((0x00090010, "LO", b"ACME"))
    assert values(file, ["0008,1140"]) == {"0008,1140": [{"0008,1155": "1.2"}]}
    # and over it, to what follows
    assert values(file, ["0009,0010"]) == {"0009,0010": "ACME"}


def test_other_encodings() -> None:
    assert values(meta(BIG_ENDIAN) + data_set(*NAMES, order=">"), ["0010,0010"]) == {
        "0010,0010": "Müller"
    }
    file = meta(DEFLATED) + raw_deflate(data_set(*NAMES) + pixels())
    assert values(file, ["0010,0010"]) == {"0010,0010": "Müller"}
    mixed = meta() + data_set() + implicit(0x00400009, b"ab") + explicit(0x00400010, "SH", b"cd")
    assert values(mixed, ["0040,0009", "0040,0010"]) == {"0040,0009": "ab", "0040,0010": "cd"}


def test_nothing_behind_the_last_tag_is_looked_at() -> None:
    head = meta() + data_set(*NAMES)
    for tail in (b"garbage", explicit(0x40000010, "SQ", item(b"garbage")), b"\0" * 7):
        assert values(head + tail, ["0010,0010"]) == {"0010,0010": "Müller"}
        assert values(head + explicit(0x40000009, "LO") + tail, ["0010,0011"]) == {}
    deep = explicit(0x40000010, "SQ", open_item()) * 300_001
    assert values(head + deep, ["0008,0018"]) == {"0008,0018": "1.2.3.3"}


def test_what_cannot_be_read() -> None:
    for data in (b"", b"x" * 300, meta() + explicit(0x00080018, "UI", b"1.2", 0xFFF0)):
        with pytest.raises(BadFileFormat):
            values(data, ["0008,0018"])
    with pytest.raises(BadFileFormat):
        values(meta(DEFLATED) + zlib.compress(b"not raw"), ["0008,0018"])
    broken = sequence(0x00081140, implicit(0x00081155, b"no item"))
    with pytest.raises(BadFileFormat):
        values(meta() + broken, ["0008,1140"])
