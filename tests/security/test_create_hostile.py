"""Requests to create instances that nobody should be able to hurt a server with."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.creating import (
    COLOUR,
    GREY,
    ask,
    box,
    create,
    data_uri,
    mp4,
    pdf,
    picture,
    png,
    raw_png,
)
from tests.support.server import Server, running

SLACK_KIB = 60 * 1024
"""Memory that all of them together may cost the server: the pieces of a few bodies."""
SIDES = ((65_535, 65_535), (46_341, 46_341), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (70_000, 1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as found:
        for content in (png(GREY), pdf()):
            assert create(found.url, {"Tags": {}, "Content": content})[0] == 200
        before = memory_kib(found)
        yield found
        assert create(found.url, {"Tags": {}, "Content": png(GREY)})[0] == 200
        assert memory_kib(found) - before < SLACK_KIB
        assert nameless_files(found) == 0


def memory_kib(server: Server) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError


def nameless_files(server: Server) -> int:
    """Open files without a name, in which contents and pixels are kept for a while."""
    links = Path(f"/proc/{server.pid}/fd").iterdir()
    return sum("(deleted)" in str(one.readlink()) for one in links)


def refused(server: Server, body: Any) -> int:
    """It is an error of the request, and nothing has changed."""
    before = server.json("GET", "/statistics")["CountInstances"]
    status, _ = ask(server.url, "POST", "/tools/create-dicom", body)
    assert server.json("GET", "/statistics")["CountInstances"] == before
    assert 400 <= status < 500
    return status


def content(server: Server, mime: str, data: bytes) -> int:
    return refused(server, {"Tags": {}, "Content": data_uri(mime, data)})


@pytest.mark.parametrize(("columns", "rows"), SIDES)
@pytest.mark.parametrize("kind", [0, 2, 3, 6])
def test_png_bombs(server: Server, columns: int, rows: int, kind: int) -> None:
    status = content(server, "image/png", raw_png(columns, rows, 8, kind, b"\0" * 1000))
    assert status == (413 if max(columns, rows) <= 65_535 else 400)  # no decoder has seen it


def test_png_whose_data_inflate_far_beyond_its_size(server: Server) -> None:
    data = zlib.compress(bytes(64 << 20), 1)
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one))
        for kind, one in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )
    status, _ = create(
        server.url,
        {"Tags": {}, "Content": data_uri("image/png", b"\x89PNG\r\n\x1a\n" + chunks)},
    )
    assert status in (200, 400)  # what is too much is not looked at


def test_png_that_is_cut_off(server: Server) -> None:
    whole = picture(COLOUR)
    for end in range(0, len(whole) - 12, 7):
        content(server, "image/png", whole[:end])


def lying_jpeg(columns: int, rows: int) -> bytes:
    data = bytearray(picture(COLOUR, "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", rows, columns)
    return bytes(data)


@pytest.mark.parametrize(("columns", "rows"), [(65_535, 65_535), (46_341, 46_341), (0, 5), (5, 0)])
def test_jpeg_with_lying_sizes(server: Server, columns: int, rows: int) -> None:
    status = content(server, "image/jpeg", lying_jpeg(columns, rows))
    assert status == (413 if columns and rows else 400)


def test_jpeg_that_is_cut_off(server: Server) -> None:
    whole = picture(COLOUR, "jpeg")
    for end in range(0, whole.index(b"\xff\xda"), 37):
        content(server, "image/jpeg", whole[:end])


@pytest.mark.parametrize("encapsulate", [False, True])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\0\x02", b"\xff" * 1000])
def test_jpeg_garbage(server: Server, data: bytes, encapsulate: bool) -> None:
    body = {"Tags": {}, "Content": data_uri("image/jpeg", data), "Encapsulate": encapsulate}
    refused(server, body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P7\nENDHDR\n",
        b"P7\n" + b"#\n" * 100_000 + b"ENDHDR\n",
        b"P7\nWIDTH 65535\nHEIGHT 65535\nDEPTH 1\nMAXVAL 255\nENDHDR\n",
        b"P7\nWIDTH 999999999999\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n",
        b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 1\nMAXVAL 255\nENDHDR\nx",
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 0\nMAXVAL 255\nENDHDR\nx",
    ],
)
def test_pam_bombs(server: Server, data: bytes) -> None:
    content(server, "image/x-portable-arbitrarymap", data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        box(b"ftyp"),
        box(b"ftyp") + box(b"moov"),
        box(b"ftyp") + box(b"x") * 50_000,
        box(b"ftyp") + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1),
        box(b"ftyp") + struct.pack(">I4s", 2**32 - 1, b"moov"),
        mp4(times=((2**32 - 1, 2**32 - 1),))[:-40],
        mp4().replace(struct.pack(">II", 0, 1) + struct.pack(">II", 50, 512), b"\xff" * 16),
        mp4(size=(0, 0)),
        mp4(size=(0, 65_535)),
        b"\0\0\1\xb3",
        b"\0\0\1\xba" + b"\x44" * 10,
        b"\0\0\1\xba\x44" + bytes(9) + b"\0\0\1\xe0\0\0" * 10_000,
        b"\0\0\1\xb3" + b"\xff" * 100_000,
    ],
)
def test_videos(server: Server, data: bytes) -> None:
    content(server, "video/mp4", data)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 9, 13, 14, 20, 25, 27])
def test_uris_that_are_cut_off(server: Server, cut: int) -> None:
    refused(server, {"Tags": {}, "Content": pdf()[:cut]})


@pytest.mark.parametrize("garbage", ["!", "\n", "é", "\0", "\ud800", "=", "====", "A" * 4097, "-_"])
def test_base64_garbage(server: Server, garbage: str) -> None:
    refused(server, {"Tags": {}, "Content": pdf() + garbage})
    refused(server, {"Tags": {}, "Content": pdf(b"%PDF-" + bytes(6000)) + garbage})


def test_long_lists(server: Server) -> None:
    assert refused(server, {"Tags": {}, "Content": [png(GREY)] * 10_000}) == 413
    assert refused(server, {"Tags": {}, "Content": [{}] * 10_000}) in (400, 413)
    refused(server, {"Tags": {}, "Content": [["data:"]] * 10_000})


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = [{"RequestAttributesSequence": leaf}]
    return leaf


@pytest.mark.parametrize("depth", [33, 300])
def test_nested_sequences(server: Server, depth: int) -> None:
    refused(server, {"Tags": {"RequestAttributesSequence": nested(depth, "x")}})
    long = data_uri("a/b", bytes(3000))
    refused(server, {"Tags": {"RequestAttributesSequence": nested(depth, [{"PatientID": long}])}})
    refused(server, {"Tags": {}, "Content": nested(depth, long)})


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"PatientID":', b"}")])
def test_nested_json(server: Server, depth: int, open_: bytes, close: bytes) -> None:
    for begin in (b'{"Tags":', b'{"Tags":{},"Content":', b""):
        refused(server, begin + open_ * depth + b"1" + close * depth + b"}")


WRONG: tuple[Any, ...] = (5, 1.5, True, None, "x", [], [[]], {}, {"a": {}}, [5], "\0", "\ud800")


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_types(server: Server, value: Any) -> None:
    """Nothing is a defect of the server, whatever is where it should not be."""
    bodies: list[Any] = [
        value,
        {"Tags": value},
        {"Tags": {"PatientName": value}},
        {"Tags": {"RequestAttributesSequence": value}},
        {"Tags": {"RequestAttributesSequence": [value]}},
        {"Tags": {"RequestAttributesSequence": [{"PatientID": value}]}},
        {"Tags": {"SpecificCharacterSet": value}},
        {"Tags": {"SOPInstanceUID": value}, "Force": True},
        {"Tags": {"StudyInstanceUID": value}, "Force": True},
        {"Tags": {"Rows": value}},
        {"Tags": {"0407,1001": value}},
        {"Tags": {}, "Content": value},
        {"Tags": {}, "Content": [value]},
        {"Tags": {}, "Content": [{"Content": value}]},
        {"Tags": {}, "Content": [{"Content": png(GREY), "Tags": value}]},
        *({"Tags": {}, name: value} for name in ("Parent", "Force", "PrivateCreator")),
        *({"Tags": {}, name: value} for name in ("InterpretBinaryTags", "Encapsulate")),
        {"PatientID": value},
        {"PixelData": value},
        {"SpecificCharacterSet": value},
    ]
    for body in bodies:
        status, answer = create(server.url, body)
        assert status < 500 or answer["OrthancStatus"] == 27, body  # unknown tags, as in Orthanc


def test_garbage_instead_of_json(server: Server) -> None:
    for body in (b"\xff" * 100, b"\0", b"[" * 100_000, b'"', b"\\", b'"\\', b'{"Tags":{}', b"5 5"):
        refused(server, body)
    assert refused(server, b'{"a":"' + b"x" * (5 << 20)) == 413
    assert refused(server, json.dumps({"Tags": {"x" * (5 << 20): "x"}}).encode()) == 413
