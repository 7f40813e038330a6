"""What is asked of ``/tools/create-dicom``: data URIs of pictures, and videos made of tables."""

from __future__ import annotations

import base64
import io
import json
import struct
import urllib.error
import urllib.request
import zlib
from typing import Any

import numpy as np
from PIL import Image

GREY = np.random.default_rng(1).integers(0, 256, (5, 7), "u1")
GREY16 = np.random.default_rng(2).integers(0, 65536, (5, 7), "u2")
COLOUR = np.random.default_rng(3).integers(0, 256, (5, 7, 3), "u1")
CLEAR = np.random.default_rng(4).integers(0, 256, (5, 7, 4), "u1")
PDF = b"%PDF-1.4\nnot much of a document"


def data_uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64," + base64.b64encode(data).decode()


def pdf(data: bytes = PDF) -> str:
    return data_uri("application/pdf", data)


def picture(pixels: Any, kind: str = "png", **options: Any) -> bytes:
    """The file of a picture made of an array or of Pillow's images."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels: Any, **options: Any) -> str:
    return data_uri("image/png", picture(pixels, **options))


def jpeg(pixels: Any, **options: Any) -> str:
    return data_uri("image/jpeg", picture(pixels, "jpeg", **options))


def raw_png(columns: int, rows: int, bits: int, colour: int, data: bytes) -> bytes:
    """A PNG that says so, whatever ``data`` are."""
    header = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def ask(url: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """``body``: bytes, or what is JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def create(url: str, body: Any) -> tuple[int, Any]:
    """Status and document of the answer."""
    status, answer = ask(url, "POST", "/tools/create-dicom", body)
    return status, json.loads(answer)


def file_of(url: str, body: Any) -> bytes:
    """The DICOM file that this request makes."""
    status, answer = create(url, body)
    assert status == 200, answer
    return ask(url, "GET", f"/instances/{answer['ID']}/file")[1]


# --- videos --------------------------------------------------------------------------------------
def box(kind: bytes, *content: bytes) -> bytes:
    """A box of MP4."""
    data = b"".join(content)
    return struct.pack(">I4s", len(data) + 8, kind) + data


def mp4(
    codec: bytes = b"avc1",
    configuration: bytes = box(b"avcC", bytes((1, 100, 0, 41, 0xFF))),
    times: tuple[tuple[int, int], ...] = ((50, 512),),
    size: tuple[int, int] = (640, 480),
    pictures: bytes = b"pictures",
) -> bytes:
    """The tables of a video, around something that is none."""
    entry = bytes(24) + struct.pack(">HH", *size) + bytes(50) + configuration
    stsd = box(b"stsd", struct.pack(">II", 0, 1), box(codec, entry))
    table = struct.pack(">II", 0, len(times)) + b"".join(struct.pack(">II", *one) for one in times)
    media = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 12_800, 25_600), bytes(4)),
        box(b"hdlr", bytes(8), b"vide", bytes(13)),
        box(b"minf", box(b"stbl", stsd, box(b"stts", table))),
    )
    sound = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(13))))
    return b"".join(
        (
            box(b"ftyp", b"isom", bytes(4)),
            box(b"moov", box(b"mvhd", bytes(100)), sound, box(b"trak", media)),
            box(b"mdat", pictures),
        )
    )


def mpeg2(frames: int = 10, *, fields: bool = False, profile: int = 0x48) -> bytes:
    """An elementary stream of headers: 720 × 576, 25 frames a second."""
    sequence = b"\0\0\1\xb3" + (720 << 12 | 576).to_bytes(3) + b"\x23" + bytes(4)
    extension = b"\0\0\1\xb5" + (1 << 28 | profile << 20 | 1 << 17).to_bytes(4) + bytes(2)
    structures = (1, 2) if fields else (3,)
    pictures = b"".join(
        b"\0\0\1\0\1\2\3\4\0\0\1\xb5\x8f\xff"
        + bytes((0xFC | structure, 0x80, 0))
        + b"\0\0\1\1slice"
        for _ in range(frames)
        for structure in structures
    )
    return sequence + extension + pictures


def program_stream(stream: bytes, packet_bytes: int = 100) -> bytes:
    """The same in packets, which cut headers in two, and of which some are empty."""
    pack = b"\0\0\1\xba" + b"\x44" + bytes(8) + b"\xf8"
    sound = b"\0\0\1\xc0" + struct.pack(">H", 12) + b"\x80\0\0" + b"\0\0\1\xb5\x80\0\3sl"
    empty = b"\0\0\1\xe0\0\x03\x80\0\0"
    parts = [pack]
    for start in range(0, len(stream), packet_bytes):
        piece = stream[start : start + packet_bytes]
        parts += [
            sound,
            empty,
            b"\0\0\1\xe0" + struct.pack(">H", len(piece) + 3) + b"\x80\0\0" + piece,
        ]
    return b"".join([*parts, b"\0\0\1\xb9"])
