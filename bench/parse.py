"""How long our readers of DICOM take beside pydicom, in µs of CPU a file.

    python bench/parse.py [FILE…]

Without files: made ones that stand for what a hospital sends, and some of pydicom's own test
files. The best of several rounds counts. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import gc
import io
import mmap
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian

from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.dicom.tags import MAIN_DICOM_TAGS

OWN_FILES = ("CT_small.dcm", "MR_small_implicit.dcm", "image_dfl.dcm", "rtplan.dcm")


def made_files() -> Iterator[tuple[str, bytes]]:
    """A CT slice of 512 × 512 and an enhanced object of 200 frames."""
    yield "made CT slice", written(ct_slice())
    yield "made enhanced, 200 frames", written(enhanced(200))


def ct_slice() -> Dataset:
    """The elements of a plain CT slice, 48 of them before the pixels."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1.1.1"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112.5"
    ds.AccessionNumber = "A0001"
    ds.Modality = "CT"
    ds.Manufacturer = "Wherry"
    ds.InstitutionName = "Hospital"
    ds.ReferringPhysicianName = "Doe^Jane"
    ds.StationName = "CT1"
    ds.StudyDescription = "Chest"
    ds.SeriesDescription = "Lung 1.0"
    ds.PatientName = "Doe^John"
    ds.PatientID = "P000001"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "M"
    ds.PatientAge = "054Y"
    ds.BodyPartExamined = "CHEST"
    ds.SliceThickness = "1.0"
    ds.KVP = "120"
    ds.ProtocolName = "Chest routine"
    ds.GantryDetectorTilt = "0"
    ds.XRayTubeCurrent = "200"
    ds.ConvolutionKernel = "B70"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.1"
    ds.StudyID = "1"
    ds.SeriesNumber = "2"
    ds.AcquisitionNumber = "1"
    ds.InstanceNumber = "17"
    ds.ImagePositionPatient = ["-180.5", "-180.5", "17.25"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.9"
    ds.SliceLocation = "17.25"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 512
    ds.PixelSpacing = ["0.7", "0.7"]
    ds.BitsAllocated = 16
    ds.BitsStored = 12
    ds.HighBit = 11
    ds.PixelRepresentation = 0
    ds.WindowCenter = "-600"
    ds.WindowWidth = "1500"
    ds.RescaleIntercept = "-1024"
    ds.RescaleSlope = "1"
    ds.PixelData = bytes(512 * 512 * 2)
    return ds


def enhanced(frames: int) -> Dataset:
    """An enhanced MR object: two nested sequences a frame, of defined length."""
    ds = ct_slice()
    ds.SOPClassUID = EnhancedMRImageStorage
    ds.Rows = ds.Columns = 64
    ds.NumberOfFrames = frames
    groups = []
    for number in range(frames):
        content, plane = Dataset(), Dataset()
        content.DimensionIndexValues = [1, number]
        content.InStackPositionNumber = number
        plane.ImagePositionPatient = [0, 0, number]
        group = Dataset()
        group.FrameContentSequence = Sequence([content])
        group.PlanePositionSequence = Sequence([plane])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.PixelData = bytes(64 * 64 * 2 * frames)
    return ds


def written(ds: Dataset) -> bytes:
    """``ds`` as a DICOM file, explicit little endian."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


MAIN_TAGS = [tag.replace(",", "") for tags in MAIN_DICOM_TAGS.values() for tag in tags]


def pydicom_main_tags(data: bytes) -> list[str]:
    """What a server without a scan of its own would do."""
    ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
    return [str(ds[tag].value) for tag in MAIN_TAGS if tag in ds]


def microseconds(work: Callable[[], object], budget_s: float) -> float:
    """CPU time of one call: the best of rounds that together take about ``budget_s``."""
    start = time.process_time()
    work()
    calls = max(1, int(budget_s / 10 / max(time.process_time() - start, 1e-7)))
    rounds = []
    for _ in range(9):
        start = time.process_time()
        for _ in range(calls):
            work()
        rounds.append((time.process_time() - start) / calls)
    return min(rounds) * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each figure")
    options = parser.parse_args()
    if options.files:
        files = [(path.name, path.read_bytes()) for path in options.files]
    else:
        files = list(made_files())
        files += [(n, Path(str(get_testdata_file(n))).read_bytes()) for n in OWN_FILES]
    gc.disable()
    print(f"{'µs a file':28}{'scan':>8}{'mapped':>8}{'json':>9}{'pydicom':>9}{'ratio':>7}")
    ratios = []
    for name, data in files:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                ours = microseconds(lambda: scan(data), options.seconds)  # noqa: B023
                map_us = microseconds(lambda: scan(mapped), options.seconds)
                json = microseconds(lambda: to_json(data, "full"), options.seconds)  # noqa: B023
                theirs = microseconds(lambda: pydicom_main_tags(data), options.seconds)  # noqa: B023
        ratios.append(theirs / ours)
        print(f"{name:28}{ours:8.1f}{map_us:8.1f}{json:9.1f}{theirs:9.1f}{ratios[-1]:7.1f}")
    print(f"median ratio pydicom / scan: {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
