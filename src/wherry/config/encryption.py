"""Section ``StorageEncryption``: the keys that stored files are sealed with.

It stands in the section of the object storage, as Orthanc's does, or in ``Wherry`` when all files
are in a file system. Anything in it that is not as it should be refuses to start: Orthanc stores in
clear then.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wherry import limits
from wherry.config import place as check
from wherry.config.document import Document
from wherry.config.place import Place

KEY_BYTES: Final = 32
CONTAINERS: Final = ("W1", "A1")
SECTION: Final = "StorageEncryption"
CLOUDS: Final = ("AwsS3Storage", "AzureBlobStorage", "GoogleCloudStorage")
_KNOWN: Final = ("Enable", "MasterKey", "PreviousMasterKeys", "MaxConcurrentInputSize", "Container")
_IGNORED = re.compile(rb"[\s=]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_FILE_BYTES: Final = 64 * limits.KIB
_ID_HIGH: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key that lies in a file of the operator's."""

    id: int
    """The number that files and keys which need it name."""
    secret: bytes = field(repr=False)
    """32 bytes."""


@dataclass(frozen=True, slots=True)
class EncryptionConfig:
    """The section, when it is there."""

    master: MasterKey
    previous: tuple[MasterKey, ...] = ()
    """For what was sealed before (``PreviousMasterKeys``)."""
    container: str = "W1"
    """Of new files (``Container``; ours); empty = in clear (``Enable: false``)."""

    def find(self, id: int) -> MasterKey | None:
        """The master key with this number."""
        return next((key for key in (self.master, *self.previous) if key.id == id), None)


def encryption(document: Document) -> EncryptionConfig | None:
    """What the configuration says; None when it says nothing, or says no without any key. Raises
    ``ConfigurationError``."""
    found = [
        (document.values[section][SECTION], document.place(section).inner(SECTION))
        for section in (*CLOUDS, "Wherry")
        if SECTION in _values(document, section)
    ]
    if not found:
        return None
    values, place = found[0]
    if len(found) > 1:
        raise place.error(f'stands in "{found[1][1].key}" too; keep one of them')
    cloud = next((section for section in CLOUDS if section in document.values), None)
    if cloud and not place.key.startswith(cloud):
        raise place.error(f'belongs into "{cloud}" when there is one')
    return _read(check.mapping(values, place), place)


def _values(document: Document, section: str) -> Mapping[str, Any]:
    values = document.values.get(section)
    return values if isinstance(values, dict) else {}


def _read(values: Mapping[str, Any], place: Place) -> EncryptionConfig | None:
    for name in values:
        if name not in _KNOWN:
            raise place.inner(name).error(f"is none of {', '.join(_KNOWN)}")
    enabled = check.boolean(values.get("Enable", True), place.inner("Enable"))
    if "MaxConcurrentInputSize" in values:  # a bound on memory, of which nothing here needs much
        check.integer(
            values["MaxConcurrentInputSize"], place.inner("MaxConcurrentInputSize"), 0, _ID_HIGH
        )
    container = check.choice(
        check.string(values.get("Container", "W1"), place.inner("Container")),
        place.inner("Container"),
        CONTAINERS,
    )
    previous = values.get("PreviousMasterKeys", [])
    if not isinstance(previous, list):
        raise place.inner("PreviousMasterKeys").wrong_type("a list of keys", previous)
    if "MasterKey" not in values:
        if not enabled and not previous:
            return None
        raise place.error('has no "MasterKey"')
    keys = [
        _master_key(values["MasterKey"], place.inner("MasterKey")),
        *(_master_key(value, place.inner("PreviousMasterKeys")) for value in previous),
    ]
    numbers = [key.id for key in keys]
    for number in numbers:
        if numbers.count(number) > 1:
            raise place.error(f"names two master keys with the number {number}")
    return EncryptionConfig(keys[0], tuple(keys[1:]), container if enabled else "")


def _master_key(value: Any, place: Place) -> MasterKey:
    if not isinstance(value, list) or len(value) != 2:
        raise place.wrong_type('a pair [number, "file"]', value)
    number = check.integer(value[0], place, 0, _ID_HIGH)
    return MasterKey(number, _secret(check.existing_file(value[1], place), place))


def _secret(path: Path, place: Place) -> bytes:
    """32 bytes in base64. White space, a byte order mark and padding do not matter, and what
    follows the 32 bytes does not, as for Orthanc."""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise place.error(f"names a file that cannot be read: {error.strerror}") from None
    text = _IGNORED.sub(b"", text)
    if not _BASE64.fullmatch(text):
        raise place.error(f"names a file that is not base64 (A–Z, a–z, 0–9, + and /): {path}")
    decoded = base64.b64decode(text[: len(text) // 4 * 4] + _padded(text[len(text) // 4 * 4 :]))
    if len(decoded) < KEY_BYTES:
        raise place.error(f"names a file with {len(decoded)} bytes in base64, not {KEY_BYTES}")
    return decoded[:KEY_BYTES]


def _padded(rest: bytes) -> bytes:
    """The last digits; one alone says nothing."""
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
