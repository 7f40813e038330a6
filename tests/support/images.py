"""DICOM files of images made of arrays, and pictures read back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.support.dicom_files import make_instance


def image_file(array: Any, number: int = 1, *, is_colour: bool = False, **tags: object) -> bytes:
    """One instance with these frames: (frames ×) rows × columns (× 3 of colours)."""
    values = np.asarray(array)
    size = values.shape[:-1] if is_colour else values.shape
    data = dcmread(io.BytesIO(make_instance(number=number)))
    data.SamplesPerPixel = 3 if is_colour else 1
    data.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        data.PlanarConfiguration = 0
    if len(size) > 2:
        data.NumberOfFrames = size[0]
    data.Rows, data.Columns = size[-2:]
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    content = values.tobytes()
    data.PixelData = content + bytes(len(content) % 2)
    data["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return written(data)


def encapsulated(file: bytes, syntax: str, *frames: bytes) -> bytes:
    """The same instance with these frames in another transfer syntax."""
    data = dcmread(io.BytesIO(file))
    data.file_meta.TransferSyntaxUID = UID(syntax)
    data.PixelData = encapsulate(list(frames))
    data["PixelData"].VR = "OB"
    return written(data)


def written(data: Dataset) -> bytes:
    """A data set as a file."""
    for element in data:
        if element.VR == "US or SS":
            element.VR = "SS" if min(element.value) < 0 else "US"
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def items(**tags: object) -> Sequence:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return Sequence([item])


def pixels(file: bytes) -> Any:
    """A PNG or JPEG as an array, read by Pillow."""
    with Image.open(io.BytesIO(file)) as picture:
        found = np.asarray(picture)
    return found.astype("u2") if found.dtype.itemsize > 1 and found.dtype.kind == "i" else found
