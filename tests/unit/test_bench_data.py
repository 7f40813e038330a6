"""The benchmark's data: valid DICOM, the same bytes for the same seed, entropy as promised."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from bench.dicomfile import Elements, dicom_file, uid
from bench.make_data import PLANS, Manifest, Plan, files, make


def few(name: str, count: int = 6, series_count: int = 2) -> Plan:
    return replace(PLANS[name], count=count, series_count=series_count)


def contents(folder: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in files(folder, name)]


@pytest.mark.parametrize("name", ["onco", "small"])
def test_same_seed_same_bytes(tmp_path: Path, name: str) -> None:
    make(few(name), tmp_path / "a", seed=1)
    make(few(name), tmp_path / "b", seed=1)
    make(few(name), tmp_path / "c", seed=2)
    first = contents(tmp_path / "a", name)
    assert first == contents(tmp_path / "b", name)
    assert not set(first) & set(contents(tmp_path / "c", name))


@pytest.mark.parametrize(
    ("name", "bytes_low", "bytes_high", "ratio_low", "ratio_high"),
    [("onco", 515_000, 535_000, 1.8, 2.3), ("small", 29_000, 31_500, 1.3, 1.8)],
)
def test_size_and_entropy(
    tmp_path: Path,
    name: str,
    bytes_low: int,
    bytes_high: int,
    ratio_low: float,
    ratio_high: float,
) -> None:
    make(few(name), tmp_path)
    for data in contents(tmp_path, name):
        assert bytes_low < len(data) < bytes_high
        assert ratio_low < len(data) / len(zlib.compress(data, 1)) < ratio_high


@pytest.mark.parametrize("name", ["onco", "small"])
def test_pydicom_reads_it(tmp_path: Path, name: str) -> None:
    manifest = make(few(name), tmp_path)
    found = [pydicom.dcmread(BytesIO(data)) for data in contents(tmp_path, name)]
    for image in found:
        assert image.PatientID == manifest.patient_id
        assert image.StudyInstanceUID == manifest.study_instance_uid
        assert image.PatientName == "Lefèvre^Anaïs"
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert len(image.PixelData) == 2 * image.Rows * image.Columns
        assert image.ProcedureCodeSequence[0].CodeValue == "WHERRY1"
        assert all(str(element.value) is not None for element in image.iterall())
    assert len({image.SOPInstanceUID for image in found}) == len(found)
    assert Counter(int(image.SeriesNumber) for image in found) == {1: 3, 2: 3}
    assert [int(image.InstanceNumber) for image in found] == [1, 2, 3, 1, 2, 3]


def test_a_tomosynthesis_volume_is_100_mib(tmp_path: Path) -> None:
    make(few("mammo", count=1, series_count=1), tmp_path)
    (path,) = files(tmp_path, "mammo")
    image = pydicom.dcmread(path, stop_before_pixels=True)
    assert image.NumberOfFrames * image.Rows * image.Columns * 2 == 100 * 2**20
    assert len(image.PerFrameFunctionalGroupsSequence) == image.NumberOfFrames
    assert path.stat().st_size < 100 * 2**20 + 8192


def test_a_set_is_made_once_and_again_when_its_folder_is_not_whole(tmp_path: Path) -> None:
    plan = few("small")
    manifest = make(plan, tmp_path)
    place = tmp_path / "small"
    first = files(tmp_path, "small")[0]
    moment = first.stat().st_mtime_ns
    assert make(plan, tmp_path) == manifest
    assert first.stat().st_mtime_ns == moment
    (place / "manifest.json").unlink()
    first.unlink()
    assert make(plan, tmp_path) == manifest
    assert len(files(tmp_path, "small")) == 6
    assert Manifest(**json.loads((place / "manifest.json").read_text())) == manifest


def test_the_study_has_orthancs_identifier() -> None:
    manifest = Manifest("x", 1, 1, 1, 1, "Patient", "1.2.3")
    assert manifest.orthanc_study_id == "8c09cb77-b4ce0212-0fe1e868-2b50aff4-9377c514"


def test_values_have_even_length_and_uids_are_legal() -> None:
    elements: Elements = {
        0x00080016: ("UI", uid("class")),
        0x00080018: ("UI", uid("instance")),
        0x00100010: ("PN", "Odd"),
        0x00280010: ("US", 7),
    }
    data = b"".join(dicom_file(elements, [b"\1\2", b"\3\4"]))
    image = pydicom.dcmread(BytesIO(data))
    assert image.PixelData == b"\1\2\3\4"
    assert image.Rows == 7
    assert len(data) % 2 == 0
    assert image.SOPInstanceUID.is_valid
