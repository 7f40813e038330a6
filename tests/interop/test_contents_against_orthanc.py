"""Header, content, modules, shared tags, slices and frames: what Debian's Orthanc answers, and what
we answer. Where we differ on purpose, the difference stands here with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.interop.test_tags_against_orthanc import differences
from tests.support.dicom_files import make_instance
from tests.support.face import Face
from tests.support.genuine import Orthanc
from tests.support.pydicom_files import FILES, ROOT

READ_BY_US_ONLY = frozenset(("test_files/SC_rgb_jpeg.dcm",))
"""Implicit elements under an explicit transfer syntax."""

ESCAPES = frozenset(("charset_files/chrH32.dcm", "charset_files/chrJapMultiExplicitIR6.dcm"))
"""Japanese escapes, which Orthanc leaves in the text."""

EVERY = 4
"""So many elements share one comparison of raw values."""


def both(orthanc: Orthanc, face: Face, files: Sequence[bytes]) -> list[dict[str, Any]]:
    """Upload to both, into empty stores; the answers, [] when both refuse the first."""
    orthanc.clear()
    for patient in face.json("/patients"):
        face.request("DELETE", f"/patients/{patient}")
    answers = []
    for data in files:
        status, answer = orthanc.request("POST", "/instances", data)
        ours = face.request("POST", "/instances", data)
        assert ours.status == status
        if status != 200:
            return []
        assert ours.json()["ID"] == answer["ID"]
        answers.append(answer)
    return answers


@pytest.mark.parametrize("name", sorted(set(FILES) - READ_BY_US_ONLY))
def test_files_of_pydicom(orthanc: Orthanc, face: Face, name: str) -> None:
    data = (ROOT / name).read_bytes()
    answers = both(orthanc, face, [data])
    if not answers:
        return
    answer = answers[0]
    one = f"/instances/{answer['ID']}"
    for form in ("", "?short", "?simplify"):
        assert face.json(f"{one}/header{form}") == orthanc.get(f"{one}/header{form}")
    contents = orthanc.get(f"{one}/content")
    assert face.json(f"{one}/content") == contents
    is_swapped = orthanc.get(f"{one}/metadata/TransferSyntax") == "1.2.840.10008.1.2.2"
    for tag in [] if is_swapped else contents[::EVERY]:  # Orthanc shows words in its own order
        same_content(orthanc, face, f"{one}/content/{tag}")
    levels = {
        "patients": answer["ParentPatient"],
        "studies": answer["ParentStudy"],
        "series": answer["ParentSeries"],
        "instances": answer["ID"],
    }
    if name in ESCAPES:
        return
    for level, orthanc_id in levels.items():
        for what in ("module", *(("shared-tags",) if level != "instances" else ())):
            path = f"/{level}/{orthanc_id}/{what}"
            assert differences(orthanc.get(path), face.json(path)) == [], path
    path = f"/studies/{levels['studies']}/module-patient"
    assert differences(orthanc.get(path), face.json(path)) == []
    path = f"/series/{levels['series']}/instances-tags"
    theirs, ours = orthanc.get(path), face.json(path)
    assert theirs.keys() == ours.keys()
    assert differences(theirs[answer["ID"]], ours[answer["ID"]]) == []


def same_content(orthanc: Orthanc, face: Face, path: str) -> None:
    """Compare a value, or a list and the first thing in it."""
    status, theirs = orthanc.raw("GET", path)
    ours = face.get(path)
    assert ours.status == status, path
    if ours.headers["content-type"].startswith("application/json"):
        listed = orthanc.get(path)
        assert ours.json() == listed, path
        for first in listed[:2]:
            same_content(orthanc, face, f"{path}/{first}")
    else:
        assert ours.body == theirs, path


FRAMES = (
    "test_files/MR_small.dcm",
    "test_files/MR_small_bigendian.dcm",
    "test_files/MR_small_RLE.dcm",
    "test_files/SC_rgb_rle_2frame.dcm",
    "test_files/JPEG2000.dcm",
    "test_files/JPEG-lossy.dcm",
    "test_files/SC_rgb_small_odd.dcm",
    "test_files/image_dfl.dcm",
    "test_files/liver_1frame.dcm",
    "test_files/rtdose.dcm",
    "test_files/rtdose_rle.dcm",
)


@pytest.mark.parametrize("name", sorted(set(FRAMES) & set(FILES)))
def test_raw_frames(orthanc: Orthanc, face: Face, name: str) -> None:
    [answer] = both(orthanc, face, [(ROOT / name).read_bytes()])
    one = f"/instances/{answer['ID']}/frames"
    frames = orthanc.get(one)
    assert face.json(one) == frames
    assert face.json(f"{one}/0") == orthanc.get(f"{one}/0")
    for number in (0, len(frames) - 1, len(frames)):
        status, theirs = orthanc.raw("GET", f"{one}/{number}/raw")
        ours = face.get(f"{one}/{number}/raw")
        assert ours.status == status
        assert status != 200 or ours.body == theirs


PLANE = [1, 0, 0, 0, 1, 0]


def series(*parts: dict[str, Any]) -> list[bytes]:
    """Instances of one series, numbered by their UIDs."""
    return [
        make_instance(
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID="1.2.2",
            SOPInstanceUID=f"1.2.3.{number}",
            **{key: value for key, value in part.items() if value is not None},
        )
        for number, part in enumerate(parts)
    ]


def placed(*positions: tuple[object, object], plane: object = PLANE) -> list[bytes]:
    """Instances with heights and numbers."""
    return series(
        *(
            {
                "ImageOrientationPatient": plane,
                "ImagePositionPatient": None if z is None else [0, 0, z],
                "InstanceNumber": number,
            }
            for z, number in positions
        )
    )


SERIES = {
    "volume": placed((3, 1), (1, 2), (2, 3)),
    "from above": placed((3, 1), (1, 2), (2, 3), plane=[0, 1, 0, 1, 0, 0]),
    "scaled": placed((1, 3), (2, 2), plane=[2, 0, 0, 0, 2, 0]),
    "no plane": placed((1, 3), (2, 2), plane=None),
    "half a plane": placed((1, 3), (2, 2), plane=[1, 0, 0]),
    "a line": placed((1, 3), (2, 2), plane=[0, 0, 0, 0, 0, 0]),
    "one place twice": placed((3, 3), (3, 2), (2, 1)),
    "one place nearly": placed(("1.0000001", 3), (1, 2), (2, 1)),
    "near": placed(("1.000005", 3), (1, 2), (2, 1)),
    "one without a place": placed((3, 1), (None, 3), (1, 2)),
    "numbers only": series({"InstanceNumber": 10}, {"InstanceNumber": 9}, {"InstanceNumber": 9}),
    "nothing": series({"InstanceNumber": None}),
    "nothing twice": series({}, {}),
    "frames": series(
        {"InstanceNumber": 2, "NumberOfFrames": 3}, {"InstanceNumber": 1, "NumberOfFrames": 1}
    ),
    "other planes": series(
        *(
            {
                "ImageOrientationPatient": plane,
                "ImagePositionPatient": [z, 0, z],
                "InstanceNumber": 9 - z,
            }
            for z, plane in ((1, PLANE), (2, [0, 1, 0, 0, 0, 1]), (3, PLANE))
        )
    ),
    "tilted planes": series(
        *(
            {
                "ImageOrientationPatient": plane,
                "ImagePositionPatient": [0, 0, z],
                "InstanceNumber": 9 - z,
            }
            for z, plane in ((1, PLANE), (2, [1, 0, 0.001, 0, 1, 0]), (3, [0, 1, 0, 1, 0, 0]))
        )
    ),
}


@pytest.mark.parametrize("name", SERIES)
def test_slices(orthanc: Orthanc, face: Face, name: str) -> None:
    answers = both(orthanc, face, SERIES[name])
    path = f"/series/{answers[0]['ParentSeries']}/ordered-slices"
    status, theirs = orthanc.request("GET", path)
    ours = face.get(path)
    assert (ours.status, ours.json()) == (status, theirs)


def test_tags_of_several_instances(orthanc: Orthanc, face: Face) -> None:
    files = [
        make_instance(
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID=f"1.2.2.{number // 2}",
            SOPInstanceUID=f"1.2.3.{number}",
            StudyDescription="the same",
            ImageComments="x" * (250 + number),
            PatientComments="y" * 300,
            **({"StationName": "here"} if number else {}),
        )
        for number in range(4)
    ]
    answer = both(orthanc, face, files)[0]
    for path in (
        f"/patients/{answer['ParentPatient']}",
        f"/studies/{answer['ParentStudy']}",
        f"/series/{answer['ParentSeries']}",
    ):
        for form in ("", "?short", "?simplify"):
            for what in ("shared-tags", "instances-tags", "module"):
                url = f"{path}/{what}{form}"
                assert face.json(url) == orthanc.get(url), url
