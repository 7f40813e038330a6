"""What the log of small files promises beside their bytes: that these instances are in the index.

A commit of the index that is synced costs the disk as much as the record of the log before it. So
the commit of a handful is not synced by itself: the note beside each file says what it takes to
commit the instance again, and the index says up to which record it has done so. After a power cut,
what the index has lost is the end of what the log holds; whoever starts then keeps the promise, in
the order of the records, before anybody stores or deletes anything. Numbers of changes come out as
they were, when one process was at work.

An embedded index alone can rely on it: a database server may lose its last commits while the
process that was answered lives on. Nor may such a commit take anything away, whose file might be
gone while the index has it again.

Not here: the log (``storage.smalllog``), files without a promise (``recovery``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import NamedTuple

import orjson

from wherry import limits
from wherry.dicom.scan import scan
from wherry.digests import digest_of
from wherry.errors import InexistentTag, MissingFile, Refused
from wherry.index import staging
from wherry.index.database import Index, Transaction
from wherry.ingest.staging import staged_instance
from wherry.model import Origin, StagedInstance
from wherry.storage.base import Logged, StorageArea

type_insert = Callable[[Transaction, Sequence[StagedInstance]], object]
"""Puts instances into the index that are not there."""


class Promise(NamedTuple):
    """The note beside a file."""

    block: str
    """Stands for the log in the index (``NewFiles.standing``)."""
    reception_date: str
    origin: Origin

    def note(self) -> bytes:
        """Empty when it would be too long: then there is no promise."""
        one = self.origin
        note = orjson.dumps(
            [
                self.block,
                self.reception_date,
                [one.kind, one.remote_ip, one.username, one.remote_aet, one.called_aet],
            ]
        )
        return note if len(note) <= limits.SMALL_NOTE_BYTES else b""

    @staticmethod
    def of(note: bytes) -> Promise:
        """The promise in a note of ours."""
        block, reception_date, origin = orjson.loads(note)
        return Promise(block, reception_date, Origin(*origin))


def unkept(tx: Transaction, found: Sequence[Logged]) -> list[Logged]:
    """Those of a log whose promise the index does not know, although it should."""
    blocks: dict[str, int | None] = {}
    result = []
    for one in found:
        if one.file.note:
            block = Promise.of(one.file.note).block
            if block not in blocks:
                blocks[block] = staging.logged(tx, block)
            known = blocks[block]
            if known is not None and one.record > known:
                result.append(one)
    return result


def keep(
    index: Index, storage: StorageArea, found: Sequence[Logged], insert: type_insert
) -> list[str]:
    """Commit whole records whose files are there and synced; may be done again. The names of files
    that are no instances any more, in the view of this version and configuration."""
    unreadable = []
    for (record, block), some in groupby(found, lambda one: (one.record, _promise(one).block)):
        batch = []
        for one in some:
            try:
                batch.append(_staged(storage, one))
            except MissingFile:
                pass  # another heir has kept the promise, and then it was deleted
            except (Refused, InexistentTag):
                unreadable.append(one.file.uuid)
        if unreadable:
            return unreadable  # later ones wait: they come in order
        try:
            index.write(partial(_keep_record, record, block, batch, insert))
        except Refused:
            # The index refused one of them before, too: nobody was told that it is stored.
            for instance in batch:
                with suppress(Refused):
                    index.write(partial(_insert_one, instance, insert))
            index.write(partial(_keep_record, record, block, [], insert))
    return []


def _keep_record(
    record: int,
    block: str,
    batch: Sequence[StagedInstance],
    insert: type_insert,
    tx: Transaction,
) -> None:
    if staging.keep_promise(tx, block, record) and batch:
        insert(tx, batch)


def _insert_one(one: StagedInstance, insert: type_insert, tx: Transaction) -> None:
    insert(tx, [one])


def _promise(found: Logged) -> Promise:
    return Promise.of(found.file.note)


def _staged(storage: StorageArea, found: Logged) -> StagedInstance:
    promise = _promise(found)
    reader = storage.open(found.file.uuid)
    try:
        with reader.map() as content:
            return staged_instance(
                found.file.uuid,
                reader.place,
                len(content),
                digest_of(content),
                scan(content),
                promise.origin,
                promise.reception_date,
            )
    finally:
        reader.close()
