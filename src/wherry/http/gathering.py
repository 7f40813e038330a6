"""uvicorn's protocol, handing bodies over in big pieces.

uvicorn wakes the application for every read of the socket and copies each byte three times on the
way. Here a body comes in pieces of about ``limits.BODY_CHUNK_BYTES``, joined once: one wake-up
for most files. A slow sender's bytes are handed on at least every ``limits.BODY_FLUSH_S``, so
that nobody takes slowness for silence.

Not here: bounds (``protocol``, ``body``).
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wherry import limits


class GatheringProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces: list[bytes] = []
        self._gathered_bytes = 0
        self._due = 0.0
        """Loop time from which on what was gathered is handed over, however little."""

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._pieces.clear()
        self._gathered_bytes = 0
        self._due = self.loop.time() + limits.BODY_FLUSH_S
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        if self.cycle.response_complete:
            return
        self._pieces.append(body)
        self._gathered_bytes += len(body)
        if self._gathered_bytes >= limits.BODY_CHUNK_BYTES or self.loop.time() >= self._due:
            self._hand_over()
            self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self._pieces:
            self._hand_over()
        super().on_message_complete()

    def _hand_over(self) -> None:
        """What was gathered is what ``receive`` gives next."""
        if self.cycle.body:  # not fetched yet
            self._pieces.insert(0, bytes(self.cycle.body))
        one = len(self._pieces) == 1
        # Plain bytes, which ``receive`` hands on without a copy; uvicorn itself would append.
        self.cycle.body = self._pieces[0] if one else b"".join(self._pieces)  # type: ignore[assignment]
        self._pieces.clear()
        self._gathered_bytes = 0
        self._due = self.loop.time() + limits.BODY_FLUSH_S
