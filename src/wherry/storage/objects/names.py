"""What the object of a file is called: as Orthanc's plugins call it.

    flat      {RootPath}/{uuid}.dcm         what it is, and ``.enc`` when sealed
    legacy    {RootPath}/ab/cd/{uuid}

The index keeps what follows the UUID (``Place.name``), so that both may lie side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wherry.errors import CorruptedFile, ParameterOutOfRange
from wherry.model import DICOM_CONTENT
from wherry.storage.places import LEGACY

JSON_CONTENT = 2
HEADER_CONTENT = 3

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f]{4}[0-9a-f-]{0,32}")
_NAME = re.compile(r"/|(\.[a-z]+){1,3}")
_EXTENSIONS = {DICOM_CONTENT: ".dcm", JSON_CONTENT: ".json", HEADER_CONTENT: ".dcm.head"}
_OTHERS = ".unk"
_SEALED = ".enc"
_UUID_LENGTH = 36


class Names:
    """``root`` has no slash at its ends; ``sealed`` = new files get ``.enc``."""

    def __init__(self, root: str, *, legacy: bool, sealed: bool, unknown_headers: bool) -> None:
        self._root = f"{root}/" if root else ""
        self._legacy = legacy
        self._sealed = _SEALED if sealed else ""
        self._unknown_headers = unknown_headers

    def name(self, content_type: int, *, sealed: bool | None = None) -> str:
        """Of a new file: what ``Place.name`` keeps. ``sealed``: when that is known of this one."""
        if self._legacy:
            return LEGACY
        seal = self._sealed if sealed is None else _SEALED * sealed
        return _EXTENSIONS.get(content_type, _OTHERS) + seal

    def key(self, uuid: str, name: str) -> str:
        """The object. Raises ``ParameterOutOfRange`` for a UUID and ``CorruptedFile`` for a name
        that can be none."""
        if not _UUID.fullmatch(uuid):
            raise ParameterOutOfRange("The name of an attachment is a lower-case UUID")
        if not _NAME.fullmatch(name):
            raise CorruptedFile(f"The stored file {uuid} has an impossible name")
        return f"{self._root}{_path(uuid, name)}"

    def also(self, name: str) -> tuple[str, ...]:
        """Names that a file of this name may bear instead: some plugins wrote headers as what they
        do not know (``EnableLegacyUnknownFiles``)."""
        header = _EXTENSIONS[HEADER_CONTENT]
        if self._unknown_headers and name in (header, header + _SEALED):
            return (name.replace(header, _OTHERS),)
        return ()

    def all(self) -> list[str]:
        """Every name that a file can have, those of new files first."""
        own = [self.name(kind) for kind in (*_EXTENSIONS, 0)]
        flat = [
            extension + seal
            for seal in ("", _SEALED)
            for extension in (*_EXTENSIONS.values(), _OTHERS)
        ]
        return list(dict.fromkeys([*own, *flat, LEGACY]))

    def folders(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Where objects lie whose UUID begins with ``prefix``: a folder without a slash at its end,
        and what their keys begin with. Raises ``ParameterOutOfRange``."""
        if not _PREFIX.fullmatch(prefix):
            raise ParameterOutOfRange("A prefix has at least four hexadecimal digits")
        yield self._root[:-1], f"{self._root}{prefix}"
        folder = f"{self._root}{prefix[:2]}/{prefix[2:4]}"
        yield folder, f"{folder}/{prefix}"


def uuid_of(key: str) -> str | None:
    """The file of an object; None when it is not one of ours."""
    last = key.rpartition("/")[2]
    uuid, name = last[:_UUID_LENGTH], last[_UUID_LENGTH:]
    if _UUID.fullmatch(uuid) and (not name or _NAME.fullmatch(name)):
        return uuid
    return None


def _path(uuid: str, name: str) -> str:
    return f"{uuid[:2]}/{uuid[2:4]}/{uuid}" if name == LEGACY else f"{uuid}{name}"
