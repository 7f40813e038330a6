"""The copy of the key ring beside the objects (``storage.sealed.ringfile``)."""

from __future__ import annotations

from wherry import limits
from wherry.errors import MissingFile
from wherry.storage.objects.client import Client
from wherry.storage.sealed.ringfile import NAME


class ObjectRingFile:
    """``root``: before the names of all objects, without a slash at its ends."""

    def __init__(self, client: Client, root: str) -> None:
        self._client = client
        self._key = f"{root}/{NAME}" if root else NAME

    def read(self) -> bytes | None:
        try:
            data, _ = self._client.get(self._key, 0, limits.KEY_RING_BYTES)
        except MissingFile:
            return None
        return bytes(data)

    def write(self, data: bytes) -> None:
        self._client.put(self._key, data, replace=True)
