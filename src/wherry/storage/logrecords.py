"""The records of a log of small files: how they are laid out, and how they are read again.

A log begins with a block that holds a random key. A record is a head, an entry for each file, the
notes, the bytes of the files; the head has a digest under that key of all before the bytes, and
each file has its own. Records begin at multiples of a block, so that a torn one is the last that is
read, and numbers ascend, so that what lies behind the newest is known as old. Nobody who does not
know the key can send a file whose bytes, left behind the newest record, look like one.

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

from blake3 import blake3

from wherry import clock, limits
from wherry.digests import digest_like, digest_of
from wherry.storage.base import Logged, SmallFile
from wherry.storage.direct import ALIGNMENT_BYTES

FIRST_RECORD = ALIGNMENT_BYTES
"""Where the first record begins, behind the block with the key."""
_MAGIC = b"WherryL3"
_KEY_BYTES = 32
_TAG_BYTES = 16
_HEAD = struct.Struct("<IIQ16s")
"""Number of files, bytes of the record without its padding, number of the record, digest of these
three, the entries and the notes."""
_ENTRY = struct.Struct("<36s32sII")
"""UUID, digest (an MD5 is filled up with zeros), size, size of the note."""
_OLD_HEAD = struct.Struct("<8sIII")
_OLD_ENTRIES = {b"WherryL1": struct.Struct("<36s16sI"), b"WherryL2": struct.Struct("<36s32sI")}
"""Before the second version every digest was an MD5; before the third there were no notes, and the
head had a CRC-32."""
_MD5_BYTES = 16

type_record = tuple[int, Iterable[SmallFile]]
"""Its number, 0 in a log of an earlier version, and its files."""


def new_key() -> bytes:
    """Of a new log."""
    return bytes.fromhex(clock.random_hex(_KEY_BYTES) + clock.random_hex(_KEY_BYTES))


def first_block(key: bytes) -> bytes:
    """What a log begins with."""
    return (_MAGIC + key).ljust(FIRST_RECORD, b"\0")


def padded(size: int) -> int:
    """Of a record with so many bytes: where the next one may begin."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def head(files: Sequence[SmallFile], number: int, key: bytes) -> bytes:
    """What comes before the bytes of the files."""
    entries = b"".join(
        _ENTRY.pack(
            file.uuid.encode("ascii"), bytes.fromhex(file.digest), len(file.data), len(file.note)
        )
        for file in files
    ) + b"".join(file.note for file in files)
    total = _HEAD.size + len(entries) + sum(len(file.data) for file in files)
    tag = _tag(key, len(files), total, number, entries)
    return _HEAD.pack(len(files), total, number, tag) + entries


def read(folder: str, owner: str) -> Iterator[Logged]:
    """The files of a log whose process has ended in the order of their records, each verified; one
    that is damaged is left out, and a torn record is the last of its half. Ends early when somebody
    else drops the log, who has then seen to all that is in it."""
    halves = []
    for number in (0, 1):
        path = f"{folder}/{owner}.{number}"
        first = next(_records(path), None)
        if first is not None:
            halves.append((first[0], path))
    for _, path in sorted(halves):
        for number, files in _records(path):
            yield from (Logged(number, file) for file in files)


def _records(path: str) -> Iterator[type_record]:
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            magic = os.pread(fd, len(_MAGIC) + _KEY_BYTES, 0)
            if magic.startswith(_MAGIC):
                yield from _records_of(fd, magic[len(_MAGIC) :])
            elif magic[: len(_MAGIC)] in _OLD_ENTRIES:
                yield from _old_records_of(fd)
        finally:
            os.close(fd)


def _records_of(fd: int, key: bytes) -> Iterator[type_record]:
    at, newest = FIRST_RECORD, 0
    while len(found := os.pread(fd, _HEAD.size, at)) == _HEAD.size:
        count, total, number, tag = _HEAD.unpack(found)
        end = _HEAD.size + count * _ENTRY.size
        if number <= newest or not end <= total <= limits.SMALL_RECORD_BYTES:
            return
        record = memoryview(os.pread(fd, total, at))
        entries = [*_ENTRY.iter_unpack(record[_HEAD.size : end])] if len(record) == total else []
        content = end + sum(entry[3] for entry in entries)
        if tag != _tag(key, count, total, number, bytes(record[_HEAD.size : content])):
            return
        notes = []
        for entry in entries:
            notes.append(bytes(record[end : end + entry[3]]))
            end += entry[3]
        whole = [
            _Entry(uuid, digest, size, note)
            for (uuid, digest, size, _), note in zip(entries, notes, strict=True)
        ]
        yield number, _files(whole, record[content:])
        at += padded(total)
        newest = number


def _old_records_of(fd: int) -> Iterator[type_record]:
    at = 0
    while len(found := os.pread(fd, _OLD_HEAD.size, at)) == _OLD_HEAD.size:
        magic, count, total, checksum = _OLD_HEAD.unpack(found)
        entry = _OLD_ENTRIES.get(magic)
        if not entry or total > limits.SMALL_RECORD_BYTES or count * entry.size > total:
            return
        record = memoryview(os.pread(fd, total, at))
        entries = record[_OLD_HEAD.size : _OLD_HEAD.size + count * entry.size]
        if zlib.crc32(entries) != checksum:
            return
        found_files = [_Entry(*one) for one in entry.iter_unpack(entries)]
        yield 0, _files(found_files, record[_OLD_HEAD.size + len(entries) :])
        at += padded(total)


def _tag(key: bytes, count: int, total: int, number: int, entries: bytes) -> bytes:
    fields = struct.pack("<IIQ", count, total, number)
    return blake3(fields + entries, key=key).digest(length=_TAG_BYTES)


class _Entry(NamedTuple):
    uuid: bytes
    padded_digest: bytes
    size: int
    note: bytes = b""


def _files(entries: Iterable[_Entry], data: memoryview) -> Iterator[SmallFile]:
    at = 0
    for entry in entries:
        content = bytes(data[at : at + entry.size])
        at += entry.size
        padded_digest = entry.padded_digest
        is_md5 = not any(padded_digest[_MD5_BYTES:])
        digest = (padded_digest[:_MD5_BYTES] if is_md5 else padded_digest).hex()
        if digest_of(content, partial(digest_like, digest)) == digest:
            yield SmallFile(entry.uuid.decode("ascii", "replace"), content, digest, entry.note)
