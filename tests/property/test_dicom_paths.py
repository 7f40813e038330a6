"""Looking into damaged files in every way: a typed refusal, or a reading within the bytes."""

from __future__ import annotations

import json
import tracemalloc
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property.test_dicom_mutations import SEEDS, damaged
from tests.support.dicom_bytes import DEFLATED, data_set, explicit, meta, raw_deflate
from wherry.dicom.content import Place, look_up
from wherry.dicom.frames import frame
from wherry.dicom.json import header_to_json, to_json
from wherry.dicom.native_json import to_dicom_json
from wherry.dicom.native_xml import to_dicom_xml
from wherry.dicom.select import values
from wherry.errors import BadFileFormat, InexistentTag, ParameterOutOfRange, UnknownDicomTag

FEW = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))

STEPS = st.one_of(
    st.sampled_from(
        ("PixelData", "0008-1140", "4000-0010", "4001,1010", "7fe00010", "0010,0020", "Nope", "")
    ),
    st.integers(-2, 3).map(str),
    st.sampled_from(("99999999999999999999", "１", "0x1", "1 ")),
    st.text(max_size=12),
)


def check(data: bytes, path: list[str]) -> None:
    try:
        found = look_up(memoryview(data), path)
    except (BadFileFormat, UnknownDicomTag):
        return
    if isinstance(found, Place):
        assert found.position >= 0
        assert found.length >= 0
        assert found.position + found.length <= len(found.data)


@FEW
@given(damaged(), st.lists(STEPS, max_size=6))
def test_any_path_into_any_file(data: bytes, path: list[str]) -> None:
    check(data, path)


@FEW
@given(damaged())
def test_every_name_that_is_listed_leads_somewhere(data: bytes) -> None:
    def follow(path: list[str]) -> None:
        found = look_up(data, path)
        assert found is not None, path
        if isinstance(found, list) and len(path) < 6:
            for name in found[:3]:
                follow([*path, name])

    try:
        listed = look_up(data, [])
    except BadFileFormat:
        return
    assert isinstance(listed, list)
    for name in listed[:20]:
        try:
            follow([name])
        except BadFileFormat:
            check(data, [name])


@FEW
@given(damaged(), st.integers(0, 3))
def test_frames(data: bytes, number: int) -> None:
    try:
        found = frame(data, number)
    except (BadFileFormat, InexistentTag, ParameterOutOfRange):
        return
    for position, length in found.pieces:
        assert 0 <= position <= position + length <= len(found.data)


@FEW
@given(damaged())
def test_the_languages_of_dicomweb(data: bytes) -> None:
    try:
        shown = json.loads(b"".join(to_dicom_json(data)))
    except BadFileFormat:
        return
    assert all(len(tag) == 8 and "vr" in one for tag, one in shown.items())
    root = ET.fromstring(b"".join(to_dicom_xml(data)))
    assert [one.attrib["tag"] for one in root] == list(shown)


@FEW
@given(damaged(), st.lists(st.sampled_from(("0010,0020", "0008,0005", "4000,0010", "7fe0,0010"))))
@example(SEEDS[0], ["7fe0,0010"])
def test_chosen_tags_are_those_of_the_whole(data: bytes, tags: list[str]) -> None:
    try:
        header_to_json(data, "full")
        everything = to_json(data, "short")
    except BadFileFormat:
        return
    tags_in_order = list(everything) == sorted(everything)
    try:
        found = values(data, tags)
    except BadFileFormat:
        return
    for tag, value in found.items():
        assert everything[tag] == value or not tags_in_order


@pytest.mark.parametrize("path", [["0008-0005"], ["PixelData", "0"], []])
def test_a_bomb_takes_little_memory(path: list[str]) -> None:
    """A gigabyte of zeros in a megabyte of file."""
    body = data_set() + explicit(0x40010010, "OB", b"", 2**30) + bytes(2**26)
    file = meta(DEFLATED) + raw_deflate(body + bytes(2**28))
    tracemalloc.start()
    try:
        with pytest.raises(BadFileFormat):
            look_up(file, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000_000
