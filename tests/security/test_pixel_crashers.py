"""Images that were made to crash, hang or swell whoever decodes them: each costs its request an
answer, 200 or 4xx, and nobody anything else."""

from __future__ import annotations

import io
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.support.dicom_bytes import explicit, item, open_item, sequence
from tests.support.face import serving
from tests.support.images import encapsulated, image_file, written
from tests.support.server import Server, running
from wherry import limits
from wherry.dicom.codecs import FrameShape, encode
from wherry.imaging import work

RLE, BASELINE, LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JLS, J2K, HTJ2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
SYNTAXES = (RLE, BASELINE, LOSSLESS, JLS, J2K, HTJ2K)
SIDE = 64
ASKED = ("preview", "rendered?width=100", "image-uint16", "numpy", "matlab", "frames/1/preview")
SERVER_BYTES, WORKER_BYTES = 400 * 2**20, 1200 * 2**20
"""What they may hold: the server no image, a worker what ``ImagingMemory`` allows it."""

GREY = (np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 256).astype("u1")
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


def coded(syntax: str, *, is_colour: bool = False) -> bytes:
    array = COLOUR if is_colour else GREY
    shape = FrameShape(
        SIDE, SIDE, 3 if is_colour else 1, photometric="RGB" if is_colour else "MONOCHROME2"
    )
    return encode(syntax, array, shape)


def changed(file: bytes, **tags: Any) -> bytes:
    data = dcmread(io.BytesIO(file))
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return written(data)


def wrong_numbers() -> Iterator[tuple[str, bytes]]:
    """What the header says is not what follows."""
    plain = image_file(GREY)
    for rows, columns in ((0, 64), (64, 0), (46341, 46341), (65535, 65535), (65535, 1), (1, 4096)):
        yield f"{rows}×{columns}", changed(plain, Rows=rows, Columns=columns)
    for allocated, stored in ((0, 0), (1, 1), (12, 12), (64, 64), (8, 16), (16, 0), (65535, 1)):
        tags = {"BitsAllocated": allocated, "BitsStored": stored, "HighBit": max(0, stored - 1)}
        yield f"{allocated}/{stored} bits", changed(plain, **tags)
    yield "high bit", changed(plain, HighBit=65535)
    for samples in (0, 2, 4, 255, 65535):
        yield f"{samples} samples", changed(plain, SamplesPerPixel=samples)
    for frames in (2**31, 2**31 - 1, 0, -1, 200_000, 10**11):
        yield f"{frames} frames", changed(plain, NumberOfFrames=frames)
    yield "no colour", changed(plain, PhotometricInterpretation="PALETTE COLOR")
    yield "half", changed(plain, PhotometricInterpretation="YBR_FULL_422", SamplesPerPixel=3)
    yield "unknown", changed(plain, PhotometricInterpretation="X" * 16)
    yield "huge window", changed(plain, WindowCenter="9" * 16, WindowWidth="1e-300"[:16])


def wrong_palettes() -> Iterator[tuple[str, bytes]]:
    for descriptor in ([0, 0, 16], [65535, 65535, 16], [4, 200, 8], [1, 0, 0], [256, 0, 64]):
        for data in (b"", b"\1\2", bytes(range(256)), b"\2\0\xff\xff\0\0\0\0" * 40):
            tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
            for name in ("Red", "Green", "Blue"):
                tags[f"{name}PaletteColorLookupTableDescriptor"] = descriptor
                tags[f"{name}PaletteColorLookupTableData"] = data
                if data.startswith(b"\2"):
                    del tags[f"{name}PaletteColorLookupTableData"]
                    tags[f"Segmented{name}PaletteColorLookupTableData"] = data
            yield f"palette {descriptor} {len(data)}", image_file(GREY, **tags)


def wrong_code_streams() -> Iterator[tuple[str, bytes]]:
    numbers = random.Random(20261129)
    plain, colour = image_file(GREY), image_file(COLOUR, is_colour=True)
    for syntax in SYNTAXES:
        stream = coded(syntax)
        name = syntax.rsplit(".", 2)[-1]
        for size in (2, 4, len(stream) // 2, len(stream) - 3):
            yield f"{name} cut at {size}", encapsulated(plain, syntax, stream[:size])
        for rows, columns in ((32, 64), (128, 128), (65535, 65535), (20_000, 20_000)):
            file = encapsulated(plain, syntax, stream)
            yield f"{name} as {rows}×{columns}", changed(file, Rows=rows, Columns=columns)
            big = _resized(syntax, stream, rows, columns)
            file = changed(encapsulated(plain, syntax, big), Rows=rows, Columns=columns)
            yield f"{name} both {rows}×{columns}", file
            yield f"{name} stream {rows}×{columns}", encapsulated(plain, syntax, big)
        yield f"{name} grey as colour", encapsulated(colour, syntax, stream)
        file = encapsulated(plain, syntax, coded(syntax, is_colour=True))
        yield f"{name} colour as grey", file
        yield (
            f"{name} as 16 bits",
            changed(
                encapsulated(plain, syntax, stream), BitsAllocated=16, BitsStored=16, HighBit=15
            ),
        )
        for number in range(8):
            bent = bytearray(stream)
            for _ in range(4):
                bent[numbers.randrange(len(bent))] = numbers.randrange(256)
            yield f"{name} bent {number}", encapsulated(plain, syntax, bytes(bent))
    segments = struct.pack("<16I", 1, 64, *[0] * 14)
    yield "RLE of one byte", encapsulated(plain, RLE, segments + b"\x81")
    yield "RLE of segments", encapsulated(plain, RLE, struct.pack("<16I", 2**32 - 1, *[64] * 15))


def _resized(syntax: str, stream: bytes, rows: int, columns: int) -> bytes:
    """The code stream with another size in its header."""
    bent = bytearray(stream)
    if syntax in (J2K, HTJ2K):
        struct.pack_into(">II", bent, 8, columns, rows)
        struct.pack_into(">II", bent, 24, columns, rows)
    elif syntax != RLE:
        marks = (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7")
        at = max(stream.find(mark) for mark in marks)
        struct.pack_into(">HH", bent, at + 5, rows, columns)
    return bytes(bent)


def wrong_fragments() -> Iterator[tuple[str, bytes]]:
    stream = coded(JLS)
    plain = image_file(np.stack([GREY] * 3))
    whole = encapsulated(plain, JLS, stream, stream, stream)
    table = whole.rindex(b"\xfe\xff\x00\xe0\x0c\0\0\0") + 8
    for offsets in ((0, 0, 0), (0, 1, 2), (2**32 - 1, 0, 5), (8, 4, 0), (0, 2**31, 2**31 + 8)):
        data = bytearray(whole)
        struct.pack_into("<3I", data, table, *offsets)
        yield f"offsets {offsets}", bytes(data)
    yield "fragments missing", changed(whole, NumberOfFrames=50)
    yield "one fragment", encapsulated(plain, JLS, stream)


def nested() -> Iterator[tuple[str, bytes]]:
    """Sequences deep or wide, where windows of frames are looked for."""
    plain = image_file(GREY)
    at = plain.rindex(b"\xe0\x7f\x10\x00OB")
    for depth in (10, 31, 50, 5000):
        inner = b""
        for _ in range(depth):
            inner = sequence(0x00289132, open_item(inner))
        groups = sequence(0x52009230, open_item(inner))
        yield f"{depth} levels", plain[:at] + groups + plain[at:]
    groups = explicit(0x52009230, "SQ", item() * 100_000)
    yield "100,000 groups", plain[:at] + groups + plain[at:]


def deflated() -> Iterator[tuple[str, bytes]]:
    plain = dcmread(io.BytesIO(image_file(GREY, Rows=20_000, Columns=20_000)))
    plain.PixelData = bytes(100 * 2**20)
    plain.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    yield "100 MiB of nothing", written(plain)
    plain.Rows = plain.Columns = SIDE
    yield "more than its frames", written(plain)


def workers(server: Server) -> list[int]:
    """Its processes that make images."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        if parent == server.pid:
            found.append(int(path.parent.name))
    return found


def peak_bytes(pid: int) -> int:
    """The most memory that it has held; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("crashers"))) as started:
        yield started


@pytest.mark.parametrize(
    "corpus",
    [wrong_numbers, wrong_palettes, wrong_code_streams, wrong_fragments, nested, deflated],
)
def test_a_corpus(server: Server, corpus: Callable[[], Iterator[tuple[str, bytes]]]) -> None:
    good = server.request("POST", "/instances", image_file(GREY, 99))
    well = f"/instances/{json.loads(good[1])['ID']}/preview"
    most = 0
    for name, file in corpus():
        status, body = server.request("POST", "/instances", file)
        assert status in (200, 400), (name, status)
        if status == 400:
            continue
        path = f"/instances/{json.loads(body)['ID']}"
        for asked in ASKED:
            status, _ = server.get(f"{path}/{asked}")
            assert status == 200 or 400 <= status < 500, (name, asked, status)
            most = max([most, *map(peak_bytes, workers(server))])
        server.request("DELETE", path)
        assert server.get(well)[0] == 200, name
    assert len(workers(server)) <= (os.cpu_count() or 1)
    assert peak_bytes(server.pid) < SERVER_BYTES
    assert most < WORKER_BYTES


@pytest.mark.parametrize("task", ["sleep", "spin", "allocate", "crash", "leave", "flood"])
def test_a_decoder_that_does_not_come_back(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAGING_OUTPUT_BYTES", 2**24)
    with serving(tmp_path) as face:
        path = face.upload(image_file(GREY))["Path"]
        assert face.get(f"{path}/preview").status == 200
        monkeypatch.setitem(work.TASKS, "picture", f"tests.support.imaging_tasks:{task}")
        monkeypatch.setattr(face.rooms.imaging, "_patience_s", 0.2)
        before = face.rooms.imaging.pids()
        assert face.get(f"{path}/preview").status == 415
        lives = task in ("flood", "allocate")  # it has been told no, and has taken it well
        assert lives or not any(Path(f"/proc/{pid}").exists() for pid in before)
        monkeypatch.undo()
        assert face.get(f"{path}/preview").status == 200
    assert not any(Path(f"/proc/{pid}").exists() for pid in face.rooms.imaging.pids())
