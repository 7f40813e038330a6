"""``UserMetadata`` and ``UserContentType``: names for the numbers that belong to the users.

A name that would hide one of the server's own, or a number given twice, is refused: which of the
two is meant could not be told later.
"""

from __future__ import annotations

import re
from typing import Any, Final

from wherry.config import place as check
from wherry.config.place import Place

METADATA_NAMES: Final = {
    1: "IndexInSeries",
    2: "ReceptionDate",
    3: "RemoteAET",
    4: "ExpectedNumberOfInstances",
    5: "ModifiedFrom",
    6: "AnonymizedFrom",
    7: "LastUpdate",
    8: "Origin",
    9: "TransferSyntax",
    10: "SopClassUid",
    11: "RemoteIP",
    12: "CalledAET",
    13: "HttpUsername",
    14: "PixelDataOffset",
    15: "MainDicomTagsSignature",
    16: "MainDicomSequences",
    17: "PixelDataVR",
}
"""The metadata that the server itself writes; the last two only an Orthanc that was adopted."""

CONTENT_NAMES: Final = {1: "dicom", 2: "dicom-as-json", 3: "dicom-until-pixel-data"}
"""The attachments that the server itself writes; the others only an Orthanc that was adopted."""

NUMBERS_OF_USERS: Final = range(1024, 65536)

_MEDIA_TYPE = re.compile(r"[!-~]+/[!-~]+( *;[ -~]+)?")


def user_metadata(value: Any, place: Place) -> dict[str, int]:
    """Name → number. Raises ``ConfigurationError``."""
    found: dict[str, int] = {}
    for name, number in check.mapping(value, place).items():
        inner = place.inner(name)
        _check_name(name, METADATA_NAMES.values(), inner)
        found[name] = _number(number, inner)
    _refuse_twice(list(found.values()), place)
    return found


def user_content_type(value: Any, place: Place) -> dict[str, tuple[int, str]]:
    """Name → number and media type, which may be empty. Raises ``ConfigurationError``."""
    found: dict[str, tuple[int, str]] = {}
    for name, entry in check.mapping(value, place).items():
        inner = place.inner(name)
        _check_name(name, CONTENT_NAMES.values(), inner)
        media = ""
        if isinstance(entry, list):
            if len(entry) != 2:
                raise inner.wrong_type("a number, or a list of a number and a media type", entry)
            entry, media = entry
            if not _MEDIA_TYPE.fullmatch(check.string(media, inner)):
                raise inner.error('has a media type that is not like "text/plain"')
        found[name] = (_number(entry, inner), media)
    _refuse_twice([number for number, _ in found.values()], place)
    return found


def _number(value: Any, place: Place) -> int:
    return check.integer(value, place, NUMBERS_OF_USERS[0], NUMBERS_OF_USERS[-1])


def _check_name(name: str, reserved: Any, place: Place) -> None:
    check.string(name, place)
    if name in reserved:
        raise place.error("is a name of the server itself")
    if not name or name.isdigit():
        raise place.error("must be a name, neither empty nor a number")


def _refuse_twice(numbers: list[int], place: Place) -> None:
    for number in numbers:
        if numbers.count(number) > 1:
            raise place.error(f"gives the number {number} to two names")
