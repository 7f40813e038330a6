"""The ``StorageArea`` that seals what comes and opens what goes; what it wraps sees sealed bytes
only, and says where they lie.

A file's place says in which container it is, so files in clear, in Orthanc's container and in ours
lie beside each other. A file of which nothing is recorded is known by its first bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wherry import limits
from wherry.digests import digest_of
from wherry.errors import BadSequenceOfCalls, CorruptedFile
from wherry.model import DICOM_CONTENT
from wherry.storage.base import ANYWHERE, FileReader, FileWriter, Put, SmallFile, StorageArea
from wherry.storage.places import Place
from wherry.storage.sealed import a1, w1
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.reading import A1Reader, W1Reader
from wherry.storage.sealed.writing import A1Sealer, SealedWriter, Sealer, W1Sealer, sealed_whole

W1 = "W1"
A1 = "A1"


class SealedStorage:
    """``inner``, with its files sealed by ``keys``."""

    def __init__(
        self, inner: StorageArea, keys: Keys, chunk_bytes: int = limits.SEALED_CHUNK_BYTES
    ) -> None:
        """``chunk_bytes``: plain bytes of a chunk of new files."""
        self._inner = inner
        self._keys = keys
        self._chunk_bytes = chunk_bytes
        self.before_forgetting = inner.before_forgetting
        self.logs = inner.logs
        self.logged = inner.logged
        self.restore = inner.restore
        self.drop_log = inner.drop_log
        self.stop_logging = inner.stop_logging
        self.take_buffer = inner.take_buffer
        self.give_back = inner.give_back
        self.sync = inner.sync
        self.sync_removals = inner.sync_removals
        self.list = inner.list
        self.close = inner.close

    @property
    def shares_files(self) -> bool:
        return self._inner.shares_files and not self._keys.container

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        if not self._keys.container:
            return self._inner.create(uuid, content_type)
        sealer = self._sealer(uuid)
        writer = self._inner.create(uuid, content_type)
        place = _with_seal(writer.place, self._seal(sealer))
        return SealedWriter(writer, sealer, place, self._inner.give_back)

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        if self._keys.container:
            raise BadSequenceOfCalls("A sealed file has one writer")
        return self._inner.reopen(uuid, offset)

    def put(self, files: Sequence[SmallFile]) -> Put:
        if not self._keys.container:
            return self._inner.put(files)
        sealed, seals = [], []
        for file in files:
            sealer = self._sealer(file.uuid)
            data = sealed_whole(sealer, file.data)
            sealed.append(SmallFile(file.uuid, data, digest_of(data), file.note))
            seals.append(self._seal(sealer))
        put = self._inner.put(sealed)
        places = [_with_seal(place, seal) for place, seal in zip(put.places, seals, strict=True)]
        return put._replace(places=places)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        if place == ANYWHERE:
            return self._open_unrecorded(uuid)
        known = Place.parse(place)
        inner = self._inner.open(uuid, str(replace(known, seal="")))
        try:
            return self._opened(inner, uuid, known.seal)
        except BaseException:
            inner.close()
            raise

    def _open_unrecorded(self, uuid: str) -> FileReader:
        inner = self._inner.open(uuid)
        try:
            head = inner.read_at(0, w1.HEADER_BYTES)
            if head.startswith(w1.MAGIC):
                return self._opened(inner, uuid, W1)
            number = a1.key_id(head)
            if number is not None and self._keys.has_master(number):
                return self._opened(inner, uuid, A1)
        except BaseException:
            inner.close()
            raise
        return inner

    def _opened(self, inner: FileReader, uuid: str, seal: str) -> FileReader:
        container, _, mark = seal.partition("=")
        if container == "":
            return inner
        if container == W1:
            opened = w1.open_header(self._keys, uuid, inner.read_at(0, w1.HEADER_BYTES))
            if mark and mark != opened.mark:
                raise CorruptedFile(f"The stored file {uuid} is an older one of the same name")
            return W1Reader(inner, opened, uuid, _with_seal(inner.place, f"{W1}={opened.mark}"))
        if container == A1:
            header = inner.read_at(0, a1.HEADER_BYTES)
            number = a1.key_id(header)
            if number is None:
                raise CorruptedFile(f"The stored file {uuid} is no file in the container A1")
            master = self._keys.find_master(number, uuid)
            return A1Reader(inner, master, header, uuid, _with_seal(inner.place, A1))
        raise CorruptedFile(f"The stored file {uuid} is in an unknown container")

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        self._inner.delete(uuid, _without_seal(place))

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        reader = self.open(uuid, place)
        try:
            return reader.size
        finally:
            reader.close()

    def free_bytes(self) -> int:
        return self._inner.free_bytes()

    def _sealer(self, uuid: str) -> Sealer:
        if self._keys.container == A1:
            return A1Sealer(self._keys.master)
        return W1Sealer(w1.begin(self._keys, uuid, self._chunk_bytes))

    def _seal(self, sealer: Sealer) -> str:
        return f"{self._keys.container}={sealer.mark}" if sealer.mark else self._keys.container


def _with_seal(place: str, seal: str) -> str:
    return str(replace(Place.parse(place), seal=seal))


def _without_seal(place: str) -> str:
    return place if place == ANYWHERE else str(replace(Place.parse(place), seal=""))
