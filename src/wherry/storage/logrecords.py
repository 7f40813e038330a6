"""The records of a log of small files: how they are laid out, and how they are read again.

A record is a head with its number and a checksum, an entry for each file, the notes, the bytes of
the files; of these each has its digest. Records begin at multiples of a block, so that a torn one
is the last that is read, and numbers ascend, so that what lies behind the newest is known as old.

Not here: writing them (``smalllog``).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from wherry import limits
from wherry.digests import digest_like, digest_of
from wherry.storage.base import Logged, SmallFile
from wherry.storage.direct import ALIGNMENT_BYTES

_HEAD = struct.Struct("<8sIIIQ")
"""Magic, number of files, bytes of the record without its padding, CRC-32 of entries and notes,
number of the record."""
_ENTRY = struct.Struct("<36s32sII")
"""UUID, digest (an MD5 is filled up with zeros), size, size of the note."""
_MAGIC = b"WherryL3"
_OLD_HEAD = struct.Struct("<8sIII")
_OLD_ENTRIES = {b"WherryL1": struct.Struct("<36s16sI"), b"WherryL2": struct.Struct("<36s32sI")}
"""Before the second version every digest was an MD5; before the third there were no notes."""
_MD5_BYTES = 16


def padded(size: int) -> int:
    """Of a record with so many bytes: where the next one may begin."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def head(files: Sequence[SmallFile], number: int) -> bytes:
    """What comes before the bytes of the files."""
    entries = b"".join(
        _ENTRY.pack(
            file.uuid.encode("ascii"), bytes.fromhex(file.digest), len(file.data), len(file.note)
        )
        for file in files
    ) + b"".join(file.note for file in files)
    total = _HEAD.size + len(entries) + sum(len(file.data) for file in files)
    return _HEAD.pack(_MAGIC, len(files), total, zlib.crc32(entries), number) + entries


def read(folder: str, owner: str) -> Iterator[Logged]:
    """The files of a log whose process has ended in the order of their records, each verified; one
    that is damaged is left out, and a torn record is the last of its half."""
    halves = []
    for number in (0, 1):
        with suppress(FileNotFoundError):
            path = f"{folder}/{owner}.{number}"
            halves.append((next((one[0] for one in _records(path)), 0), path))
    for _, path in sorted(halves):
        for number, files in _records(path):
            yield from (Logged(number, file) for file in files)


def _records(path: str) -> Iterator[tuple[int, Iterable[SmallFile]]]:
    """Numbers of records, with their files. Those of an earlier version have the number 0."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at, newest = 0, 0
        while (found := _head(os.pread(fd, _HEAD.size, at))) is not None:
            if found.total > limits.SMALL_RECORD_BYTES or found.number < newest:
                return
            content = _content(found, memoryview(os.pread(fd, found.total, at)))
            if content is None:
                return
            yield found.number, _files(*content)
            at += padded(found.total)
            newest = found.number + (found.number > 0)
    finally:
        os.close(fd)


class _Head(NamedTuple):
    size: int
    entry: struct.Struct
    files: int
    total: int
    checksum: int
    number: int


def _head(data: bytes) -> _Head | None:
    if len(data) < _HEAD.size:
        return None
    magic, files, total, checksum, number = _HEAD.unpack(data)
    if magic == _MAGIC:
        return _Head(_HEAD.size, _ENTRY, files, total, checksum, number)
    if magic in _OLD_ENTRIES:
        return _Head(_OLD_HEAD.size, _OLD_ENTRIES[magic], files, total, checksum, 0)
    return None


def _content(head: _Head, record: memoryview) -> tuple[list[_Entry], memoryview] | None:
    """The entries of a record with their notes, and the bytes of its files; None: it is torn."""
    end = head.size + head.files * head.entry.size
    if end > head.total or head.total > len(record):
        return None
    entries = [_Entry(*entry) for entry in head.entry.iter_unpack(record[head.size : end])]
    content = end + sum(entry.note_size for entry in entries)
    if zlib.crc32(record[head.size : content]) != head.checksum:
        return None
    for place, entry in enumerate(entries):
        entries[place] = entry._replace(note=bytes(record[end : end + entry.note_size]))
        end += entry.note_size
    return entries, record[content:]


class _Entry(NamedTuple):
    uuid: bytes
    padded: bytes
    size: int
    note_size: int = 0
    note: bytes = b""


def _files(entries: Iterable[_Entry], data: memoryview) -> Iterator[SmallFile]:
    at = 0
    for entry in entries:
        content = bytes(data[at : at + entry.size])
        at += entry.size
        padded = entry.padded
        digest = (padded if any(padded[_MD5_BYTES:]) else padded[:_MD5_BYTES]).hex()
        if digest_of(content, partial(digest_like, digest)) == digest:
            yield SmallFile(entry.uuid.decode("ascii", "replace"), content, digest, entry.note)
