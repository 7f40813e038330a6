from __future__ import annotations

import io
import struct
import zipfile

import pytest

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge, WherryError
from wherry.http.zipfiles import Archive


class Source:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        return self.data[offset : offset + size]


def packed(
    *contents: bytes,
    method: int = zipfile.ZIP_DEFLATED,
    streamed: bool = False,
    comment: bytes = b"",
) -> bytes:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    buffer = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:  # type: ignore[arg-type]
        for number, content in enumerate(contents):
            archive.writestr(f"../../é/{number}", content)
        archive.comment = comment
    return bytes(buffer.data) if isinstance(buffer, Unseekable) else buffer.getvalue()


def contents(data: bytes) -> list[bytes]:
    archive = Archive(Source(data))
    return [b"".join(archive.content(entry)) for entry in archive.entries]


BIG = bytes(range(256)) * 20_000


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_zipfile_writes(method: int, streamed: bool) -> None:
    assert contents(packed(b"one", b"", BIG, method=method, streamed=streamed)) == [
        b"one",
        b"",
        BIG,
    ]


def test_a_comment_and_bytes_before_the_archive() -> None:
    data = packed(b"one", comment=b"PK\x05\x06 this is no directory" + b"x" * 1000)
    assert contents(b"#!/bin/sh\n" + data) == [b"one"]


def test_no_entries() -> None:
    assert contents(packed()) == []


def test_64_bit_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = packed(b"a" * 300, b"b" * 300, method=zipfile.ZIP_STORED)
    assert b"PK\x06\x06" in data
    assert contents(data) == [b"a" * 300, b"b" * 300]


def test_pieces_are_bounded() -> None:
    archive = Archive(Source(packed(BIG)))
    sizes = [len(piece) for piece in archive.content(archive.entries[0])]
    assert max(sizes) <= limits.BODY_CHUNK_BYTES


def test_too_many_entries_are_counted_before_they_are_read() -> None:
    data = bytearray(packed(b"x"))
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<2H", data, end + 8, 30_000, 30_000)
    with pytest.raises(TooLarge, match="20000 entries"):
        contents(bytes(data))


def test_an_implausible_ratio_is_refused_before_anything_is_inflated() -> None:
    with pytest.raises(TooLarge, match="ratio"):
        Archive(Source(packed(bytes(30 * limits.MIB))))


def test_a_size_that_lies() -> None:
    data = bytearray(packed(b"x" * 1000))
    struct.pack_into("<L", data, data.rfind(b"PK\x01\x02") + 24, 10)
    with pytest.raises(BadFileFormat, match="longer than declared"):
        contents(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_costly_compressions(method: int) -> None:
    with pytest.raises(BadFileFormat, match="compression that is not supported"):
        contents(packed(b"x", method=method))


def test_encrypted() -> None:
    data = bytearray(packed(b"x"))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadFileFormat, match="encrypted"):
        contents(bytes(data))


@pytest.mark.parametrize("streamed", [False, True])
def test_every_cut_and_every_changed_byte_is_refused_or_harmless(streamed: bool) -> None:
    """Nothing but our own errors comes out, and never other content than was put in."""
    whole = packed(b"one" * 20, b"two", streamed=streamed)
    for size in range(len(whole)):
        with pytest.raises(WherryError):
            contents(whole[:size])
    for position in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= change
            try:
                assert set(contents(bytes(damaged))) <= {b"one" * 20, b"two"}
            except WherryError:
                pass
