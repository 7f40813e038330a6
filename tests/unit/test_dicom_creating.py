from __future__ import annotations

import base64
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.creating import COLOUR, GREY, box, mp4, mpeg2, picture, program_stream
from wherry.dicom.charsets import is_known
from wherry.dicom.creating.datauri import Base64, Blob, beginning
from wherry.dicom.creating.draft import Draft
from wherry.dicom.creating.fillings import kept_jpeg, native
from wherry.dicom.creating.mp4 import is_mp4, mp4_video
from wherry.dicom.creating.mpeg2 import is_mpeg2, mpeg2_video
from wherry.dicom.creating.order import order_of
from wherry.dicom.creating.video import Video
from wherry.errors import BadFileFormat, InheritedTag, TooLarge, UnsupportedMediaType

BASE = "1.2.840.10008.1.2.4."


# --- data URIs -----------------------------------------------------------------------------------
def test_beginning() -> None:
    assert beginning("data:application/pdf;base64,AAAA") == ("application/pdf", 28)
    assert beginning("DATA:Image/PNG;BASE64,") == ("image/png", 22)
    for text in ("", "data:,x", "data:;base64,x", "data:a/b,x", "data:a/b;c=d;base64,x", " data:"):
        assert beginning(text) is None
    assert beginning("data:" + "a" * 1000 + ";base64,") is None


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=8), st.booleans())
def test_base64_in_pieces(data: bytes, cuts: list[int], padded: bool) -> None:
    text = base64.b64encode(data)
    text = text if padded else text.rstrip(b"=")
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    decoder = Base64()
    found = b"".join(decoder.decode(text[start:end]) for start, end in pairwise(places))
    assert found + decoder.finish() == data


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=A", "AA==AAAA", "A A=", "AA\n=", "-_AA", "===="]
)
def test_base64_that_is_none(text: str) -> None:
    for step in (1, 3, 4, 100):
        decoder = Base64()
        with pytest.raises(BadFileFormat):
            for start in range(0, len(text), step):
                decoder.decode(text[start : start + step].encode())
            decoder.finish()


# --- requests ------------------------------------------------------------------------------------
def blob(text: str) -> Blob:
    return Blob("a/b", 0, len(text))


def test_too_many_instances() -> None:
    with pytest.raises(TooLarge):
        order_of({"Tags": {}, "Content": ["x"] * 4097}, blob)


def test_values_that_are_too_long_together() -> None:
    large = Blob("a/b", 0, 20 << 20)
    body: Any = {"Tags": {"ImageComments": large, "RequestAttributesSequence": [{"x": large}]}}
    with pytest.raises(TooLarge):
        order_of(body, blob)


def test_character_sets() -> None:
    for term in ("ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", "\\ISO 2022 IR 87", "GB18030"):
        assert is_known(term)
    for term in ("", "NOPE", "ISO_IR 1", "ISO_IR 100\\NOPE", "\\"):
        assert not is_known(term)


def test_a_draft_keeps_what_is_inherited() -> None:
    draft = Draft(
        {0x00100010: "a", 0x00100020: "P", 0x0020000D: "1.2", 0x00080020: "x"}, force=False
    )
    draft.give({0x00100020: "P", 0x00080020: "y", 0x00100040: "M"})
    for tag, value in (
        (0x00100010, "a"),
        (0x00100020, "Q"),
        (0x0020000D, "1.2"),
        (0x00080018, "1"),
    ):
        with pytest.raises(InheritedTag):
            draft.give({tag: value})
    other = draft.another()
    assert other.values[0x00080018] != draft.values[0x00080018]
    assert other.values[0x0020000E] == draft.values[0x0020000E]
    forced = Draft({0x00100010: "a"}, force=True)
    forced.give({0x00100010: "b"})
    assert forced.values[0x00100010] == "b"


# --- pixels --------------------------------------------------------------------------------------
def test_sides_have_16_bits() -> None:
    assert native(65535, 1, 1, 8, 65535).decided[0x00280010] == "65535"
    for rows, columns in ((65536, 1), (1, 65536), (0, 1), (1, 0)):
        with pytest.raises(BadFileFormat):
            native(rows, columns, 1, 8, 1)


@pytest.mark.parametrize(
    ("data", "photometric"),
    [
        (picture(GREY, "jpeg"), "MONOCHROME2"),
        (picture(COLOUR, "jpeg", subsampling=2), "YBR_FULL_422"),
        (picture(COLOUR, "jpeg", subsampling=0), "YBR_FULL"),
        (picture(COLOUR, "jpeg", keep_rgb=True), "RGB"),
    ],
)
def test_a_jpeg_that_is_kept(data: bytes, photometric: str) -> None:
    found = kept_jpeg(data)
    assert found.syntax == BASE + "50"
    assert found.decided[0x00280004] == photometric
    assert found.decided[0x00282114] == "ISO_10918_1"
    assert (found.decided[0x00280010], found.decided[0x00280011]) == ("5", "7")


def test_only_baseline_jpeg_is_kept() -> None:
    for data in (picture(GREY, "jpeg", progressive=True), picture(GREY), b"", b"\xff\xd8\xff"):
        with pytest.raises(BadFileFormat):
            kept_jpeg(data)


# --- videos --------------------------------------------------------------------------------------
def avc(profile: int, level: int, constraints: int = 0) -> bytes:
    return box(b"avcC", bytes((1, profile, constraints, level, 0xFF)))


def hevc(profile: int, level: int, tier: int = 0) -> bytes:
    return box(b"hvcC", bytes((1, tier << 5 | profile)) + bytes(10) + bytes((level,)) + bytes(10))


def test_mp4() -> None:
    data = memoryview(mp4(times=((49, 512), (1, 1024))))
    assert is_mp4(data)
    found = mp4_video(data)
    assert (found.syntax, found.method) == (BASE + "102", "ISO_14496_10")
    assert (found.rows, found.columns, found.frames, found.bits) == (480, 640, 50, 8)
    assert found.frame_time_ms == pytest.approx(1000 * (49 * 512 + 1024) / 12_800 / 50)


@pytest.mark.parametrize(
    ("codec", "configuration", "syntax", "bits"),
    [
        (b"avc1", avc(100, 41), "102", 8),
        (b"avc1", avc(77, 31), "102", 8),
        (b"avc3", avc(66, 30, 0x40), "102", 8),
        (b"avc1", avc(100, 42), "104", 8),
        (b"hvc1", hevc(1, 153), "107", 8),
        (b"hev1", hevc(2, 120), "108", 10),
    ],
)
def test_mp4_codecs(codec: bytes, configuration: bytes, syntax: str, bits: int) -> None:
    found = mp4_video(memoryview(mp4(codec, configuration)))
    assert (found.syntax, found.bits) == (BASE + syntax, bits)


@pytest.mark.parametrize(
    "data",
    [
        mp4(b"avc1", avc(66, 30)),
        mp4(b"avc1", avc(110, 41)),
        mp4(b"avc1", avc(100, 51)),
        mp4(b"hvc1", hevc(4, 120)),
        mp4(b"hvc1", hevc(1, 156)),
        mp4(b"hvc1", hevc(1, 120, 1)),
        mp4(b"mp4v", b""),
        mp4() + box(b"moof"),
        mp4().replace(b"isom", b"qt  "),
    ],
)
def test_videos_without_a_transfer_syntax(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        mp4_video(memoryview(data))


def test_mp4_that_is_broken() -> None:
    whole = mp4()
    for end in range(8, len(whole)):
        with pytest.raises(BadFileFormat):
            mp4_video(memoryview(whole[:end]))
    for data in (
        mp4(times=((2**31, 1),)),
        mp4(times=()),
        mp4(times=((0, 5),)),
        mp4(times=((5, 0),)),
        mp4(b"avc1", b""),
    ):
        with pytest.raises(BadFileFormat):
            mp4_video(memoryview(data))


@settings(deadline=None)
@given(st.data())
def test_mp4_with_wrong_bytes(data: st.DataObject) -> None:
    changed = bytearray(mp4())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    only_these_errors(lambda: mp4_video(memoryview(changed)))


def only_these_errors(work: Any) -> None:
    try:
        assert isinstance(work(), Video)
    except (BadFileFormat, UnsupportedMediaType):
        pass


@pytest.mark.parametrize("fields", [False, True])
@pytest.mark.parametrize("packet_bytes", [0, 1, 5, 100, 100_000])
def test_mpeg2(fields: bool, packet_bytes: int) -> None:
    stream = mpeg2(400, fields=fields)
    data = program_stream(stream, packet_bytes) if packet_bytes else stream
    assert is_mpeg2(memoryview(data))
    found = mpeg2_video(memoryview(data))
    assert found == Video(BASE + "100", "ISO_13818_2", 576, 720, 400, 40.0)


def test_mpeg2_of_high_level() -> None:
    assert mpeg2_video(memoryview(mpeg2(profile=0x44))).syntax == BASE + "101"
    for profile in (0x14, 0x85, 0x40):
        with pytest.raises(UnsupportedMediaType):
            mpeg2_video(memoryview(mpeg2(profile=profile)))


def test_mpeg1() -> None:
    stream = re.sub(rb"\x00\x00\x01\xb5.{6}", b"", mpeg2(), flags=re.DOTALL)
    with pytest.raises(UnsupportedMediaType):
        mpeg2_video(memoryview(stream))
    with pytest.raises(UnsupportedMediaType):
        mpeg2_video(memoryview(b"\0\0\1\xba\x21" + bytes(40)))


@given(st.binary(max_size=60), st.sampled_from((b"\0\0\1\xb3", b"\0\0\1\xba", mpeg2()[:30])))
def test_mpeg2_that_is_broken(rest: bytes, begin: bytes) -> None:
    only_these_errors(lambda: mpeg2_video(memoryview(begin + rest)))
