from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.asgi import Reply, call
from wherry import limits
from wherry.http.compression import chosen_encoding, compressing

TEXT = b'{"PatientName": "Doe^Jane"}\n' * 2000
JSON = b"application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate;q=1.0, gzip;q=0.5", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("gzip;q=nan", None),
        ("gzip;q=-1", None),
        ("gzip;q=1e300", None),
        ("br", None),
        ("identity", None),
        ("", None),
        (",;,=;q", None),
    ],
)
def test_what_the_client_likes_best(accepted: str, chosen: str | None) -> None:
    assert chosen_encoding(accepted.encode()) == (chosen.encode() if chosen else None)


def answered(
    pieces: Iterable[bytes],
    content_type: bytes = JSON,
    accepted: str = "gzip",
    status: int = 200,
    method: str = "GET",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Reply:
    *before, last = pieces

    async def app(scope: Any, receive: Any, send: Any) -> None:
        send = compressing(scope, send)
        sent = [(b"content-type", content_type), *headers]
        if not before:
            sent.append((b"content-length", b"%d" % len(last)))
        await send({"type": "http.response.start", "status": status, "headers": sent})
        for piece in before:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    return call(app, method, "/", headers={"Accept-Encoding": accepted})


@pytest.mark.parametrize("text", [TEXT, TEXT[: limits.COMPRESSED_BYTES]])
def test_whole_answers(text: bytes) -> None:
    reply = answered([text])
    assert gzip.decompress(reply.body) == text
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["vary"] == "Accept-Encoding"
    assert int(reply.headers["content-length"]) == len(reply.body) < len(text)
    assert zlib.decompress(answered([text], accepted="deflate").body) == text


def test_pieces() -> None:
    reply = answered([TEXT, b"", TEXT, b"."])
    assert gzip.decompress(reply.body) == TEXT + TEXT + b"."
    assert "content-length" not in reply.headers
    assert reply.ended


@pytest.mark.parametrize(
    "plain",
    [
        {"pieces": [TEXT[: limits.COMPRESSED_BYTES - 1]]},
        {"pieces": [TEXT], "content_type": b"application/dicom"},
        {"pieces": [TEXT, TEXT], "content_type": b"application/zip"},
        {"pieces": [TEXT], "accepted": "identity"},
        {"pieces": [TEXT], "status": 206},
        {"pieces": [TEXT], "method": "HEAD"},
        {"pieces": [TEXT], "headers": [(b"content-encoding", b"gzip")]},
    ],
)
def test_what_stays_as_it_is(plain: dict[str, Any]) -> None:
    reply = answered(**plain)
    assert reply.body == b"".join(plain["pieces"])
    assert ("content-encoding" in reply.headers) == ("headers" in plain)
