"""What a content is by its MIME type: a document (PS3.3 §A.45, §A.85, §C.24), picture or video."""

from __future__ import annotations

from typing import Final, NamedTuple

from wherry.dicom.creating.fillings import MODALITY, SOP_CLASS, Filling, value
from wherry.dicom.uids import new_uid
from wherry.errors import (
    BadFileFormat,
    NotImplementedYet,
    ParameterOutOfRange,
    WherryError,
)

DOCUMENT: Final = 0x00420011
MIME_TYPE: Final = 0x00420012
_LENGTH: Final = 0x00420015
_CONVERSION_TYPE: Final = 0x00080064
_PDF: Final = "application/pdf"
_PDF_BEGIN: Final = b"%PDF-"

PICTURES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/x-portable-arbitrarymap": "pam",
}
"""MIME types of what is decoded → the names that ``import_image`` has for them."""
VIDEOS: Final = frozenset(("video/mp4", "video/mpeg"))
RAW: Final = "application/octet-stream"


class _Kind(NamedTuple):
    """One kind of document."""

    sop_class: str
    modality: str


_KINDS: Final = {
    _PDF: _Kind("1.2.840.10008.5.1.4.1.1.104.1", "OT"),
    "model/stl": _Kind("1.2.840.10008.5.1.4.1.1.104.3", "M3D"),
    "model/obj": _Kind("1.2.840.10008.5.1.4.1.1.104.4", "M3D"),
    "model/mtl": _Kind("1.2.840.10008.5.1.4.1.1.104.5", "M3D"),
}
_OTHERS: Final = frozenset(
    (
        *("application/dicom", "application/dicom+json", "application/dicom+xml"),
        *("application/javascript", "application/json", "application/xml", "application/zip"),
        *("image/gif", "image/jp2", "image/svg+xml", "text/css", "text/html", "text/plain"),
        "text/xml",
    )
)
"""What Orthanc knows and does not take: another error than for what it does not know."""


def document(mime: str, size: int, begin: bytes) -> Filling | None:
    """A document of a kind that has a SOP class; None when this is none. ``begin``: its first
    bytes. Raises ``BadFileFormat``."""
    kind = _KINDS.get(mime)
    if kind is None:
        return None
    defaults = {MIME_TYPE: mime, MODALITY: kind.modality}
    decided = {SOP_CLASS: kind.sop_class}
    if mime == _PDF:
        if not begin.startswith(_PDF_BEGIN):
            raise BadFileFormat("Not a PDF file")
        defaults[_CONVERSION_TYPE] = "WSD"
        if size & 1:
            decided[_LENGTH] = str(size)
        return value(DOCUMENT, size, decided, defaults)
    decided[_LENGTH] = str(size)
    defaults |= {
        0x00200011: "1",  # Series Number
        0x00200013: "1",  # Instance Number
        0x00200052: new_uid(),  # Frame of Reference UID
        0x00280301: "YES",  # Burned In Annotation: nobody has looked
    }
    return value(DOCUMENT, size, decided, defaults)


def any_document(mime: str, size: int) -> Filling:
    """A document of a kind for which the request names the SOP class."""
    return value(DOCUMENT, size, {MIME_TYPE: mime, _LENGTH: str(size)}, {})


def unsupported(mime: str) -> WherryError:
    """What is answered to another type."""
    if mime in _OTHERS:
        return NotImplementedYet(
            f"Unsupported MIME type for the content of a new DICOM file: {mime}"
        )
    return ParameterOutOfRange(f"Unknown MIME type: {mime}")
