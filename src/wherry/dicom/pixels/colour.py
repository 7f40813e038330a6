"""Colours of pixels as RGB of 8 bits (PS3.3 §C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Final

import numpy as np

from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.tables import Table, descriptor, table, unpacked
from wherry.errors import BadFileFormat

PALETTE: Final = "PALETTE COLOR"
_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_TABLES: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED: Final = (0x00281221, 0x00281222, 0x00281223)
COLOUR_TAGS: Final = (*_DESCRIPTORS, *_TABLES, *_SEGMENTED)

_YBR: Final = np.array(  # PS3.3 §C.7.6.3.1.2, inverted
    [[1, 0, 1.402], [1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1, 1.772, 0]], "f4"
)


def is_colour(image: Image) -> bool:
    """Whether its pixels are colours, by themselves or by a palette."""
    return image.shape.samples == 3 or image.photometric == PALETTE


def palette(image: Image) -> type_array:
    """The colours of a palette, by the stored values from the smallest to the largest that a frame
    may have (at most 65,536). Raises ``BadFileFormat``."""
    shape = image.shape
    if shape.bits_stored > 16:
        raise BadFileFormat("a palette of too many colours")
    low = -(1 << (shape.bits_stored - 1)) if shape.signed else 0
    values = np.arange(low, low + (1 << shape.bits_stored))
    colours = [_table(image, *tags) for tags in zip(_DESCRIPTORS, _TABLES, _SEGMENTED, strict=True)]
    return np.stack([one.look_up(values) for one in colours], axis=-1)


def _table(image: Image, described: int, plain: int, segmented: int) -> Table:
    tree = image.tree
    root, big_endian = tree.root, tree.big_endian
    found = descriptor(
        tree.short_value(root.get(described)), big_endian=big_endian, signed=image.shape.signed
    )
    if plain in root:
        one = table(found, tree.value(root[plain]), big_endian=big_endian)
    elif segmented in root:
        one = unpacked(found, tree.value(root[segmented]), big_endian=big_endian)
    else:
        raise BadFileFormat("a palette without colours")
    return Table(one.first, 8, one.as_bytes())


def rgb(image: Image, rows: type_array) -> type_array:
    """Some rows of a frame of three samples, as RGB of 8 bits."""
    bits = image.shape.bits_stored
    if bits > 8:
        rows = rows >> rows.dtype.type(bits - 8)
    if image.shape.signed:
        rows = rows.astype("i4") + (1 << (min(bits, 8) - 1))
    rows = rows.astype("u1", copy=False)
    if not image.photometric.startswith("YBR"):
        return rows
    floats = rows.astype("f4") - np.array([0, 128, 128], "f4")
    mixed: type_array = floats @ _YBR.T + np.float32(0.5)
    return np.clip(mixed, 0, 255).astype("u1")
