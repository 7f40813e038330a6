"""Frames of an image, compressed or not, as arrays and back (PS3.5 §8.2, Annex A).

``decode`` and ``encode`` are pure functions of one frame. The native libraries behind them read
what strangers have made: they belong into a worker process that may die (``imaging``), and are
loaded by the first frame that needs them, never by importing this package, nor is numpy.

``syntaxes``: what is decoded and encoded; ``shape``: what the file says of its frames; ``headers``:
what a code stream says of itself, without decoding it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.dicom.codecs.coding import decode, encode
    from wherry.dicom.codecs.shape import FrameShape

__all__ = ["FrameShape", "decode", "encode"]

_PLACES = {"decode": "coding", "encode": "coding", "FrameShape": "shape"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
