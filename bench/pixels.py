"""Pixels with realistic entropy, cheap: smooth anatomy plus noise, added in one go.

A whole image of 16-bit pixels is one big integer. Neither anatomy nor noise is negative and no
sum passes 65,535, so one addition of two such integers adds all pixels at once: a slice of
512×512 takes about two milliseconds without numpy. One ring of noise serves all slices, each from
another place; a compressor with a 32 KiB window cannot know.

Not here: DICOM.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RING_SAMPLES: Final = 1 << 18


@dataclass(frozen=True)
class Ellipse:
    """A filled ellipse; centre and radii are fractions of width and height."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    value: int


class Noise:
    """Gaussian noise of ``deviation`` around ``mean``, never negative, as a ring of samples."""

    def __init__(self, chance: random.Random, deviation: float) -> None:
        mean, highest = 4 * deviation, int(8 * deviation)
        samples = array(
            "H",
            (
                min(highest, max(0, round(chance.gauss(mean, deviation))))
                for _ in range(RING_SAMPLES)
            ),
        )
        self._ring = samples.tobytes()

    def lanes(self, start: int, count: int) -> int:
        """``count`` samples from place ``start`` of the ring, as one integer."""
        size, begin = 2 * count, 2 * (start % RING_SAMPLES)
        laps = 1 + (begin + size) // len(self._ring)
        return int.from_bytes((self._ring * laps)[begin : begin + size], "little")


def anatomy(width: int, height: int, background: int, ellipses: Sequence[Ellipse]) -> int:
    """An image without noise, as one integer. Later ellipses lie over earlier ones."""
    image = array("H", [background]) * (width * height)
    for ellipse in ellipses:
        for row in range(height):
            away = ((row + 0.5) / height - ellipse.y) / ellipse.radius_y
            if abs(away) >= 1:
                continue
            half = ellipse.radius_x * math.sqrt(1 - away * away)
            left = max(0, round((ellipse.x - half) * width))
            right = min(width, round((ellipse.x + half) * width))
            if right > left:
                begin = row * width
                image[begin + left : begin + right] = array("H", [ellipse.value]) * (right - left)
    return int.from_bytes(image.tobytes(), "little")


def where(image: int, pixels: int) -> int:
    """A mask: all bits of the pixels that are not zero in ``image``."""
    words = array("H", image.to_bytes(2 * pixels, "little"))
    return int.from_bytes(array("H", (0xFFFF if word else 0 for word in words)).tobytes(), "little")
