"""A DICOMDIR (PS3.3 Annex F, PS3.10 §8.6): the tree of its records, and where each of them lies.

What: instances are added one by one, then the file is written from front to back. Of an instance
only the bytes of its record are kept, some 250; the offsets by which records refer to each other
are computed while they are written. Why not ``pydicom.fileset``: it keeps every record as a
``Dataset``, reads whole files and copies them.
Not here: what a record says (``records``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Final
from uuid import UUID

from wherry import clock, limits
from wherry.dicom.dicomdir.records import Instance
from wherry.dicom.dicomdir.writing import element
from wherry.dicom.elements import type_data
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from wherry.errors import ParameterOutOfRange, TooLarge

_DIRECTORY_CLASS: Final = b"1.2.840.10008.1.3.10"

_COMPONENT: Final = re.compile("[A-Z0-9_]{1,8}")
_MOST_COMPONENTS: Final = 8
_FILE_SET_ID: Final = re.compile("[A-Z0-9_ ]{0,16}")

_HEAD: Final = struct.Struct("<HHI HH2sHI HH2sHH HH2sHI")
"""Item tag, and the elements that every record begins with."""
_ITEM_BYTES: Final = 8
_IN_USE: Final = 0xFFFF
_UL: Final = struct.Struct("<I")

_PIECE_BYTES: Final = 64 * limits.KIB


class _Record:
    """One record and what is below it: more of them, or the bytes of leaves."""

    __slots__ = ("below", "body", "leaves")

    def __init__(self, body: bytes) -> None:
        self.body = body
        """Its elements from the record type on."""
        self.below: dict[Hashable, _Record] = {}
        self.leaves: list[bytes] = []

    def size(self) -> int:
        """Bytes of all of it."""
        leaves = sum(map(len, self.leaves)) + _HEAD.size * len(self.leaves)
        return _HEAD.size + len(self.body) + leaves + sum(one.size() for one in self.below.values())


class DicomDir:
    """A directory that grows by ``add`` and is written by ``write``."""

    def __init__(
        self, *, extended: bool = False, file_set_id: str = "ORTHANC_MEDIA", uid: str = ""
    ) -> None:
        """``extended``: with descriptions of series, on which no reader may rely. ``uid``: that of
        the directory itself; "" = a new one.

        Raises ``ParameterOutOfRange`` when the File-set ID is no code string of 16 characters.
        """
        if not _FILE_SET_ID.fullmatch(file_set_id):
            raise ParameterOutOfRange("a File-set ID that is none: up to 16 of A-Z, 0-9, _")
        self._extended = extended
        self._file_set_id = file_set_id.encode()
        self._uid = (uid or f"2.25.{UUID(clock.new_uuid()).int}").encode()
        self._patients: dict[Hashable, _Record] = {}
        self._bytes = 0

    def add(self, header: type_data, file_id: tuple[str, ...]) -> None:
        """List the stored file ``header`` as ``file_id``, for instance ``("IMAGES", "IM0")``.

        Of the file the part before its pixel data is enough, unless it is deflated. Raises
        ``ParameterOutOfRange`` (no File ID: PS3.10 §8.2, §8.5), ``BadFileFormat`` (the file cannot
        be read; a UID or Patient ID that is too long or no text), ``InexistentTag`` (a UID is
        missing), ``TooLarge`` (the directory is full); then nothing was added.
        """
        if not 0 < len(file_id) <= _MOST_COMPONENTS or not all(map(_COMPONENT.fullmatch, file_id)):
            raise ParameterOutOfRange("a File ID that is none: up to 8 names of 8 of A-Z, 0-9, _")
        if self._bytes > limits.DICOMDIR_BYTES:
            raise TooLarge(f"a DICOMDIR of more than {limits.DICOMDIR_BYTES} bytes")
        instance = Instance(header)
        leaf = instance.leaf_record("\\".join(file_id).encode())
        number = len(self._patients) + 1
        patient = self._at(
            self._patients, instance.patient, lambda: instance.patient_record(number)
        )
        study = self._at(patient.below, instance.study, instance.study_record)
        series = self._at(
            study.below,
            instance.series,
            lambda: instance.series_record(extended=self._extended),
        )
        series.leaves.append(leaf)
        self._bytes += _HEAD.size + len(leaf)

    def _at(
        self, records: dict[Hashable, _Record], key: Hashable, make_body: Callable[[], bytes]
    ) -> _Record:
        """The record with this key, made when it is not there yet."""
        found = records.get(key)
        if found is None:
            found = records[key] = _Record(make_body())
            self._bytes += _HEAD.size + len(found.body)
        return found

    def write(self) -> Iterator[bytes]:
        """The whole file in pieces of some 64 KiB. Nothing may be added while it is written."""
        pending: list[bytes] = []
        size = 0
        for piece in self._small_pieces():
            pending.append(piece)
            size += len(piece)
            if size >= _PIECE_BYTES:
                yield b"".join(pending)
                pending, size = [], 0
        yield b"".join(pending)

    def _small_pieces(self) -> Iterator[bytes]:
        patients = list(self._patients.values())
        sizes = [patient.size() for patient in patients]
        preamble = bytes(128) + b"DICM" + self._meta_information()
        first = len(preamble) + len(self._before_records(0, 0, 0))
        last = first + sum(sizes[:-1])
        yield preamble
        yield self._before_records(first if patients else 0, last if patients else 0, sum(sizes))
        yield from _written(patients, first)

    def _meta_information(self) -> bytes:
        group = b"".join(
            (
                element(0x00020001, "OB", b"\0\1"),
                element(0x00020002, "UI", _DIRECTORY_CLASS),
                element(0x00020003, "UI", self._uid),
                element(0x00020010, "UI", EXPLICIT.encode()),
                element(0x00020012, "UI", IMPLEMENTATION_CLASS.encode()),
                element(0x00020013, "SH", IMPLEMENTATION_VERSION.encode()),
            )
        )
        return element(0x00020000, "UL", _UL.pack(len(group))) + group

    def _before_records(self, first: int, last: int, size: int) -> bytes:
        """The data set up to the first record, whose sequence has ``size`` bytes."""
        return b"".join(
            (
                element(0x00041130, "CS", self._file_set_id),
                element(0x00041200, "UL", _UL.pack(first)),
                element(0x00041202, "UL", _UL.pack(last)),
                element(0x00041212, "US", b"\0\0"),  # no known inconsistencies
                element(0x00041220, "SQ", b"")[: -_UL.size] + _UL.pack(size),
            )
        )


def _written(records: Collection[_Record], position: int) -> Iterator[bytes]:
    """The siblings ``records`` with all below them; the first lies at ``position`` of the file."""
    left = len(records)
    for record in records:
        left -= 1
        after = position + record.size()
        lower = position + _HEAD.size + len(record.body)
        yield _head(len(record.body), after if left else 0, lower)
        yield record.body
        yield from _written(record.below.values(), lower)
        yield from _written_leaves(record.leaves, lower)
        position = after


def _written_leaves(leaves: list[bytes], position: int) -> Iterator[bytes]:
    last = len(leaves) - 1
    for number, body in enumerate(leaves):
        position += _HEAD.size + len(body)
        yield _head(len(body), position if number < last else 0, 0) + body


def _head(body_bytes: int, following: int, lower: int) -> bytes:
    """What precedes the body of a record: offsets of the next one and of the first below it."""
    return _HEAD.pack(
        *(0xFFFE, 0xE000, _HEAD.size - _ITEM_BYTES + body_bytes),
        *(0x0004, 0x1400, b"UL", 4, following),
        *(0x0004, 0x1410, b"US", 2, _IN_USE),
        *(0x0004, 0x1420, b"UL", 4, lower),
    )
