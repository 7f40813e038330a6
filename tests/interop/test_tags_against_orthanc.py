"""What Debian's Orthanc says of a file, and what we say: acceptance, identifiers, tags.

Every file of pydicom's wheel goes into a real Orthanc. Where we differ on purpose, the difference
stands here with its reason (docs/decisions/dicom-parser.md).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dicom_bytes import data_set, explicit, fragments, item, meta, pixels
from tests.support.genuine import Orthanc
from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.dicom.tags import keyword_of
from wherry.errors import WherryError
from wherry.model import Level

LATER_MAIN_TAGS = frozenset(
    (
        *("TimezoneOffsetFromUTC", "PerformedProcedureStepStartDate"),
        *("PerformedProcedureStepStartTime", "PerformedProcedureStepDescription"),
    )
)
"""Main tags since Orthanc 1.12.5; the reference is older."""

READ_BY_US_ONLY = frozenset(("test_files/SC_rgb_jpeg.dcm",))
"""Implicit elements under an explicit transfer syntax."""

ESCAPES = frozenset(("charset_files/chrH32.dcm", "charset_files/chrJapMultiExplicitIR6.dcm"))
"""Japanese escapes, which Orthanc leaves in the text."""


def outcome(data: bytes) -> int:
    """HTTP status of an upload to us."""
    try:
        scan(data)
    except WherryError as error:
        return error.http_status
    return 200


def same_text(theirs: Any, ours: Any) -> bool:
    """Whether two values are equal but for what we do better on purpose."""
    if theirs == ours or not isinstance(theirs, str) or not isinstance(ours, str):
        return bool(theirs == ours)
    if theirs == ours.replace("\\", "¥"):
        return True  # the backslash of JIS X 0201 separates values nevertheless
    return ours.startswith(theirs + "\\") and ours[4] == ","  # AT: Orthanc shows the first only


def differences(theirs: dict[str, Any], ours: dict[str, Any], path: str = "") -> list[str]:
    """Tags whose full forms differ."""
    found = [f"{path}{tag} is only in one" for tag in theirs.keys() ^ ours.keys()]
    for tag in theirs.keys() & ours.keys():
        left, right = theirs[tag], ours[tag]
        for key in ("Type", "Name", "PrivateCreator"):
            if left.get(key) != right.get(key):
                found.append(f"{path}{tag} {key}: {left.get(key)} {right.get(key)}")
        if left["Type"] == right["Type"] == "Sequence":
            if len(left["Value"]) != len(right["Value"]):
                found.append(f"{path}{tag} items")
            for one, other in zip(left["Value"], right["Value"], strict=False):
                found += differences(one, other, f"{path}{tag}/")
        elif not same_text(left["Value"], right["Value"]):
            found.append(f"{path}{tag}: {left['Value']!a} {right['Value']!a}")
    return found


def reduced(full: dict[str, Any], key: str | None) -> dict[str, Any]:
    """The short or simplified form that follows from a full one."""
    return {
        (found[key] if key else tag): [reduced(one, key) for one in found["Value"]]
        if found["Type"] == "Sequence"
        else found["Value"]
        for tag, found in sorted(full.items())
    }


def compare(orthanc: Orthanc, data: bytes, *, escapes: bool = False) -> None:
    status, answer = orthanc.upload(data)
    assert outcome(data) == status
    if status != 200:
        return
    summary = scan(data)
    assert summary.identifiers.instance == answer["ID"]
    assert summary.identifiers.series == answer["ParentSeries"]
    for level in Level:
        [resource] = orthanc.get(f"/{level.plural}?expand")
        ours = {keyword_of(tag): text for tag, text in summary.tags_at(level).items()}
        theirs = resource["MainDicomTags"]
        for word in LATER_MAIN_TAGS - theirs.keys():
            ours.pop(word, None)
        assert theirs.keys() == ours.keys()
        assert escapes or all(same_text(theirs[word], ours[word]) for word in theirs)
    path = f"/instances/{answer['ID']}"
    assert orthanc.get(f"{path}/metadata/SopClassUid") == summary.sop_class_uid
    assert orthanc.get(f"{path}/metadata/TransferSyntax") == summary.transfer_syntax
    theirs = orthanc.get(f"{path}/tags")
    ours = to_json(data, "full")
    if not escapes:
        assert differences(theirs, ours) == []
    # The other forms follow from the full one, there as here.
    assert orthanc.get(f"{path}/tags?short") == reduced(theirs, None)
    assert to_json(data, "short") == reduced(ours, None)
    assert orthanc.get(f"{path}/tags?simplify") == reduced(theirs, "Name")
    assert to_json(data, "simplify") == reduced(ours, "Name")


@pytest.mark.parametrize("name", FILES)
def test_files_of_pydicom(orthanc: Orthanc, name: str) -> None:
    data = (ROOT / name).read_bytes()
    if name in READ_BY_US_ONLY:
        assert orthanc.upload(data)[0] == 400
        assert outcome(data) == 200
        return
    compare(orthanc, data, escapes=name in ESCAPES)


MADE = {
    "padding": data_set((0x00100020, "LO", b"  lead  "), (0x00100010, "PN", b"A^B=  ")),
    "odd lengths": data_set((0x00100020, "LO", b"ab "), (0x00200011, "IS", b" 1 ")),
    "nul": data_set((0x00100020, "LO", b"ab \0"), (0x00081030, "LO", b"a\0bc")),
    "uid with a space": data_set((0x0020000D, "UI", b"1 .2")),
    "uid": data_set((0x0020000D, "UI", b" 1 .2\0")),
    "uid as text": data_set((0x0020000D, "LO", b" 1.2")),
    "patient as UN": data_set((0x00100020, "UN", b"ab  ")),
    "numbers": data_set((0x00540081, "US", b"\1\0\2\0"), (0x00540101, "US", b"")),
    "numbers as UN": data_set((0x00540081, "UN", b"\1\0")),
    "long": data_set((0x00081030, "LO", b"x" * 258), (0x00204000, "LT", b"\xe9" * 130)),
    "latin 1": data_set((0x00100020, "LO", b"\xe9\xe8")),
    "utf-8": data_set((0x00080005, "CS", b"ISO_IR 192"), (0x00100020, "LO", b"\xc3\xa9\xff ")),
    "wrong charset": data_set((0x00080005, "CS", b"nonsense"), (0x00100020, "LO", b"a\xe9")),
    "no patient": data_set(without=[0x00100020]),
    "no study": data_set(without=[0x0020000D]),
    "empty study": data_set((0x0020000D, "UI", b"")),
    "twice": data_set() + data_set((0x00100020, "LO", b"other")),
    "late": data_set(without=[0x00100020]) + pixels() + explicit(0x00100020, "LO", b"late"),
    "tail": data_set() + pixels() + explicit(0xFFFCFFFC, "OB", b"abcd"),
    "cut pixels": (data_set() + pixels())[:-1],
    "cut tail": (data_set() + pixels() + explicit(0xFFFCFFFC, "OB", b"abcd"))[:-1],
    "garbage": data_set() + pixels() + b"garbage!",
    "fragments": data_set() + fragments(b"", b"abcd"),
    "cut fragments": (data_set() + fragments(b"", b"abcd"))[:-8],
    "sequence": data_set() + explicit(0x00880200, "SQ", item(pixels())),
    "private": data_set((0x00090010, "LO", b"ACME"), (0x00091001, "UN", b"ab")),
    "nothing": b"",
}


@pytest.mark.parametrize("name", MADE)
def test_made_files(orthanc: Orthanc, name: str) -> None:
    compare(orthanc, meta() + MADE[name])


@pytest.mark.parametrize(
    "data", [b"", b"a", b"no DICOM at all" * 50, bytes(1000), bytes(128) + b"DICM"]
)
def test_what_is_no_dicom_file(orthanc: Orthanc, data: bytes) -> None:
    compare(orthanc, data)
