"""Giving up instances that another system has committed itself to keep.

Only files that are still those that were stored when it was asked: one that was replaced since is
not what the other system has.
"""

from __future__ import annotations

import logging
from typing import Final

from wherry.errors import BadSequenceOfCalls, InexistentItem
from wherry.index import commitments, resources, sop_instances
from wherry.index.commitments import SUCCESS, Commitment
from wherry.index.database import Index, Transaction

_log = logging.getLogger(__name__)

_SHOWN: Final = 64


def known(tx: Transaction, transaction: str) -> Commitment:
    """Raises ``InexistentItem``."""
    found = commitments.get(tx, transaction)
    if found is None:
        shown = transaction[:_SHOWN]
        raise InexistentItem(f"No storage commitment transaction with UID: {shown}")
    return found


def remove_committed(index: Index, transaction: str) -> int:
    """Delete the instances of a transaction in which all were committed; how many went. Their files
    are in the journal of deletions then. Blocking.

    Raises ``InexistentItem``, ``BadSequenceOfCalls``.
    """

    def work(tx: Transaction) -> tuple[int, int]:
        asked = known(tx, transaction)
        if asked.status != SUCCESS:
            raise BadSequenceOfCalls(
                "Cannot remove DICOM instances after failure in storage commitment transaction:"
                f" {asked.uid}"
            )
        doomed, replaced = _doomed(tx, asked)
        return resources.delete_many(tx, doomed), replaced

    removed, replaced = index.write(work)
    if replaced:
        _log.warning(
            "%d instances stay: their files are others than those that were committed", replaced
        )
    return removed


def _doomed(tx: Transaction, asked: Commitment) -> tuple[list[str], int]:
    """Identifiers of what may go, and how many of the same name may not."""
    digests = {(one.sop_class, one.sop_instance): one.digests for one in asked.asked}
    here = [
        one
        for one in sop_instances.named(tx, [one.sop_instance for one in asked.asked])
        if (one.sop_class, one.sop_instance) in digests
    ]
    doomed = [
        one.orthanc_id
        for one in here
        if any(map(one.file.has_digest, digests[one.sop_class, one.sop_instance]))
    ]
    return doomed, len(here) - len(doomed)
