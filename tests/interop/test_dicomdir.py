"""DICOMDIR with other people's programs: DCMTK reads and extends ours, Orthanc makes its own.

Where our records are not those of Orthanc 1.10.1 on purpose, the reason stands here.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_bytes import data_set, even, meta, pixels, type_element
from tests.support.dicom_files import make_instance
from tests.support.dicomdirs import file_set, leaves, shown, walk
from tests.support.genuine import Orthanc
from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.dicomdir import DicomDir
from wherry.dicom.dicomdir.keys import LEAF
from wherry.dicom.scan import scan
from wherry.dicom.select import values
from wherry.errors import WherryError

OTHERS = ("reportsi", "test-SR", "waveform_ecg", "rtplan", "rtdose_1frame", "liver_1frame")
"""Files of pydicom that are no plain images."""


def tool(name: str) -> str:
    """A program of DCMTK; skips the test when there is none."""
    if (path := shutil.which(name)) is None:
        pytest.skip(f"there is no {name}: apt-get install dcmtk")
    return path


def run(*command: str | Path, folder: Path) -> str:
    """What the program says to its standard error; it must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def medium(folder: Path, files: list[bytes], *, extended: bool = False) -> bytes:
    """Lays a medium with ``files`` into ``folder``; its directory."""
    found = DicomDir(extended=extended)
    (folder / "IMAGES").mkdir()
    for number, data in enumerate(files):
        found.add(data, ("IMAGES", f"IM{number}"))
        (folder / "IMAGES" / f"IM{number}").write_bytes(data)
    written = b"".join(found.write())
    (folder / "DICOMDIR").write_bytes(written)
    return written


def stored_files() -> dict[str, bytes]:
    """What of pydicom's files is stored: name → file."""
    found = {}
    for name in FILES:
        data = (ROOT / name).read_bytes()
        try:
            scan(data)
        except WherryError:
            continue
        found[name] = data
    return found


# --- DCMTK -------------------------------------------------------------------------------------


def test_dcmdump_reads_every_record(tmp_path: Path) -> None:
    dcmdump = tool("dcmdump")
    files = list(stored_files().values())
    written = medium(tmp_path, files, extended=True)
    done = subprocess.run(
        [dcmdump, "+L", "DICOMDIR"], cwd=tmp_path, capture_output=True, timeout=120, check=True
    )
    assert not done.stderr, "DCMTK has something to complain of"
    offsets = [
        int(line.split(b"$")[1].split()[0])
        for line in done.stdout.splitlines()
        if b"#  offset=$" in line
    ]
    assert offsets == [
        one.record.seq_item_tell for patient in walk(written) for one in patient.all()
    ]
    assert done.stdout.count(b"refFileID=") == len(files)


def test_dcmftest_says_that_it_is_a_dicom_file(tmp_path: Path) -> None:
    dcmftest = tool("dcmftest")
    medium(tmp_path, [make_instance()])
    run(dcmftest, "DICOMDIR", folder=tmp_path)


@pytest.mark.parametrize("mode", ["+A", "+U"])
def test_dcmmkdir_goes_on_with_ours(tmp_path: Path, mode: str) -> None:
    """It reads all records by their offsets, puts a new one among them, and writes them anew."""
    dcmmkdir = tool("dcmmkdir")
    files = [make_instance(study, series, 1) for study in (1, 2) for series in (1, 2)]
    files += [(ROOT / f"test_files/{name}.dcm").read_bytes() for name in OTHERS]
    before = leaves(medium(tmp_path, files))
    (tmp_path / "IMAGES" / "NEW").write_bytes(make_instance(2, 1, 7, StudyID="2"))
    said = run(dcmmkdir, mode, "-Nxc", "IMAGES/NEW", folder=tmp_path)
    assert not [line for line in said.splitlines() if line.startswith("E:")]
    patients = walk((tmp_path / "DICOMDIR").read_bytes())
    after = [one for patient in patients for one in patient.all() if not one.below]
    assert len(after) == len(before) + 1
    added = [one for one in after if one.record.ReferencedFileID[-1] == "NEW"]
    assert [one.record.ReferencedSOPInstanceUIDInFile[-6:] for one in added] == [".2.1.7"]
    series = [one for patient in patients for one in patient.all() if added[0] in one.below]
    assert len(series[0].below) == 2, "DCMTK did not find the series"
    kept = [shown(one.record) for one in after if one not in added]
    assert kept == [shown(one.record) for one in before]
    with file_set(tmp_path / "DICOMDIR") as loaded:
        assert len(loaded) == len(files) + 1


DCMTK_MORE = frozenset(("0008,0008",))
"""Image Type: a key of the profile that DCMTK writes for (PS3.11), not of the record."""
DCMTK_DECLARES_LESS = frozenset(("0008,0005",))
"""DCMTK declares the character set only where a value may need it; we do as Orthanc does."""


@pytest.mark.parametrize("name", OTHERS)
def test_keys_are_those_of_dcmmkdir(tmp_path: Path, name: str) -> None:
    dcmmkdir = tool("dcmmkdir")
    data = (ROOT / f"test_files/{name}.dcm").read_bytes()
    ours = walk(medium(tmp_path, [data]))
    run(dcmmkdir, "+I", "-Nxc", "-Nec", "+D", "THEIRS", "IMAGES/IM0", folder=tmp_path)
    theirs = walk((tmp_path / "THEIRS").read_bytes())
    for mine, other in zip(ours[0].all(), theirs[0].all(), strict=True):
        assert mine.kind == other.kind
        here, there = shown(mine.record), shown(other.record)
        assert there.keys() - here.keys() <= DCMTK_MORE
        assert here.keys() - there.keys() <= DCMTK_DECLARES_LESS
        different = {tag for tag in here.keys() & there.keys() if here[tag] != there[tag]}
        for tag in different:  # where something stands for what is absent
            invented = there[tag].startswith("DCMTK") or there[tag].isdigit()
            assert invented and here[tag].strip("0") in ("", "NO PATIENT ID 1", "NO STUDY ID"), tag


# --- Orthanc -----------------------------------------------------------------------------------


MADE: dict[str, tuple[type_element, ...]] = {
    "nothing": (),
    "empty dates": ((0x00080020, "DA", b""), (0x00080030, "TM", b"")),
    "date of the series": ((0x00080020, "DA", b""), (0x00080021, "DA", b"20200102")),
    "date only": ((0x00080020, "DA", b"20200101"),),
    "dates of others": (
        (0x00080022, "DA", b"20200103"),
        (0x00080023, "DA", b"20200104"),
        (0x00080032, "TM", b"0102"),
    ),
    "no numbers": ((0x00200011, "IS", b"abc "), (0x00200013, "IS", b"1\\2 ")),
    "spaces": (
        (0x00080030, "TM", b" 1011 "),
        (0x00200010, "SH", b" A  "),
        (0x00200013, "IS", b"+7"),
    ),
    "undeclared": ((0x00081030, "LO", b"caf\xe9"), (0x00100010, "PN", b"M\xfcller")),
    "UTF-8": ((0x00080005, "CS", b"ISO_IR 192"), (0x00100010, "PN", "Zoë=山田".encode())),
    "long": ((0x00081030, "LO", b"x" * 5000), (0x00080050, "SH", b"y" * 30)),
    "VR UN": ((0x00080060, "UN", b"CT"), (0x00081030, "OB", b"binary")),
    "descriptions": (
        (0x00080080, "LO", b"Institution "),
        (0x00081040, "LO", b"Department"),
        (0x00100030, "DA", b"19700101"),
        (0x00181030, "LO", b"Protocol"),
        (0x0008103E, "LO", b""),
        (0x00204000, "LT", b"Comments"),
    ),
}


def everything() -> dict[str, bytes]:
    """Files of pydicom, and what is made here."""
    found = {name: data for name, data in stored_files().items() if "TINY_ALPHA" not in name}
    for name, elements in MADE.items():
        padded = ((tag, vr, even(value)) for tag, vr, value in elements)
        found[name] = meta() + data_set(*padded) + pixels()
    found["no Patient ID"] = meta() + data_set(without=(0x00100020,)) + pixels()
    return found


REFUSED_THERE = frozenset(("test_files/SC_rgb_jpeg.dcm",))
"""Not stored: implicit elements under an explicit transfer syntax."""
NO_MEDIUM_THERE = frozenset(
    (
        *("test_files/ExplVR_BigEndNoMeta.dcm", "test_files/ExplVR_LitEndNoMeta.dcm"),
        *("test_files/rtstruct.dcm", "test_files/rtdose_rle.dcm"),
        "test_files/rtdose_rle_1frame.dcm",
    )
)
"""Orthanc answers an empty ZIP when a file has no meta information, or a SOP Class UID of VR UN."""
ESCAPES_THERE = frozenset(("charset_files/chrH32.dcm", "charset_files/chrX1.dcm"))
ESCAPES_THERE |= {"charset_files/chrJapMultiExplicitIR6.dcm"}
"""Japanese escapes, which Orthanc leaves in the text."""

REASONS = {
    "characters": "Orthanc leaves out all characters beyond ASCII, so names are mutilated. They are"
    " kept as the file has them, with its character set",
    "escapes": "… or, of some Japanese names, leaves their escapes",
    "character sets": "It loses the backslash between two character sets",
    "undeclared": "A file without a character set is read as this server assumes it. The directory"
    " must say so, as its reader does not know",
    "type": "It calls every file IMAGE. That is for images (PS3.3 §F.5.4): readers look for reports"
    " and plans at records of their own types",
    "keys": "… which have keys of their own (PS3.3 §F.5)",
    "left out": "It leaves out PatientID, StudyID and SeriesNumber when they are empty, although"
    " they are of type 1; pydicom does not load such a file-set",
    "empty": "… and writes InstanceNumber, Modality, and the date of a study without a value",
    "present": "It writes the present day or time when the file has none: wrong, and looks right."
    " Another date of the file, or one that nobody takes for true, stands there",
    "number": "What is no number is none here: pydicom refuses to show it",
    "VR UN": "It sees no text in an element of VR UN",
    "long": "Texts of more than 1 KiB are not repeated in the directory",
}
"""Why records are not those of Orthanc."""

STAND_INS = {
    "0008,0020": "19000101",
    "0008,0030": "000000",
    "0008,0060": "OT",
    "0010,0020": "NO PATIENT ID 1",
    "0020,0010": "NO STUDY ID",
    "0020,0011": "0",
    "0020,0013": "0",
}
DATES = ("0008,0020", "0008,0030")
NUMBERS = ("0020,0011", "0020,0013")


def reason(name: str, data: bytes, kind: str, tag: str, here: Any, there: Any) -> str:
    """The reason of a difference; ``none`` when there is no good one."""
    is_absent = tag in STAND_INS and not (values(data, [tag]).get(tag) or "").strip()
    ascii_only = "" if here is None else str(here).encode("ascii", "ignore").decode()
    rules = {  # the first that holds
        "type": tag == "0004,1430" and there == "IMAGE",
        "keys": there is None and kind != "IMAGE" and kind in LEAF,
        "undeclared": tag == "0008,0005" and there is None and name == "undeclared",
        "character sets": tag == "0008,0005" and here.replace("\\", "") == there,
        "left out": is_absent and there is None and here == STAND_INS[tag],
        "VR UN": name == "VR UN" and here == "CT",
        "empty": is_absent and there == "" and (here == STAND_INS[tag] or tag in DATES),
        "present": is_absent and tag in DATES and here == STAND_INS[tag],
        "number": tag in NUMBERS and here == "0" and not str(there).lstrip("+-").isdigit(),
        "long": here == "" and len(there or "") > 1024,
        "escapes": name in ESCAPES_THERE and ascii_only != here,
        "characters": ascii_only != here and ascii_only.strip("=") == there,
    }
    return next((why for why, holds in rules.items() if holds), "none")


def test_records_beside_those_of_orthanc(orthanc: Orthanc) -> None:
    seen, refused, no_medium = set(), set(), set()
    for name, data in everything().items():
        status, answer = orthanc.upload(data)
        if status != 200:
            refused.add(name)
            continue
        for extended in (False, True):
            path = f"/studies/{answer['ParentStudy']}/media" + "?extended" * extended
            status, archive = orthanc.raw("GET", path)
            if not archive:
                no_medium.add(name)
                continue
            found = DicomDir(extended=extended)
            found.add(data, ("IMAGES", "IM0"))
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                theirs, ours = walk(opened.read("DICOMDIR")), walk(b"".join(found.write()))
            for mine, other in zip(ours[0].all(), theirs[0].all(), strict=True):
                here, there = shown(mine.record), shown(other.record)
                for tag in here.keys() | there.keys():
                    if here.get(tag) != there.get(tag):
                        why = reason(name, data, mine.kind, tag, here.get(tag), there.get(tag))
                        assert why != "none", (name, tag, here.get(tag), there.get(tag))
                        seen.add(why)
    assert refused == REFUSED_THERE
    assert no_medium == NO_MEDIUM_THERE
    assert seen == set(REASONS), "a reason that is none any more"


def test_a_medium_of_several_patients_beside_that_of_orthanc(orthanc: Orthanc) -> None:
    """The tree, and the order in it: as the files come."""
    orthanc.clear()
    files = {}
    for study, series, number in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (3, 1, 1), (2, 1, 2)):
        data = make_instance(study, series, number, patient_id=f"P{study % 2}", StudyID="1")
        status, answer = orthanc.request("POST", "/instances", data)
        assert status == 200
        files[data] = answer["ID"]
    studies = json.dumps({"Resources": orthanc.get("/studies")}).encode()
    status, archive = orthanc.raw("POST", "/tools/create-media-extended", studies)
    assert status == 200
    found = DicomDir(extended=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist()[:-1]:
            found.add(opened.read(name), tuple(name.split("/")))
        theirs = opened.read("DICOMDIR")
        assert len(opened.namelist()) == len(files) + 1

    def tree(written: bytes) -> list[dict[str, Any]]:
        return [shown(one.record) for patient in walk(written) for one in patient.all()]

    assert tree(b"".join(found.write())) == tree(theirs)
