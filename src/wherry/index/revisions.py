"""Optimistic concurrency: a change says which state it means to change.

Whoever changes metadata or an attachment may send the entity tag that it has read; with
``CheckRevisions`` it must. The comparison happens in the transaction of the change.
"""

from __future__ import annotations

from wherry.errors import BadRevision
from wherry.model import Revision


def check(current: Revision, claimed: Revision | None, *, required: bool) -> None:
    """Raises ``BadRevision`` when ``claimed`` is another state than ``current``, or is missing
    although it is ``required``.

    A claim without a digest is one of a server that does not show digests: its number counts.
    """
    if claimed is None:
        if required:
            raise BadRevision
    elif claimed.number != current.number or claimed.md5 not in ("", current.md5):
        raise BadRevision
