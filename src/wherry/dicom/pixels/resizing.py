"""A picture in another size, as Orthanc makes it: the nearest pixel, smoothed before if asked for.

The proportions stay: the picture is as large as fits into the width and height asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.pictures import Picture, type_rows

_KERNEL: Final = (1, 4, 6, 4, 1)
"""Gaussian of five pixels, in both directions."""
_SUM: Final = sum(_KERNEL) ** 2


def fitted(picture: Picture, width: int, height: int, *, smooth: bool) -> Picture:
    """``picture`` as large as fits into ``width`` × ``height``; 0 = as wide or high as it gets.
    ``smooth``: when it gets smaller, each pixel is the mean of its neighbourhood."""
    ratios = [
        asked / there
        for asked, there in ((width, picture.width), (height, picture.height))
        if asked > 0
    ]
    if not ratios:
        return picture
    ratio = min(ratios)
    high, wide = (max(1, int(side * ratio + 0.5)) for side in (picture.height, picture.width))
    if (high, wide) == (picture.height, picture.width):
        return picture
    ys, xs = _nearest(picture.height, high), _nearest(picture.width, wide)

    def rows(which: type_rows) -> type_array:
        found: type_array = np.take(picture.rows(ys[which]), xs, axis=1)
        return found

    def smoothed(which: type_rows) -> type_array:
        down = np.zeros((), "i4")
        for offset, weight in enumerate(_KERNEL, -2):
            near = picture.rows(_near(ys[which], offset, picture.height))
            down = down + weight * near.astype("i4")
        both = np.zeros((), "i4")
        for offset, weight in enumerate(_KERNEL, -2):
            both = both + weight * np.take(down, _near(xs, offset, picture.width), axis=1)
        return np.asarray(both // _SUM, "u1")

    is_smooth = smooth and ratio < 1
    return replace(picture, height=high, width=wide, rows=smoothed if is_smooth else rows)


def _nearest(there: int, wanted: int) -> type_array:
    """For each of ``wanted`` pixels, the one in whose middle it lies."""
    places = ((np.arange(wanted) + 0.5) * there / wanted).astype("i8")
    return np.asarray(np.minimum(places, there - 1))


def _near(places: type_array, offset: int, size: int) -> type_array:
    return np.asarray(np.clip(places + offset, 0, size - 1))
