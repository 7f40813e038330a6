"""A study that looks and compresses like a real one: a CT series and an enhanced CT object.

The picture is a body with lungs and spine whose outlines change from slice to slice, under noise
as a scanner has it (16 bits a pixel, gzip halves it). It is made with whole-row copies and one
big-integer addition a slice, so that no numeric library is needed: pixels are 16-bit lanes of one
huge number, and anatomy plus noise never carries from one lane to the next. The same seed gives
the same bytes.
"""

from __future__ import annotations

import io
import math
import random
from array import array
from collections.abc import Iterator
from statistics import NormalDist

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

SIDE = 512
_SEED = 20_260_101
_NOISE_SIGMA = 13.0

_NOISE_MEAN = 64

# Hounsfield units. What is stored is 1024 above; the mean of the noise comes on top.
_AIR, _FAT, _TISSUE, _LUNG, _BONE = (hu + 1024 - _NOISE_MEAN for hu in (-960, -90, 40, -750, 700))


def ct_series(slices: int) -> Iterator[bytes]:
    """The files of a CT series, PS3.3 §A.3."""
    noise = _Noise(_SEED)
    for number in range(1, slices + 1):
        data = _common(CTImageStorage, f"slice {number}")
        data.SeriesInstanceUID = _uid("series 1")
        data.SeriesNumber = 1
        data.SeriesDescription = "Thorax 1.0 mm"
        data.InstanceNumber = number
        data.ImagePositionPatient = [-180, -180, float(number)]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.SliceLocation = float(number)
        data.SliceThickness = 1
        data.PixelSpacing = [0.703125, 0.703125]
        data.KVP = 120
        data.RescaleIntercept = -1024
        data.RescaleSlope = 1
        data.RescaleType = "HU"
        data.WindowCenter = 40
        data.WindowWidth = 400
        data.PixelData = noise.over(_anatomy(number / slices))
        yield _file(data)


def enhanced_ct(frames: int) -> bytes:
    """One enhanced multi-frame CT object, PS3.3 §A.38."""
    noise = _Noise(_SEED + 1)
    data = _common(EnhancedCTImageStorage, "enhanced")
    data.SeriesInstanceUID = _uid("series 2")
    data.SeriesNumber = 2
    data.SeriesDescription = "Thorax, one object"
    data.InstanceNumber = 1
    data.NumberOfFrames = frames
    data.SharedFunctionalGroupsSequence = Sequence([_shared_groups()])
    data.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame_groups(number) for number in range(1, frames + 1)]
    )
    pixels = bytearray()
    for number in range(1, frames + 1):
        pixels += noise.over(_anatomy(number / frames))
    data.PixelData = bytes(pixels)
    return _file(data)


def _common(sop_class: str, name: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = _uid(name)
    data.StudyInstanceUID = _uid("study")
    data.FrameOfReferenceUID = _uid("frame of reference")
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.StudyDate = data.SeriesDate = data.ContentDate = "20260101"
    data.StudyTime = data.SeriesTime = data.ContentTime = "101500"
    data.AccessionNumber = "WHERRY1"
    data.Modality = "CT"
    data.Manufacturer = "Wherry"
    data.StudyDescription = "CT thorax (demonstration)"
    data.PatientName = "Demo^Wherry"
    data.PatientID = "WHERRY-DEMO"
    data.PatientBirthDate = "19600229"
    data.PatientSex = "O"
    data.StudyID = "1"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = SIDE
    data.BitsAllocated = 16
    data.BitsStored = 12
    data.HighBit = 11
    data.PixelRepresentation = 0
    return data


def _shared_groups() -> Dataset:
    measures = Dataset()
    measures.PixelSpacing = [0.703125, 0.703125]
    measures.SliceThickness = 1
    value = Dataset()
    value.RescaleIntercept = -1024
    value.RescaleSlope = 1
    value.RescaleType = "HU"
    groups = Dataset()
    groups.PixelMeasuresSequence = Sequence([measures])
    groups.PixelValueTransformationSequence = Sequence([value])
    return groups


def _frame_groups(number: int) -> Dataset:
    position = Dataset()
    position.ImagePositionPatient = [-180, -180, float(number)]
    content = Dataset()
    content.StackID = "1"
    content.InStackPositionNumber = number
    content.DimensionIndexValues = [1, number]
    groups = Dataset()
    groups.PlanePositionSequence = Sequence([position])
    groups.FrameContentSequence = Sequence([content])
    return groups


def _uid(name: str) -> str:
    return generate_uid(entropy_srcs=["wherry demo", name])


def _file(data: Dataset) -> bytes:
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class _Noise:
    """Gaussian noise: random bytes, each looked up in the inverse of the distribution."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  pictures, no secrets
        gauss = NormalDist(0, _NOISE_SIGMA)
        self._table = bytes(
            min(2 * _NOISE_MEAN, max(0, round(_NOISE_MEAN + gauss.inv_cdf((byte + 0.5) / 256))))
            for byte in range(256)
        )

    def over(self, anatomy: bytes) -> bytes:
        """The pixels of ``anatomy`` plus noise."""
        lanes = bytearray(len(anatomy))
        lanes[::2] = self._random.randbytes(len(anatomy) // 2).translate(self._table)
        total = int.from_bytes(anatomy, "little") + int.from_bytes(lanes, "little")
        return total.to_bytes(len(anatomy), "little")


def _anatomy(height: float) -> bytes:
    """Pixels of one slice without noise; ``height`` 0…1 from neck to hip."""
    width = 0.62 + 0.25 * math.sin(math.pi * height)
    lung = max(0.0, math.sin(math.pi * (0.1 + 1.1 * height)))
    ellipses = (
        (0.0, 0.0, width, 0.62, _FAT),
        (0.0, 0.0, width - 0.06, 0.56, _TISSUE),
        (-0.38, -0.08, 0.27 * lung, 0.36 * lung, _LUNG),
        (0.38, -0.08, 0.25 * lung, 0.38 * lung, _LUNG),
        (0.0, 0.38, 0.10, 0.11, _BONE),
        (0.0, 0.38, 0.045, 0.05, _TISSUE),
    )
    rows = array("H")
    for index in range(SIDE):
        y = (index + 0.5) / SIDE * 2 - 1
        row = array("H", (_AIR,)) * SIDE
        for x_center, y_center, x_radius, y_radius, value in ellipses:
            if abs(y - y_center) < y_radius and x_radius > 0:
                reach = x_radius * math.sqrt(1 - ((y - y_center) / y_radius) ** 2)
                first = round((x_center - reach + 1) * SIDE / 2)
                last = round((x_center + reach + 1) * SIDE / 2)
                row[first:last] = array("H", (value,)) * (last - first)
        rows += row
    return rows.tobytes()
