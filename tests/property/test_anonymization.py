"""Whatever a file looks like: no value of an identifying attribute is left in the bytes of its
anonymized copy, and what identifies nobody is still there.
"""

from __future__ import annotations

import io
import zlib

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    even,
    explicit,
    raw_deflate,
)
from tests.support.dicom_making import Made, written
from wherry.dicom.editing.editor import Editor
from wherry.dicom.editing.profiles import EDITIONS, Action, profile
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import rules_of
from wherry.dicom.preamble import read_preamble
from wherry.dicom.scan import scan
from wherry.dicom.values import TEXT_VRS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
"""pydicom's, about values that are too long or no dates."""

CHARSETS = {
    "": ("latin-1", "ÄÖÜßéèçñ"),
    "ISO_IR 6": ("ascii", "QXZWVKJY"),
    "ISO_IR 100": ("latin-1", "ÄÖÜßéèçñ"),
    "ISO_IR 126": ("iso8859-7", "ΩμεγαΔΣΨ"),
    "ISO_IR 144": ("iso8859-5", "ЖЩЮЯбвгд"),
    "ISO_IR 192": ("utf-8", "Ж漢Ω한é€ßд"),
    "GB18030": ("gb18030", "王小东北京医院"),
    "\\ISO 2022 IR 87": ("iso2022_jp", "山田太郎病院東京"),
    "\\ISO 2022 IR 149": ("euc_kr", "김희중병원서울시"),
}
PROFILED = {edition: profile(edition).actions for edition in EDITIONS}
KEPT_SEQUENCES = (0x00081140, 0x00082218, 0x0040A043, 0x00540016, 0x52009230)
"""Not in any of the profiles, so their items are looked into."""
KEPT_TEXT = (0x00080070, 0x00081090, 0x00080060)
IDENTIFYING_META = (
    (0x00020016, "AE"),
    (0x00020017, "AE"),
    (0x00020018, "AE"),
    (0x00020026, "UR"),
    (0x00020102, "OB"),
)


def vr_of(tag: int) -> str:
    return dictionary_VR(tag).split(" or ")[0]


class Secrets:
    """What must not be left, as bytes."""

    def __init__(self, codec: str, alphabet: str) -> None:
        self.codec, self.alphabet = codec, alphabet
        self.texts: list[str] = []
        self.kept: list[bytes] = []

    def text(self, draw: st.DrawFn) -> bytes:
        letters = "".join(draw(st.lists(st.sampled_from(self.alphabet), min_size=6, max_size=9)))
        text = f"{letters}Q{len(self.texts)}Z"
        self.texts.append(text)
        return text.encode(self.codec)

    def uid(self, draw: st.DrawFn) -> bytes:
        number = draw(st.integers(10**11, 10**12))
        self.texts.append(f"1.2.77.{number}.{len(self.texts)}.9")
        return self.texts[-1].encode()

    def keep(self) -> bytes:
        self.kept.append(b"KEPT%d." % len(self.kept))
        return self.kept[-1]

    def left_in(self, data: bytes) -> list[str]:
        return [
            text
            for text in self.texts
            for codec in {self.codec, "utf-8"}
            if text.encode(codec).strip(b"\x1b$B(") in data
        ]


@st.composite
def identifying(draw: st.DrawFn, secrets: Secrets, edition: str, depth: int) -> Made:
    """An attribute that is removed, emptied or mapped, or private."""
    kind = draw(
        st.sampled_from(("profile", "profile", "profile", "private", "overlay", "name", "low"))
    )
    unknown = draw(st.booleans())
    if kind == "name":
        tag = draw(st.sampled_from((0x00100010, 0x00100020)))
        return Made(tag, vr_of(tag), secrets.text(draw), unknown=unknown)
    if kind == "low":
        return Made(draw(st.sampled_from((0x00041220, 0x00041511))), "LO", secrets.text(draw))
    if kind == "overlay":
        tag = draw(st.sampled_from((0x50003000, 0x50100040, 0x60003000, 0x60024000, 0x601E3000)))
        return Made(tag, "OW" if tag & 0xFF00 == 0x3000 else "LT", secrets.text(draw))
    if kind == "private":
        group = draw(st.sampled_from((0x0009, 0x0019, 0x0029, 0x7FE1)))
        vr = draw(st.sampled_from(("LO", "OB", "UN", "SQ", "PN", "UT")))
        tag = group << 16 | draw(st.sampled_from((0x0010, 0x1001, 0x10FF, 0x0000, 0x0002)))
        if vr == "SQ" and tag & 0xFF00:
            return draw(sequence(secrets, edition, depth + 1, tag))
        return Made(tag, "LO" if vr == "SQ" else vr, secrets.text(draw))
    tag = draw(st.sampled_from(sorted(PROFILED[edition])))
    action, vr = PROFILED[edition][tag], vr_of(tag)
    if action is Action.UID:
        values = [secrets.uid(draw) for _ in range(draw(st.integers(1, 2)))]
        return Made(tag, vr, b"\\".join(values), unknown=unknown)
    if vr == "SQ":
        undefined = draw(st.booleans())
        item = (Made(0x00080070, "LO", secrets.text(draw)),)
        return Made(tag, vr, (item,), undefined, unknown)
    return Made(tag, vr if vr in TEXT_VRS else "UN", secrets.text(draw), unknown=unknown)


@st.composite
def sequence(draw: st.DrawFn, secrets: Secrets, edition: str, depth: int, tag: int) -> Made:
    """A sequence with anything in its items."""
    items = [
        tuple({one.tag: one for one in draw(members(secrets, edition, depth))}.values())
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Made(tag, "SQ", tuple(items), draw(st.booleans()), draw(st.booleans()))


@st.composite
def members(draw: st.DrawFn, secrets: Secrets, edition: str, depth: int) -> list[Made]:
    """The elements of one data set: some may have a tag twice."""
    found = [draw(identifying(secrets, edition, depth)) for _ in range(draw(st.integers(0, 3)))]
    if depth < 3:
        tags = draw(st.lists(st.sampled_from(KEPT_SEQUENCES), max_size=2, unique=True))
        found += [draw(sequence(secrets, edition, depth + 1, tag)) for tag in tags]
    return found


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes, Secrets]:
    """Edition, a file, and what is secret in it."""
    edition = draw(st.sampled_from(sorted(EDITIONS)))
    term = draw(st.sampled_from(sorted(CHARSETS)))
    secrets = Secrets(*CHARSETS[term])
    elements = draw(members(secrets, edition, 0))
    study, series, sop, frame = (secrets.uid(draw) for _ in range(4))
    elements += [
        Made(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7"),
        Made(0x00080018, "UI", sop),
        Made(0x0020000D, "UI", study),
        Made(0x0020000E, "UI", series),
        Made(0x00200052, "UI", frame),
        Made(0x00100010, "PN", secrets.text(draw)),
        Made(0x00100020, "LO", secrets.text(draw)),
        Made(0x0040A160, "UT", study),  # of no profile: a UID that stands where none should
        Made(0x00080062, "UI", b"1.2.840.10008.1.1\\" * draw(st.integers(1, 5)) + sop),
    ]
    elements += [Made(tag, vr_of(tag), secrets.keep()) for tag in KEPT_TEXT]
    if term:
        elements.append(Made(0x00080005, "CS", term.encode()))
    if draw(st.booleans()):
        elements.append(Made(0x7FE00010, "OW", bytes(64)))
    if draw(st.booleans()):
        elements.append(Made(0xFFFCFFFC, "OB", secrets.text(draw)))
    unique = {one.tag: one for one in elements}
    twice = [one for one in elements if draw(st.integers(0, 9)) == 0 and unique[one.tag] is not one]
    syntax = draw(st.sampled_from((EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)))
    data_set = written(
        [*unique.values(), *twice],
        order=">" if syntax == BIG_ENDIAN else "<",
        vrs=syntax != IMPLICIT,
        group_lengths=draw(st.booleans()) and not any(not one.tag & 0xFFFF for one in elements),
    )
    head = draw(meta(secrets, syntax, sop))
    body = raw_deflate(data_set) if syntax == DEFLATED else data_set
    return edition, head + body, secrets


@st.composite
def meta(draw: st.DrawFn, secrets: Secrets, syntax: str, sop: bytes) -> bytes:
    """Preamble and file meta information."""
    group = explicit(0x00020001, "OB", b"\0\1")
    group += explicit(0x00020002, "UI", even(b"1.2.840.10008.5.1.4.1.1.7", b"\0"))
    group += explicit(0x00020003, "UI", even(sop, b"\0"))
    group += explicit(0x00020010, "UI", even(syntax.encode(), b"\0"))
    for tag, vr in IDENTIFYING_META:
        if draw(st.booleans()):
            group += explicit(tag, vr, even(secrets.text(draw)))
    preamble = secrets.text(draw) if draw(st.booleans()) else b""
    length = explicit(0x00020000, "UL", len(group).to_bytes(4, "little"))
    return preamble.ljust(128, b"\0") + b"DICM" + length + group


def anonymized(data: bytes, edition: str) -> bytes:
    body = {"DicomVersion": edition}
    rules = rules_of(body, None, anonymize=True, default_profile="2021b")
    edited = Editor(rules, Pseudonyms(b"a secret of many bytes", 7), "1.0").edit(data)
    out = b"".join(edited.pieces())
    assert len(out) == edited.size
    return out


def plain(data: bytes) -> bytes:
    """The bytes in which secrets are looked for."""
    syntax, _, _, position = read_preamble(data)
    if syntax != DEFLATED:
        return data
    return data[:position] + zlib.decompress(data[position:], -15)


@settings(deadline=None, max_examples=150)
@given(files())
def test_nothing_that_identifies_is_left(made: tuple[str, bytes, Secrets]) -> None:
    edition, data, secrets = made
    out = anonymized(data, edition)
    assert not secrets.left_in(plain(out))
    for kept in secrets.kept:
        assert kept in plain(out)
    summary = scan(out)
    assert summary.sop_instance_uid.startswith("2.25.")
    read = pydicom.dcmread(io.BytesIO(out))
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
    assert read.PatientName == "Anonymized7"
    assert read.PatientIdentityRemoved == "YES"
    assert list(read.iterall())


@pytest.mark.parametrize("edition", sorted(EDITIONS))
def test_the_test_would_see_what_is_left(edition: str) -> None:
    secrets = Secrets("latin-1", "É")
    secrets.texts.append("ÉÉÉÉÉÉQ0Z")
    assert secrets.left_in("ÉÉÉÉÉÉQ0Z".encode("latin-1")) == ["ÉÉÉÉÉÉQ0Z"]
    assert PROFILED[edition][0x00081155] is Action.UID
