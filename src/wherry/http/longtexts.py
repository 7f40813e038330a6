"""JSON bodies whose data URIs are decoded while they arrive: what is left is a short document.

Why: a body with a document of 100 MB is read in pieces, and its bytes go to a nameless file at
once; nobody holds them in memory, nor copies them. Escapes are understood (``\\/`` of PHP,
``\\u002B`` of .NET).
Not here: what the document means.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from wherry import clock, limits
from wherry.dicom.creating.datauri import LONGEST_BEGIN, Base64, Blob, beginning
from wherry.errors import BadFileFormat, BadRequest, TooLarge
from wherry.http.spool import Spool

_SHORT_BYTES: Final = 1024
"""A text that is not longer stays in the document, whatever it is."""
_ESCAPE_BYTES: Final = 6
"""The longest escape: ``\\u002B``."""


class LongTexts:
    """One body. Blocking; one thread at a time; the spool is the caller's."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._document = bytearray()
        self._text_at = -1
        """Where the text begins in the document that is being read; -1 between texts."""
        self._long: _Long | None = None
        self._cut = b""
        self._key = clock.random_hex(32)
        self._blobs: dict[str, Blob] = {}

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises ``TooLarge`` (of what is left), ``BadFileFormat`` (base64
        that is none), and what the spool raises."""
        piece, self._cut = self._cut + bytes(data), b""
        position = 0
        while position < len(piece):
            if self._text_at < 0:
                position = self._between(piece, position)
            else:
                position = self._inside(piece, position)
        if len(self._document) > limits.JSON_BODY_BYTES:
            raise TooLarge(
                f"Apart from contents, the body has more than {limits.JSON_BODY_BYTES} bytes"
            )

    def finish(self) -> Any:
        """The document; its long data URIs are ``Blob``. Raises ``BadRequest``."""
        try:
            document = orjson.loads(self._document)
        except orjson.JSONDecodeError:
            raise BadRequest from None
        waiting = [document] if self._blobs and isinstance(document, dict | list) else []
        while waiting:
            node = waiting.pop()
            for key, value in node.items() if isinstance(node, dict) else enumerate(node):
                if isinstance(value, str):
                    node[key] = self._blobs.get(value, value)
                elif isinstance(value, dict | list):
                    waiting.append(value)
        return document

    def blob(self, text: str) -> Blob:
        """The same of a short text. Raises ``BadFileFormat`` when it is no data URI."""
        found = beginning(text)
        if found is None:
            raise BadFileFormat
        long = _Long(self.spool, found[0])
        long.write(text[found[1] :].encode("utf-8", "surrogatepass"))
        return long.finish()

    def _between(self, piece: bytes, position: int) -> int:
        quote = piece.find(b'"', position)
        end = quote + 1 if quote >= 0 else len(piece)
        self._document += piece[position:end]
        if quote >= 0:
            self._text_at = len(self._document)
        return end

    def _inside(self, piece: bytes, position: int) -> int:
        """Up to the end of the text, or of the piece."""
        seen, quote = position, piece.find(b'"', position)
        while True:
            end = quote if quote >= 0 else len(piece)
            escape = piece.find(b"\\", seen, end)
            if escape < 0:
                break
            if escape + 1 == len(piece):  # what is escaped comes with the next piece
                self._cut = piece[escape:]
                self._take(piece[position:escape])
                return len(piece)
            seen = escape + 2
            if 0 <= quote < seen:
                quote = piece.find(b'"', seen)
        self._take(piece[position:end])
        if quote < 0:
            return len(piece)
        if self._long is not None:
            name = f"{self._key}:{len(self._blobs)}"
            self._blobs[name] = self._long.finish()
            self._document += name.encode()
            self._long = None
        self._document += b'"'
        self._text_at = -1
        return end + 1

    def _take(self, text: bytes) -> None:
        if self._long is not None:
            self._long.write(text)
            return
        self._document += text
        if len(self._document) - self._text_at <= _SHORT_BYTES:
            return
        begin = bytes(self._document[self._text_at : self._text_at + 2 * LONGEST_BEGIN])
        # The only escape in its beginning is that of the slash.
        plain = begin.replace(b"\\/", b"/").decode("latin-1")
        found = beginning(plain)
        if found is None:
            return
        self._long = _Long(self.spool, found[0])
        rest = bytes(self._document[self._text_at + begin.index(b",") + 1 :])
        del self._document[self._text_at :]
        self._long.write(rest)


class _Long:
    """The base64 of one text on its way to the spool."""

    def __init__(self, spool: Spool, mime: str) -> None:
        self._spool, self._mime, self._offset = spool, mime, spool.size
        self._base64 = Base64()
        self._held = b""

    def write(self, text: bytes) -> None:
        if self._held or b"\\" in text:
            text = self._unescaped(self._held + text)
        self._spool.write(self._base64.decode(text))

    def finish(self) -> Blob:
        if self._held:
            raise BadFileFormat
        self._spool.write(self._base64.finish())
        return Blob(self._mime, self._offset, self._spool.size - self._offset)

    def _unescaped(self, text: bytes) -> bytes:
        """Without escapes; one that is cut off is held. Base64 has no escaped backslash, so that
        each backslash begins an escape."""
        last = text.rfind(b"\\", -_ESCAPE_BYTES)
        whole = _ESCAPE_BYTES if text[last + 1 : last + 2] == b"u" else 2
        if last >= 0 and len(text) - last < whole:
            text, self._held = text[:last], text[last:]
        else:
            self._held = b""
        try:
            return str(orjson.loads(b'"' + text + b'"')).encode()
        except orjson.JSONDecodeError:
            raise BadFileFormat from None
