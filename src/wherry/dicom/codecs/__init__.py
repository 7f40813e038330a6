"""Frames of an image, compressed or not, as arrays and back (PS3.5 §8.2, Annex A).

``decode`` and ``encode`` are pure functions of one frame. The native libraries behind them read
what strangers have made: they belong into a worker process that may die (``imaging``), and are
loaded by the first frame that needs them, never by importing this package.

``syntaxes``: what is decoded and encoded; ``shape``: what the file says of its frames; ``headers``:
what a code stream says of itself, without decoding it.
"""

from wherry.dicom.codecs.coding import decode, encode
from wherry.dicom.codecs.shape import FrameShape

__all__ = ["FrameShape", "decode", "encode"]
