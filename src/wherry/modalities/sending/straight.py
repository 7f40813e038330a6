"""One DICOM file that is not stored here, sent to a modality.

Not here: those that are stored (``store``).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from wherry.errors import BadFileFormat
from wherry.imaging.transcoding import Transcoder
from wherry.modalities.associations.connection import ModalityUnavailable, Target
from wherry.modalities.associations.negotiation import Recoding, proposals, recoding
from wherry.modalities.associations.pool import AssociationPool
from wherry.modalities.sending.cstore import store
from wherry.modalities.sending.outgoing import Outgoing, read
from wherry.model import Modality

if TYPE_CHECKING:
    from wherry.config import Config


class File(Protocol):
    """Where the file lies."""

    def map(self) -> AbstractContextManager[memoryview]:
        """All of it as one read-only buffer."""

    def read_at(self, offset: int, size: int) -> bytes:
        """At most so many bytes from an offset."""


def store_file(
    config: Config,
    pool: AssociationPool,
    transcoder: Transcoder,
    modality: Modality,
    target: Target,
    file: File,
) -> tuple[str, str]:
    """Send it; its SOP class and SOP instance UID. Blocking.

    Raises ``BadFileFormat`` when it is no DICOM file, and what ``cstore.store`` raises.
    """
    with file.map() as view:
        try:
            instance = read(view, file.read_at)
        except BadFileFormat:
            size = len(view)
            raise BadFileFormat(
                f"Cannot parse an invalid DICOM file (size: {size} bytes)"
            ) from None
        _send(pool, target, instance, recoding(config, modality, transcoder))
        return instance.kind.sop_class, instance.sop_instance


def _send(pool: AssociationPool, target: Target, instance: Outgoing, rules: Recoding) -> None:
    [proposal] = proposals([instance.kind], rules)
    while True:
        line = pool.open(target, proposal)
        try:
            store(line.association, instance, rules)
        except ModalityUnavailable:
            line.association.abort()
            if not line.reused:
                raise
        except BaseException:
            line.association.abort()
            raise
        else:
            line.reused = False
            pool.give_back(line)
            return
