"""Damaged files: a typed error or a reading, never anything else, and never much memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    ITEM_END,
    JPEG,
    SEQUENCE_END,
    UNDEFINED,
    data_set,
    explicit,
    fragments,
    implicit,
    item,
    meta,
    open_item,
    pixels,
    sequence,
)
from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, InexistentTag
from wherry.model import Summary

ROOT = Path(pydicom.data.__file__).parent
PACKER = zlib.compressobj(9, zlib.DEFLATED, -15)

SEEDS = (
    meta() + data_set() + pixels(),
    meta()
    + data_set((0x00080005, "CS", b"\\ISO 2022 IR 87"), (0x00100010, "PN", b"\x1b$B;3ED\x1b(B^A"))
    + sequence(0x40000010, open_item(sequence(0x40000010, item(explicit(0x00081150, "UI")))))
    + explicit(0x40011010, "UN", open_item(implicit(0x00081150, b"1.2 ")), UNDEFINED)
    + implicit(SEQUENCE_END)
    + pixels(),
    meta(JPEG) + data_set() + fragments(b"", b"abcd", b"efgh"),
    meta(IMPLICIT) + data_set(vrs=False) + implicit(0x7FE00010, bytes(8)),
    meta(BIG_ENDIAN) + data_set(order=">"),
    meta(DEFLATED) + PACKER.compress(data_set() + pixels()) + PACKER.flush(),
    data_set(),
    *(
        (ROOT / "test_files" / name).read_bytes()[:4000]
        for name in ("rtplan.dcm", "UN_sequence.dcm", "nested_priv_SQ.dcm", "reportsi.dcm")
    ),
)

INTERESTING = (
    b"\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\x00\x00\x00\x00",
    b"SQ",
    b"UN",
    b"OB",
    b"zz",
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff",
    b"\x1b$B",
    explicit(0x40000010, "SQ", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED) * 40,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """One of the seeds with a few changes."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(("flip", "write", "insert", "delete", "cut", "repeat"))):
            case "flip" if data:
                data[where] ^= 1 << draw(st.integers(0, 7))
            case "write":
                patch = draw(st.sampled_from(INTERESTING))
                data[where : where + len(patch)] = patch
            case "insert":
                data[where:where] = draw(st.sampled_from(INTERESTING))
            case "delete":
                del data[where : where + draw(st.integers(1, 20))]
            case "cut":
                del data[where:]
            case "repeat":
                data[where:where] = data[where : where + draw(st.integers(1, 200))] * 3
    return bytes(data)


def read(data: bytes) -> Summary | None:
    """Read it in every way there is; only these errors may come out."""
    try:
        summary = scan(data)
    except (BadFileFormat, InexistentTag):
        summary = None
    try:
        to_json(data, "full")
    except BadFileFormat:
        pass
    return summary


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_damaged_files(data: bytes) -> None:
    summary = read(data)
    if summary is not None:
        assert summary == scan(memoryview(data))
        assert all(summary.tags_at(level) is not None for level in (1, 2, 3, 4))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.sampled_from((b"", bytes(128) + b"DICM", meta(), meta(JPEG))))
def test_random_bytes(data: bytes, head: bytes) -> None:
    read(head + data)


@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED])
@pytest.mark.parametrize("vr", ["OB", "SQ", "UN", "UT"])
@pytest.mark.parametrize("tag", [0x00091001, 0x00204000, 0x00100020, 0x7FE00010, 0x00020010])
def test_lying_lengths_take_no_memory(tag: int, vr: str, length: int) -> None:
    """No buffer is made for what is only declared."""
    file = bytes(128) + b"DICM" if tag >> 16 == 2 else meta()
    file += explicit(tag, vr, b"abcd", length) + data_set() + pixels()
    read(file)  # what is loaded at the first use is not counted
    tracemalloc.start()
    try:
        read(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "nested",
    [
        explicit(0x40000010, "SQ", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED),
        explicit(0x40000010, "UN", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED),
        explicit(0x40000010, "zz", b"a") + implicit(0x40000010, b"", UNDEFINED),
    ],
)
def test_deep_nesting_ends_at_once(nested: bytes) -> None:
    """200,000 levels, with and without their ends."""
    ends = (implicit(ITEM_END) + implicit(SEQUENCE_END)) * 200_000
    assert read(meta() + data_set() + nested * 200_000) is None
    assert read(meta() + data_set() + nested * 200_000 + ends) is None


def test_items_of_defined_length_nest_too() -> None:
    """``scan`` steps over them, so it is no matter; the tree of ``to_json`` is bounded."""
    inner = b""
    for _ in range(100):
        inner = explicit(0x40000010, "SQ", item(inner))
    file = meta() + data_set() + inner
    assert scan(file)
    with pytest.raises(BadFileFormat, match="nested more than"):
        to_json(file, "full")


def test_pixel_data_and_other_bulk_are_never_copied() -> None:
    bulk = explicit(0x40010010, "OB", bytes(20_000_000)) + explicit(0x40010011, "UT", bytes(10**7))
    file = meta() + data_set() + bulk + explicit(0x7FE00010, "OW", bytes(20_000_000))
    tracemalloc.start()
    try:
        assert scan(memoryview(file)).pixel_data_offset is not None
        to_json(memoryview(file), "full")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_an_inflating_header_takes_little_memory() -> None:
    """60 MB of private data in front of the patient."""
    private = explicit(0x00081150, "UN", struct.pack("<I", 7) * 15_000_000)
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = packer.compress(private + data_set())
    file = meta(DEFLATED) + body + packer.flush()
    file += bytes(300_000)  # behind the stream; Orthanc does not mind either
    tracemalloc.start()
    try:
        assert scan(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
