"""An edit touches what it is asked to, and nothing else: byte by byte, and as pydicom reads it."""

from __future__ import annotations

import io

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dicom_bytes import BIG_ENDIAN, EXPLICIT, IMPLICIT, explicit, meta
from tests.support.dicom_making import Made, written
from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.editing.editor import Editor
from wherry.dicom.editing.encoding import head
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import Rules, rules_of
from wherry.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, NotFound

pytestmark = pytest.mark.filterwarnings("ignore")

ENCODINGS = {
    EXPLICIT: ("<", True, EXPLICIT_LITTLE),
    IMPLICIT: ("<", False, IMPLICIT_LITTLE),
    BIG_ENDIAN: (">", True, EXPLICIT_BIG),
}
KEEP = {"Keep": ["SOPInstanceUID"], "Force": True}
NAME = 0x00100010
SEQUENCES = (0x00081140, 0x00400275, 0x52009230)


def edit(data: bytes, body: dict[str, object]) -> bytes:
    rules = rules_of({**KEEP, **body}, None, anonymize=False, default_profile="2021b")
    assert Rules.from_document(rules.document()) == rules
    edited = Editor(rules, Pseudonyms(bytes(16)), "1.0").edit(data)
    out = b"".join(edited.pieces())
    assert len(out) == edited.size
    return out


@st.composite
def leaves(draw: st.DrawFn) -> Made:
    """Any element that the tests do not edit: unknown tags and VRs, odd lengths, private ones."""
    tag = draw(st.sampled_from((0x0008, 0x0009, 0x0018, 0x0028, 0x7FDF, 0x7FE1))) << 16
    tag |= draw(st.integers(0x1100, 0x11FF))
    vr = draw(st.sampled_from(("LO", "UN", "OB", "UT", "FD", "ZZ")))
    return Made(tag, vr, draw(st.binary(max_size=12)))


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> tuple[Made, ...]:
    found = draw(st.lists(leaves(), max_size=4))
    if depth < 3:
        for tag in draw(st.lists(st.sampled_from(SEQUENCES), max_size=2, unique=True)):
            items = draw(st.lists(data_sets(depth + 1), max_size=2))
            unknown = draw(st.booleans()) and depth == 0
            found.append(Made(tag, "SQ", tuple(items), draw(st.booleans()), unknown))
    return tuple({one.tag: one for one in found}.values())


def file(members: tuple[Made, ...], syntax: str, name: bytes | None, *, lengths: bool) -> bytes:
    order, vrs, _ = ENCODINGS[syntax]
    whole = [
        *members,
        Made(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7"),
        Made(0x00080018, "UI", b"1.2.3.3"),
        Made(0x0020000D, "UI", b"1.2.3.1"),
        Made(0x0020000E, "UI", b"1.2.3.2"),
        Made(0x7FE00010, "OW", bytes(range(64))),
    ]
    if name is not None:
        whole.append(Made(NAME, "PN", name))
    return meta(syntax) + written(whole, order=order, vrs=vrs, group_lengths=lengths)


made = st.tuples(data_sets(), st.sampled_from(sorted(ENCODINGS)), st.booleans())


@settings(deadline=None, max_examples=60)
@given(made, st.text("abcXYZ ^", min_size=1, max_size=9), st.sampled_from((b"Old^Name", b"", None)))
def test_one_attribute(
    file_of: tuple[tuple[Made, ...], str, bool], name: str, old: bytes | None
) -> None:
    """The outcome is what the file would have been with the other value, to the last byte."""
    members, syntax, lengths = file_of
    lengths = lengths and old is not None  # nobody makes those of new groups
    source = file(members, syntax, old, lengths=lengths)
    put = edit(source, {"Replace": {"PatientName": name}})
    assert put == file(members, syntax, name.encode(), lengths=lengths)
    if old is not None:
        expected = file(members, syntax, None, lengths=lengths)
        if lengths:  # the group stays, with nothing in it
            expected = edit(put, {"Remove": ["PatientName"]})
            assert len(expected) == len(put) - len(written_name(name, syntax))
        assert edit(source, {"Remove": ["PatientName"]}) == expected


def written_name(name: str, syntax: str) -> bytes:
    order, vrs, _ = ENCODINGS[syntax]
    return written([Made(NAME, "PN", name.encode())], order=order, vrs=vrs)


@settings(deadline=None, max_examples=60)
@given(made, st.booleans())
def test_one_attribute_of_an_item(
    file_of: tuple[tuple[Made, ...], str, bool], undefined: bool
) -> None:
    """Lengths of items and sequences follow, where they have any."""
    members, syntax, lengths = file_of

    def sequence(name: str) -> Made:
        inner = (*members, Made(NAME, "PN", name.encode()))
        item = (Made(0x00081140, "SQ", (inner, inner), undefined),)
        return Made(0x00082112, "SQ", (item,), not undefined)

    source = file((sequence("Old"),), syntax, b"Stays", lengths=lengths)
    path = "SourceImageSequence[*].ReferencedImageSequence[*].PatientName"
    put = edit(source, {"Replace": {path: "A much longer name"}})
    assert put == file((sequence("A much longer name"),), syntax, b"Stays", lengths=lengths)


@settings(deadline=None, max_examples=40)
@given(made)
def test_nothing_to_do(file_of: tuple[tuple[Made, ...], str, bool]) -> None:
    members, syntax, lengths = file_of
    source = file(members, syntax, b"Old", lengths=lengths)
    assert edit(source, {}) == source


@pytest.mark.parametrize("name", FILES)
def test_files_of_pydicom(name: str) -> None:
    """All elements but one are as pydicom read them before, and so are the bytes around it."""
    data = (ROOT / name).read_bytes()
    try:
        syntax = scan(data).transfer_syntax
    except (BadFileFormat, NotFound):
        return
    out = edit(data, {"Replace": {"StudyID": "TEST17"}})
    before, after = (pydicom.dcmread(io.BytesIO(one), force=True) for one in (data, out))
    assert after.StudyID == "TEST17"
    for tag in before.keys() | after.keys():
        if tag not in (0x00200010, 0x00200000):  # the element, the length of its group
            old, new = before.get_item(tag), after.get_item(tag)
            assert (old.tag, old.VR, old.value) == (new.tag, new.VR, new.value)
    if data[128:132] == b"DICM" and "1.99" not in syntax and 0x00200000 not in before:
        common = 0
        while common < len(data) and data[common] == out[common]:
            common += 1
        behind = data[common + 64 :]
        assert out.endswith(behind)


def test_a_head_can_be_long() -> None:
    value = b"x" * 70_000
    assert head(NAME, "PN", len(value), EXPLICIT_LITTLE) + value == explicit(NAME, "UN", value)


MUTATED = [
    (ROOT / "test_files" / name).read_bytes()
    for name in ("rtplan.dcm", "reportsi.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm")
]


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(MUTATED),
    st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_damaged_files(data: bytes, changes: list[tuple[int, int]], anonymize: bool) -> None:
    """They are refused, or edited: nothing else happens."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(data)] = value
    rules = rules_of({}, None, anonymize=anonymize, default_profile="2021b")
    try:
        edited = Editor(rules, Pseudonyms(bytes(16)), "1.0").edit(bytes(damaged))
    except BadFileFormat:
        return
    assert len(b"".join(edited.pieces())) == edited.size


def test_what_may_be_a_sequence_is_not_tried_for_ever() -> None:
    """UN in UN in UN, broken at the bottom: each could be read in two ways."""
    inner = b"\xfe\xff\x00\xe0\x04\0\0\0abcd"
    for _ in range(31):
        element = explicit(0x00081140, "UN", inner)
        inner = b"\xfe\xff\x00\xe0" + len(element).to_bytes(4, "little") + element
    source = file((Made(0x00081140, "UN", inner),), EXPLICIT, None, lengths=False)
    rules = rules_of({}, None, anonymize=True, default_profile="2021b")
    edited = Editor(rules, Pseudonyms(bytes(16)), "1.0").edit(source)
    assert b"abcd" not in b"".join(edited.pieces())
