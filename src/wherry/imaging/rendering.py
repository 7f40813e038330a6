"""Tasks of a worker: one frame as a picture, frames as an array, a frame as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wherry import limits
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.colour import COLOUR_TAGS, is_colour
from wherry.dicom.pixels.matlab import matlab
from wherry.dicom.pixels.pictures import Picture, clipped, grey, preview, rendered
from wherry.dicom.pixels.resizing import fitted
from wherry.dicom.pixels.values import VALUE_TAGS, rescale_of
from wherry.errors import CannotDecode
from wherry.imaging.encoding import encode
from wherry.imaging.work import Work


def picture(work: Work) -> dict[str, Any]:
    """``picture``: frame ``frame`` as ``show`` says (``preview``, ``rendered``, ``image-uint8``…)
    in the media type ``type``; ``width``, ``height``, ``smooth``, ``center``, ``window``,
    ``quality``."""
    wanted = work.arguments
    show, number = wanted["show"], wanted["frame"]
    is_windowed = show == "rendered"
    image = Image(work.source, (*COLOUR_TAGS, *VALUE_TAGS) if is_windowed else COLOUR_TAGS)
    made: Picture
    if show == "preview":
        made = preview(image, number)
    elif is_windowed:
        made = rendered(image, number, wanted["center"], wanted["window"])
        made = fitted(made, wanted["width"], wanted["height"], smooth=wanted["smooth"])
    else:
        kind, bits = show.removeprefix("image-").split("int")
        made = clipped(image, number, int(bits), signed=not kind)
    encode(made, wanted["type"], wanted["quality"], work.write)
    return {}


def array(work: Work) -> dict[str, Any]:
    """``array``: the values of frame ``frame``, or of all (None), one after the other; with
    ``rescale`` shades as those of the modality. Tells their ``kind`` and ``shape``."""
    number, rescaled = work.arguments["frame"], work.arguments["rescale"]
    image = Image(work.source, (*COLOUR_TAGS, *VALUE_TAGS))
    numbers = range(image.shape.frames) if number is None else [number]
    kind = ""
    for one in numbers:
        values = _values(image, one, rescaled=rescaled)
        kind = f"<{values.dtype.str[1:]}"  # of bytes too, as Orthanc spells it
        work.write(np.ascontiguousarray(values).data)
        work.forget()
        work.alive()
    samples = 3 if is_colour(image) else 1
    shape = image.shape
    return {"kind": kind, "shape": [len(numbers), shape.rows, shape.columns, samples]}


def _values(image: Image, number: int, *, rescaled: bool = False) -> type_array:
    """Colours as RGB of 8 bits, shades as they are stored, or as the modality means them."""
    if is_colour(image):
        return preview(image, number).rows(slice(0, None))
    frame = grey(image, number)
    if rescaled:
        return rescale_of(image, number).apply(frame).astype("<f4")
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False)


def text(work: Work) -> dict[str, Any]:
    """``text``: stored values of frame ``frame`` as an expression of Matlab."""
    number = work.arguments["frame"]
    image = Image(work.source, COLOUR_TAGS)
    if math.prod(image.shape.array) > limits.PRINTED_VALUES:
        raise CannotDecode("more pixels than are written as text")
    for piece in matlab(_values(image, number)):
        work.write(piece)
    return {}
