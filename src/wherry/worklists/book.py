"""All items of the worklist: those of the index, which came over REST, and those of the folder.

Not here: which of them a modality is told (``matching``), bodies of requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from wherry import clock, limits
from wherry.dicom.attributes import Attribute, type_attributes
from wherry.errors import Forbidden, ParameterOutOfRange, TooLarge, UnknownResource
from wherry.index import worklists as rows
from wherry.worklists.folder import WorklistFolder
from wherry.worklists.item import STUDY_INSTANCE_UID, Item, of_document
from wherry.worklists.making import attributes_of

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.index.database import Index, Transaction


class WorklistBook:
    """Blocking; from any thread."""

    def __init__(self, config: Config, index: Index) -> None:
        self._config = config.worklists
        self._index = index
        folder = self._config.folder
        self._folder = None if folder is None else WorklistFolder(folder)

    def pages(self) -> Iterator[list[Item]]:
        """All items, some at a time: first those of the index in order of arrival."""
        last = 0
        while True:
            with self._index.read() as tx:
                found = rows.after(tx, last, limits.WORKLISTS_AT_ONCE)
            if not found:
                break
            yield [of_document(row.id, row.document) for row in found]
            last = found[-1].seq
        items = self._files()
        for start in range(0, len(items), limits.WORKLISTS_AT_ONCE):
            yield items[start : start + limits.WORKLISTS_AT_ONCE]

    def get(self, item_id: str) -> Item:
        """One item. Raises ``UnknownResource``."""
        with self._index.read() as tx:
            row = rows.get(tx, item_id)
        if row is not None:
            return of_document(row.id, row.document)
        for item in self._files():
            if item.id == item_id:
                return item
        raise UnknownResource("There is no such item in the worklist")

    def add(self, tags: Mapping[str, Any]) -> str:
        """A new item; its identifier. Raises as ``attributes_of``, and ``TooLarge``."""
        item = Item(clock.new_uuid(), self._completed(attributes_of(tags)))
        document = _checked(item)
        at = clock.timestamp()

        def work(tx: Transaction) -> None:
            if rows.count(tx) >= limits.WORKLISTS:
                raise TooLarge(f"There are {limits.WORKLISTS} items in the worklist already")
            rows.add(tx, item.id, item.study_instance_uid, at, document)

        self._index.write(work)
        return item.id

    def replace(self, item_id: str, tags: Mapping[str, Any]) -> None:
        """Another content for an item; without a StudyInstanceUID it keeps the one it had, because
        a modality may know it. Raises as ``add``, and as ``remove``."""
        before = self._ours(item_id)
        attributes = attributes_of(tags)
        if STUDY_INSTANCE_UID in before.attributes:
            attributes.setdefault(STUDY_INSTANCE_UID, before.attributes[STUDY_INSTANCE_UID])
        item = Item(item_id, self._completed(attributes))
        document = _checked(item)
        if not self._index.write(
            lambda tx: rows.replace(tx, item_id, item.study_instance_uid, document)
        ):
            raise UnknownResource("There is no such item in the worklist")

    def remove(self, item_id: str) -> None:
        """Forget an item. Raises ``UnknownResource``; ``Forbidden`` when it is a file of the
        folder."""
        self._ours(item_id)
        self._index.write(lambda tx: rows.remove(tx, item_id))

    def expire(self) -> int:
        """Forget what was done, or is too old, as the configuration says; how many went."""

        def work(tx: Transaction) -> int:
            gone = 0
            if self._config.lifetime_s:
                gone += rows.remove_older(tx, clock.timestamp() - self._config.lifetime_s)
            if self._config.delete_on_stable_study:
                gone += rows.remove_done(tx)
            return gone

        with self._index.read() as tx:
            if not rows.count(tx):
                return 0
        return self._index.write(work)

    def _ours(self, item_id: str) -> Item:
        item = self.get(item_id)
        if not item.is_ours:
            raise Forbidden("This item is a file, which belongs to somebody else")
        return item

    def _files(self) -> list[Item]:
        return [] if self._folder is None else self._folder.items()

    def _completed(self, attributes: dict[int, Attribute]) -> type_attributes:
        known = attributes.get(STUDY_INSTANCE_UID)
        if self._config.set_study_instance_uid and (known is None or not known.text.strip()):
            attributes[STUDY_INSTANCE_UID] = Attribute("UI", _new_uid())
        return dict(sorted(attributes.items()))


def _new_uid() -> str:
    """PS3.5 §B.2."""
    return f"2.25.{UUID(clock.new_uuid()).int}"


def _checked(item: Item) -> str:
    try:
        document = item.document()
    except TypeError:  # half of a surrogate pair
        raise ParameterOutOfRange("A text that is no Unicode") from None
    if len(document.encode()) > limits.WORKLIST_BYTES:
        raise TooLarge(f"An item of the worklist has more than {limits.WORKLIST_BYTES} bytes")
    return document
