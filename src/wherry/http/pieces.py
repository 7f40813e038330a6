"""An answer that is made while it is sent: pieces of bytes, in a worker thread, never held whole.

What: for bodies whose length nobody knows before, such as one JSON object about thousands of
files. Why not ``JsonListAnswer``: these are no lists, or no JSON.
Not here: files as they are (``answers.file_answer``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wherry.http.answers import Answer, type_headers
from wherry.http.threads import in_thread, run_in_thread

_ENOUGH_BYTES = 65_536
"""Small pieces are sent together up to here: each trip to a worker thread costs 30 µs."""

type_pieces = Generator[bytes, None, None]
type_run = Callable[..., asyncio.Future[bytes | None]]
"""Has a function done in another thread."""


class PiecesAnswer(Response):
    """Sends what a generator yields, and has the next piece made meanwhile; the generator is
    closed whatever happens.

    What fails after the first piece breaks the connection, so that nobody takes half an answer
    for a whole one.
    """

    def __init__(
        self,
        first: bytes,
        pieces: type_pieces,
        content_type: bytes,
        headers: type_headers,
        run: type_run = run_in_thread,
    ) -> None:
        self.status_code = 200
        self.body = b""
        self.background = None
        self.raw_headers = [(b"content-type", content_type), *headers]
        self._first, self._pieces, self._run = first, pieces, run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in chunks."""
        request = Request(scope, receive)
        piece: bytes | None = self._first
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while piece is not None:
                following = self._run(_gathered, self._pieces)
                try:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                finally:
                    piece = await following
                if await request.is_disconnected():
                    return
            await send({"type": "http.response.body", "body": b""})
        finally:
            await in_thread(self._pieces.close)


def pieces_answer(
    pieces: type_pieces,
    content_type: bytes,
    headers: type_headers = (),
    size: int | None = None,
    run: type_run = run_in_thread,
) -> Response:
    """The answer of these pieces; takes over the generator. A short one is sent with its length, a
    long one when that is known: ``size``. ``run``: for pieces that take long to make.

    Call it in a worker thread: it makes the first pieces, and raises what they raise.
    """
    try:
        first = _gathered(pieces)
        following = None if first is None else _gathered(pieces)
    except BaseException:
        pieces.close()
        raise
    if first is None or following is None:
        pieces.close()
        return Answer(first or b"", 200, content_type, headers)
    if size is not None:
        headers = [*headers, (b"content-length", b"%d" % size)]
    return PiecesAnswer(first, _joined(following, pieces), content_type, headers, run)


def _joined(first: bytes, rest: type_pieces) -> type_pieces:
    try:
        yield first
        yield from rest
    finally:
        rest.close()


def _gathered(pieces: Iterator[bytes]) -> bytes | None:
    """The next pieces together, about ``_ENOUGH_BYTES``; None after the last."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _ENOUGH_BYTES:
            break
    return b"".join(gathered) if size else None
