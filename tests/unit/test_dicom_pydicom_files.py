"""Our scan against pydicom on every file of pydicom's wheel."""

from __future__ import annotations

from pathlib import Path

import pydicom.data
import pytest
from pydicom.uid import UID

from tests.support.pydicom_reading import our_reading, pydicom_reading, silence
from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, InexistentTag

ROOT = Path(pydicom.data.__file__).parent
NOT_DICOM = frozenset((".py", ".pyc", ".json", ".txt", ".md", ".dump", ".icc", ".gz", ".npy"))
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*")
    if path.is_file() and path.suffix not in NOT_DICOM and path.name != "README"
)
REFUSED = frozenset(
    (
        "test_files/MR_truncated.dcm",
        "test_files/rtplan_truncated.dcm",
        "test_files/no_meta.dcm",  # pydicom sees no DICOM in it either
    )
)
"""Refused by Orthanc 1.10.1 too."""

WITHOUT_UIDS = 28
"""Files that lack one of the three UIDs: directories, palettes, fragments."""


def needs(data: bytes) -> bool:
    """Whether pydicom finds the three UIDs."""
    levels = pydicom_reading(data)
    uids = ((1, "0020,000d"), (2, "0020,000e"), (3, "0008,0018"))
    return all(any(levels[level].get(tag, [""])) for level, tag in uids)


def test_the_files_are_there() -> None:
    assert len(FILES) > 150


@pytest.mark.parametrize("name", FILES)
def test_equal_to_pydicom(name: str) -> None:
    data = (ROOT / name).read_bytes()
    if name in REFUSED:
        with pytest.raises(BadFileFormat):
            scan(data)
        return
    if not needs(data):
        with pytest.raises((InexistentTag, BadFileFormat)):
            scan(data)
        return
    summary = scan(data)
    theirs = pydicom_reading(data)
    for ours, level in zip(our_reading(summary), theirs, strict=True):
        empty = {tag for tag, parts in level.items() if not any(parts)} - ours.keys()
        long = {tag for tag in level.keys() - ours.keys() if len("\\".join(level[tag])) > 256}
        assert ours == {tag: level[tag] for tag in level if tag not in empty | long}
    with silence():
        ds = pydicom.dcmread(ROOT / name, force=True)
    if "TransferSyntaxUID" in ds.file_meta:
        assert summary.transfer_syntax == ds.file_meta.TransferSyntaxUID
    assert summary.sop_class_uid == ds.get("SOPClassUID", summary.sop_class_uid)
    if "PixelData" in ds and not UID(summary.transfer_syntax).is_deflated:
        assert summary.pixel_data_offset is not None
        marks = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
        assert data[summary.pixel_data_offset :].startswith(marks)
    else:
        assert summary.pixel_data_offset is None
    shown = to_json(data, "short")
    assert shown["0008,0018"] == summary.tags[3]["0008,0018"]


def test_how_many_are_equal() -> None:
    """So that the comparison above cannot become empty without anybody noticing."""
    refused = 0
    for name in FILES:
        try:
            scan((ROOT / name).read_bytes())
        except (BadFileFormat, InexistentTag):
            refused += 1
    assert refused == len(REFUSED) + WITHOUT_UIDS
