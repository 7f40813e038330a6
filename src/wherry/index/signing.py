"""``MainDicomTagsSignature``: which tags the index keeps of a resource (metadata 15).

It is written only where that is more than the main tags, so that a store without
``ExtraMainDicomTags`` pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from wherry.index.database import Transaction
from wherry.model import Level

SIGNATURE: Final = 15
"""Number of the metadata."""
SEQUENCES: Final = 16
"""Another, that Orthanc keeps beside it (``MainDicomSequences``): only of what was adopted."""


def sign(
    tx: Transaction, signatures: Mapping[Level, str], level: Level, resources: Collection[object]
) -> None:
    """Say of these rows, which have no signature, what is kept of them."""
    if (text := signatures.get(level)) is not None:
        rows = [(row, SIGNATURE, text) for row in resources]
        tx.insert("metadata", ("resource", "type", "value"), rows)


def unsign(tx: Transaction, resources: Collection[int]) -> None:
    """These rows are described anew."""
    numbers = [SIGNATURE, SEQUENCES]
    tx.run("DELETE FROM metadata WHERE resource IN ? AND type IN ?", (list(resources), numbers))
