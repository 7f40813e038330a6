"""The photometric interpretation (0028,0004) of what ``decode`` gives and of what ``encode`` makes
(PS3.5 §8.2, PS3.3 §C.7.6.3.1.2)."""

from __future__ import annotations

from wherry.dicom.codecs.shape import HALVED, FrameShape
from wherry.dicom.codecs.syntaxes import DCT, J2K, J2K_LOSSY, WAVELET


def after_decoding(syntax: str, shape: FrameShape) -> str:
    """Of decoded frames of this file: RGB where a codec's own transform was undone."""
    said = shape.photometric
    if shape.samples == 1:
        return said
    if syntax in DCT or (syntax in WAVELET and said in ("YBR_RCT", "YBR_ICT")):
        return "RGB"
    return "YBR_FULL" if said == HALVED else said


def after_encoding(syntax: str, photometric: str, samples: int) -> str:
    """Of encoded frames that were ``photometric`` before, as arrays."""
    if samples == 1:
        return photometric
    if syntax in DCT:
        return HALVED
    if photometric == "RGB" and syntax in (J2K, J2K_LOSSY):
        return "YBR_RCT" if syntax == J2K else "YBR_ICT"
    return photometric
