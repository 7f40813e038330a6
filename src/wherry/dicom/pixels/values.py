"""What stored values mean, and which of them are shown: modality and VOI transformation (PS3.3
§C.11.1, §C.11.2), of a whole image or of one of its frames (§C.7.6.16.2.9, §C.7.6.16.2.10).

A window is, as in Orthanc, all that lies between centre − width/2 and centre + width/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.tables import Table, descriptor, table
from wherry.dicom.reading import Element, type_dataset
from wherry.dicom.tree import Tree

_CENTER, _WIDTH, _FUNCTION = 0x00281050, 0x00281051, 0x00281056
_INTERCEPT, _SLOPE = 0x00281052, 0x00281053
_MODALITY_LUT, _VOI_LUT = 0x00283000, 0x00283010
_LUT_DESCRIPTOR, _LUT_DATA = 0x00283002, 0x00283006
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_FRAME_VOI, _FRAME_MODALITY = 0x00289132, 0x00289145

VALUE_TAGS: Final = (
    *(_CENTER, _WIDTH, _FUNCTION, _INTERCEPT, _SLOPE, _MODALITY_LUT, _VOI_LUT),
    *(_SHARED, _PER_FRAME),
)


@dataclass(frozen=True, slots=True)
class Rescale:
    """From stored values to those of the modality, such as Hounsfield units."""

    slope: float = 1.0
    intercept: float = 0.0
    table: Table | None = None
    """Instead of the two."""

    def apply(self, values: type_array) -> type_array:
        """The modality's values, in double precision."""
        if self.table is not None:
            return self.table.look_up(values).astype("f8")
        return values.astype("f8") * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Window:
    """From values of the modality to 0…255."""

    center: float
    width: float
    sigmoid: bool = False
    table: Table | None = None
    """Instead of all of it."""

    def apply(self, values: type_array) -> type_array:
        """Shades, before they are made whole."""
        if self.table is not None:
            return self.table.look_up(np.rint(values)) * (255 / ((1 << self.table.bits) - 1))
        width = max(self.width, 1.0)
        if self.sigmoid:
            slope = np.clip(-4 * (values - self.center) / width, -700, 700)
            return np.asarray(255 / (1 + np.exp(slope)))
        return (values - (self.center - width / 2)) * 255 / width


def rescale_of(image: Image, frame: int) -> Rescale:
    """The modality transformation of a frame."""
    tree = image.tree
    for elements in _places(tree, frame, _FRAME_MODALITY):
        slope, intercept = _decimal(tree, elements, _SLOPE), _decimal(tree, elements, _INTERCEPT)
        if slope is not None or intercept is not None:
            return Rescale(1.0 if slope is None else slope, intercept or 0.0)
    found = _lut(image, _MODALITY_LUT, signed=image.shape.signed)
    return Rescale(table=found) if found is not None else Rescale()


def window_of(image: Image, frame: int) -> Window | None:
    """The window of a frame: the first that it has, or its table; None when there is none."""
    tree = image.tree
    for elements in _places(tree, frame, _FRAME_VOI):
        center, width = _decimal(tree, elements, _CENTER), _decimal(tree, elements, _WIDTH)
        if center is not None and width is not None:
            function = tree.short_value(elements.get(_FUNCTION)).strip(b" \0")
            return Window(center, width, function == b"SIGMOID")
    rescaled = rescale_of(image, frame)
    found = _lut(image, _VOI_LUT, signed=image.shape.signed or rescaled.intercept < 0)
    if found is not None:
        return Window(0, 1, table=found)
    return None


def whole_window(image: Image, values: type_array) -> Window:
    """For an image without a window: all that its bits could hold, or, of more than 16, what the
    rescaled ``values`` hold."""
    if image.shape.bits_stored > 16:
        low, high = float(values.min()), float(values.max())
        return Window((low + high) / 2, high - low)
    whole = float(1 << image.shape.bits_stored)
    return Window(whole / 2, whole)


def _places(tree: Tree, frame: int, sequence: int) -> list[type_dataset]:
    """Where it may stand: for this frame, for all of them, in the file."""
    found = []
    for groups, number in ((_PER_FRAME, frame), (_SHARED, 0)):
        items = _items(tree.root.get(groups))
        if number < len(items):
            found += _items(items[number].get(sequence))[:1]
    return [*found, tree.root]


def _items(element: Element | None) -> list[type_dataset]:
    return (element.items or []) if element is not None else []


def _decimal(tree: Tree, elements: type_dataset, tag: int) -> float | None:
    """The first number of a decimal string; None when there is none that is finite."""
    text = tree.short_value(elements.get(tag)).split(b"\\")[0]
    try:
        number = float(text.decode("ascii").strip(" \0"))
    except ValueError:
        return None
    return number if np.isfinite(number) and abs(number) < 1e30 else None


def _lut(image: Image, tag: int, *, signed: bool) -> Table | None:
    """The first table of a sequence."""
    tree = image.tree
    items = _items(tree.root.get(tag))
    if not items or _LUT_DATA not in items[0]:
        return None
    found = descriptor(
        tree.short_value(items[0].get(_LUT_DESCRIPTOR)), big_endian=tree.big_endian, signed=signed
    )
    return table(found, tree.value(items[0][_LUT_DATA]), big_endian=tree.big_endian)
