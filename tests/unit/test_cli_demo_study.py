"""The study of the demonstration is valid, realistic and repeatable."""

from __future__ import annotations

import gzip
import io

import pydicom

from wherry.cli.demo.study import SIDE, ct_series, enhanced_ct


def test_series() -> None:
    files = list(ct_series(3))
    assert files == list(ct_series(3))
    images = [pydicom.dcmread(io.BytesIO(file)) for file in files]
    assert len({image.SOPInstanceUID for image in images}) == 3
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert [image.InstanceNumber for image in images] == [1, 2, 3]
    for image in images:
        assert len(image.PixelData) == SIDE * SIDE * 2
        assert image.file_meta.TransferSyntaxUID.is_implicit_VR is False


def test_entropy_is_that_of_a_scanner() -> None:
    middle = list(ct_series(3))[1]
    ratio = len(middle) / len(gzip.compress(middle, 1))
    assert 1.7 < ratio < 2.3


def test_pixels_fit_their_bits() -> None:
    image = pydicom.dcmread(io.BytesIO(next(ct_series(1))))
    assert max(memoryview(image.PixelData).cast("H")) < 2**image.BitsStored


def test_enhanced_object() -> None:
    image = pydicom.dcmread(io.BytesIO(enhanced_ct(4)))
    assert image.NumberOfFrames == len(image.PerFrameFunctionalGroupsSequence) == 4
    assert len(image.PixelData) == 4 * SIDE * SIDE * 2
    series = pydicom.dcmread(io.BytesIO(next(ct_series(1))))
    assert image.StudyInstanceUID == series.StudyInstanceUID
