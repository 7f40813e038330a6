"""Transfer syntaxes of pixel data: which are decoded, which are encoded, which lose something
(PS3.5 Annex A)."""

from __future__ import annotations

from typing import Final

from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT

BASELINE: Final = "1.2.840.10008.1.2.4.50"
EXTENDED: Final = "1.2.840.10008.1.2.4.51"
LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JLS: Final = "1.2.840.10008.1.2.4.80"
JLS_LOSSY: Final = "1.2.840.10008.1.2.4.81"
J2K: Final = "1.2.840.10008.1.2.4.90"
J2K_LOSSY: Final = "1.2.840.10008.1.2.4.91"
HTJ2K: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K_LOSSY: Final = "1.2.840.10008.1.2.4.203"
RLE: Final = "1.2.840.10008.1.2.5"

NATIVE: Final = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED))
DCT: Final = frozenset((BASELINE, EXTENDED))
"""JPEG whose colour may be turned into YCbCr, and is turned back when it is decoded."""
WAVELET: Final = frozenset((J2K, J2K_LOSSY, HTJ2K, HTJ2K_RPCL, HTJ2K_LOSSY))
JPEG: Final = frozenset((*DCT, LOSSLESS, LOSSLESS_SV1))
JPEG_LS: Final = frozenset((JLS, JLS_LOSSY))

DECODED: Final = NATIVE | JPEG | JPEG_LS | WAVELET | {RLE}
ENCODED: Final = DECODED - {HTJ2K_RPCL, HTJ2K_LOSSY}
LOSSY: Final = frozenset((BASELINE, EXTENDED, JLS_LOSSY, J2K_LOSSY))
"""Of those that are encoded: what comes out is another image, with a SOP Instance UID of its own
(PS3.3 §C.7.6.1.1.5)."""

METHODS: Final = {
    BASELINE: "ISO_10918_1",
    EXTENDED: "ISO_10918_1",
    JLS_LOSSY: "ISO_14495_1",
    J2K_LOSSY: "ISO_15444_1",
}
"""Lossy Image Compression Method (0028,2114)."""
