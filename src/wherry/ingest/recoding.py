"""What arrives over REST and DICOM in one transfer syntax (``IngestTranscoding``).

An instance that is staged is staged once more, transcoded, and its first file goes. What cannot be
transcoded is stored as it came, as in the original. Transfers between servers bring bytes as they
are, and do not come this way.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.dicom.codecs.syntaxes import NATIVE
from wherry.errors import TooLarge
from wherry.imaging.stored import read_pieces, stored_source
from wherry.imaging.transcoding import Transcoder
from wherry.ingest.staging import Staging
from wherry.model import StagedInstance, Summary
from wherry.storage.base import StorageArea


class IngestRecoding:
    """The rules of a configuration, and who does it."""

    def __init__(
        self,
        transcoder: Transcoder,
        storage: StorageArea,
        syntax: str,
        *,
        uncompressed: bool,
        compressed: bool,
    ) -> None:
        """``syntax``: the one that all shall have; ``uncompressed``, ``compressed``: whether that
        holds for what arrives like this."""
        self._transcoder = transcoder
        self._storage = storage
        self._syntax = syntax
        self._uncompressed = uncompressed
        self._compressed = compressed

    def recoded(
        self, staged: StagedInstance, stage: Callable[[], Staging]
    ) -> StagedInstance | None:
        """The instance staged anew, or None when it stays as it came. ``stage`` begins a file.
        Blocking. Raises ``Unavailable``, and what ``Staging`` raises."""
        if not self._wants(staged.summary):
            return None
        with (
            stored_source(self._storage, staged.attachment) as source,
            self._transcoder.or_as_it_is(source, [self._syntax]) as made,
        ):
            if made is None:
                return None
            staging = stage()
            try:
                for piece in read_pieces(made.source):
                    staging.write(piece)
                return staging.finish()
            except TooLarge:
                return None
            except BaseException:
                staging.abort()
                raise

    def _wants(self, summary: Summary) -> bool:
        if summary.transfer_syntax == self._syntax:
            return False
        return self._uncompressed if summary.transfer_syntax in NATIVE else self._compressed
