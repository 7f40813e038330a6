"""Answers as gzip or deflate, for clients that take them, when ``HttpCompressionEnabled`` says so.

As Orthanc does since 1.12.2: only what is text (JSON, plain text, XML, HTML), and nothing below
2 KiB; DICOM files and archives are never compressed, because it costs more than the line saves. A
long answer is compressed piece by piece, in a worker thread.

Entity tags stay what they are: clients send them back in ``If-Match``, which knows no weak tags.

Not here: compressed bodies of requests (``inflate``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from isal import isal_zlib
from starlette.types import Message, Scope, Send

from wherry import limits
from wherry.http.threads import in_thread

_GZIP_WINDOW, _ZLIB_WINDOW = 31, 15
_LEVEL = 1
"""Of 0 to 3. Level 1 packs JSON to a tenth, at several hundred MB/s."""

_TEXTUAL = (b"text/", b"application/json", b"application/dicom+json", b"application/xml")
_INLINE_BYTES = 32 * limits.KIB
"""Compressed on the event loop: it takes less time than the way to another thread and back."""


class _Packer(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


def chosen_encoding(accepted: bytes) -> bytes | None:
    """``gzip``, ``deflate`` or None, by the q-values of ``Accept-Encoding`` (RFC 9110 §12.5.3);
    gzip when both are as good."""
    weights: dict[bytes, float] = {}
    for item in accepted.lower().split(b","):
        coding, *parameters = (part.strip() for part in item.split(b";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.strip() == b"q":
                weight = _weight(value.strip())
        if coding:
            weights[b"gzip" if coding == b"x-gzip" else coding] = weight
    star = weights.get(b"*", 0.0)
    offers = [(weights.get(coding, star), coding) for coding in (b"gzip", b"deflate")]
    best, coding = max(offers, key=lambda offer: offer[0])
    return coding if best > 0 and best >= weights.get(b"identity", 0.0) else None


def _weight(text: bytes) -> float:
    """A q-value; what is none counts as a refusal."""
    try:
        value = float(text) if len(text) <= 5 else 0.0
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def compressing(scope: Scope, send: Send) -> Send:
    """``send``, or one that compresses on the way what is worth it."""
    accepted = [value for name, value in scope["headers"] if name == b"accept-encoding"]
    encoding = chosen_encoding(b",".join(accepted)) if accepted else None
    return _Compressing(encoding, send, scope["method"] == "HEAD")


class _Compressing:
    """Holds the head back until it is known whether the body is worth it."""

    def __init__(self, encoding: bytes | None, send: Send, bodiless: bool) -> None:
        self._encoding = encoding
        self._send = send
        self._bodiless = bodiless
        self._start: Message | None = None
        self._packer: _Packer | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif self._start is not None:
            await self._begin(message)
        elif self._packer is not None:
            await self._continue(self._packer, message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        assert self._start is not None
        start, self._start = self._start, None
        headers = list(start.get("headers", ()))
        if _textual(headers) and start["status"] not in (204, 206, 304):
            headers.append((b"vary", b"Accept-Encoding"))
            long = message.get("more_body") or len(message["body"]) >= limits.COMPRESSED_BYTES
            if self._encoding is not None and long and not self._bodiless:
                await self._pack(start, headers, self._encoding, message)
                return
        await self._send({**start, "headers": headers})
        await self._send(message)

    async def _pack(
        self, start: Message, headers: list[tuple[bytes, bytes]], encoding: bytes, message: Message
    ) -> None:
        window = _GZIP_WINDOW if encoding == b"gzip" else _ZLIB_WINDOW
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, window)
        kept = [header for header in headers if header[0] != b"content-length"]
        kept.append((b"content-encoding", encoding))
        if message.get("more_body"):
            self._packer = packer
            await self._send({**start, "headers": kept})
            await self._continue(packer, message)
            return
        body = message["body"]
        whole = _whole(packer)
        packed = whole(body) if len(body) <= _INLINE_BYTES else await in_thread(whole, body)
        kept.append((b"content-length", b"%d" % len(packed)))
        await self._send({**start, "headers": kept})
        await self._send({"type": "http.response.body", "body": packed})

    async def _continue(self, packer: _Packer, message: Message) -> None:
        more = message.get("more_body", False)
        body = message.get("body", b"")
        packed = await in_thread(packer.compress, body) if body else b""
        if not more:
            packed += packer.flush()
        if packed or not more:
            await self._send({"type": "http.response.body", "body": packed, "more_body": more})


def _whole(packer: _Packer) -> Callable[[Any], bytes]:
    return lambda body: packer.compress(body) + packer.flush()


def _textual(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the answer is a text that nobody has compressed yet."""
    found = False
    for name, value in headers:
        if name == b"content-type":
            found = value.lower().startswith(_TEXTUAL)
        elif name == b"content-encoding":
            return False
    return found
