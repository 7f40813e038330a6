"""Where the bytes of one bucket land: straight in the files that will be served later.

A bucket is a run of pieces of instances, each with a *lander* (``landers``) that says where the
next bytes shall be put. Bytes from a socket are received there; they are not copied in this
process until the disk takes them.

Not here: who may send what, what is acknowledged (``reception``, ``incoming``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wherry.errors import NetworkProtocol
from wherry.model import Compression
from wherry.storage.base import StorageArea, type_buffer
from wherry.transfers.following import Followers
from wherry.transfers.landers import Ground, Landed, Lander, Piece, landers
from wherry.transfers.sealing import SEAL_BYTES, Sealer


class Landing:
    """Takes the bytes of one bucket in order. Blocking; one thread at a time.

    With ``keep=False`` nothing is written: the bucket was acknowledged before, and its bytes are
    only compared with what was promised.
    """

    def __init__(
        self,
        storage: StorageArea,
        block: str,
        pieces: Sequence[Piece],
        followers: Followers,
        standing: Callable[[], str],
        *,
        keep: bool = True,
        compression: Compression = Compression.NONE,
        sealed: bool = False,
        again: bool = False,
    ) -> None:
        """``standing``: of ``Ingest``. ``sealed``: 16 bytes follow those of the pieces
        (``sealing``). ``again``: the bucket was acknowledged before, and somebody may rely on the
        files that it came to."""
        self.size = sum(piece.size for piece in pieces)
        self._sealer: Sealer | None = None
        if sealed:
            self._sealer = Sealer((p.instance.orthanc_id, p.offset, p.size) for p in pieces)
            self.size += SEAL_BYTES
        self._ground = Ground(
            storage, block, followers, standing, compression=compression, again=again
        )
        self._landers = landers(self._ground, pieces, keep=keep, sealer=self._sealer)
        self._lander: Lander | None = None
        self.taken = 0
        """Bytes so far."""
        self._left = 0

    @property
    def landed(self) -> Landed:
        """What the bucket has brought so far."""
        return self._ground.landed

    def room(self) -> memoryview:
        """Where the next bytes go; nothing when the bucket is complete."""
        if not self._left:
            self._next()
        return memoryview(b"") if self._lander is None else self._lander.room()[: self._left]

    def filled(self, size: int) -> None:
        """So many bytes were put into ``room()``.

        Raises ``CorruptedFile`` or ``BadFileFormat`` when an instance is not what was declared,
        ``StorageFull``, ``CannotWriteFile``.
        """
        assert self._lander is not None
        self.taken += size
        self._left -= size
        if self._sealer is not None:
            self._sealer.update(self._lander.room()[:size])
        self._lander.filled(size)
        if not self._left:
            self._lander.end()

    def write(self, data: type_buffer) -> None:
        """Take the next bytes; the buffer may be reused afterwards. Raises as ``filled`` does, and
        ``NetworkProtocol`` when there are too many."""
        if self.taken + len(data) > self.size:
            raise NetworkProtocol(
                f"The bucket has {self.taken + len(data)} bytes or more instead of {self.size}"
            )
        view = memoryview(data)
        start = 0
        while start < len(view):
            room = self.room()
            size = min(len(room), len(view) - start)
            room[:size] = view[start : start + size]
            self.filled(size)
            start += size

    def wanted(self) -> int:
        """Bytes that would fit in one go; 1 when the bucket is complete, so that one too many is
        noticed."""
        return len(self.room()) or 1

    def finish(self) -> Landed:
        """All bytes are in. Raises ``NetworkProtocol`` when some are missing."""
        if self.taken != self.size:
            raise NetworkProtocol(f"The bucket has {self.taken} bytes instead of {self.size}")
        self._next()
        self._ground.settle()
        return self.landed

    def release(self) -> dict[str, str]:
        """The files that only this bucket made, and their places; from now on they are the
        caller's."""
        return self._ground.release()

    def abort(self) -> None:
        """Close what is open and remove the files that only this bucket made. Repeatable."""
        if self._lander is not None:
            self._lander.close()
        self._ground.remove()

    def _next(self) -> None:
        """Go to the next piece that has bytes; those without end as they begin."""
        for lander in self._landers:
            self._lander, self._left = lander, lander.size
            if self._left:
                return
            lander.end()
        self._lander = None
