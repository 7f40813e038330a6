"""What goes into an archive: which files, under which names, in which order.

Read in one snapshot, so that an archive shows one state of the store. Patients, studies and series
follow each other in the order of their Orthanc identifiers, as in Orthanc's archives; instances in
that of their numbers, or of their arrival; each is there once, however often it was named.

Not here: how names are made of tags (``naming``).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from wherry import limits
from wherry.archives.naming import Tree, numbers
from wherry.archives.order import ArchiveOrder
from wherry.archives.zipstream import Member
from wherry.errors import TooLarge, UnknownResource
from wherry.index import holdings, resources
from wherry.index.database import Transaction
from wherry.index.holdings import HeldInstance
from wherry.model import Attachment, Level

_IMAGES: Final = "IMAGES/IM"


class Item(NamedTuple):
    """An instance that goes in."""

    orthanc_id: str
    attachment: Attachment
    member: Member
    transcoded: bool = False
    """Whether it goes in in another transfer syntax: ``member`` has the size of what is stored."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that goes into one archive."""

    items: Sequence[Item]
    media: bool
    extended: bool
    size: int
    """Bytes of all files, as they are stored."""
    transcode: str = ""
    """The transfer syntax that all shall have; "" = as they are."""
    quality: int | None = None

    @property
    def members(self) -> list[Member]:
        """The files as the archive has them."""
        return [item.member for item in self.items]

    def size_of(self, count: int) -> int:
        """Bytes of the first ``count`` files."""
        return sum(item.member.size for item in self.items[:count])

    def digest(self) -> str:
        """Another one when anything else goes in: then an archive cannot be continued."""
        known = hashlib.sha256(b"media" if self.media else b"archive")
        known.update(b"extended" if self.extended else b"")
        if self.transcode:
            known.update(f"{self.transcode} {self.quality}".encode())
        for item in self.items:
            known.update(f"{item.member.name}\0{item.attachment.uuid}\0".encode())
        return known.hexdigest()


def list_contents(tx: Transaction, order: ArchiveOrder, *, utf8: bool) -> Contents:
    """What an order asks for. ``utf8``: names keep letters beyond ASCII.

    Raises ``UnknownResource``, ``TooLarge``.
    """
    held = _held(tx, order.resources)
    in_series: dict[int, list[HeldInstance]] = defaultdict(list)
    for instance in held:
        in_series[instance.series].append(instance)
    tree = Tree(utf8=utf8)
    items: list[Item] = []
    for series in sorted(holdings.series_of(tx, in_series.keys()), key=lambda one: one.ids):
        instances = sorted(in_series[series.row], key=lambda one: one.row)
        if (order_in_series := numbers(instances)) is not None:
            instances = [one for _, one in sorted(zip(order_in_series, instances, strict=True))]
        names = _media_names(len(items)) if order.media else tree.names_in(series, instances)
        for instance, name in zip(instances, names, strict=False):
            size = instance.attachment.uncompressed_size
            transcoded = order.transcode not in ("", instance.transfer_syntax)
            member = Member(name, size)
            items.append(Item(instance.orthanc_id, instance.attachment, member, transcoded))
    size = sum(item.member.size for item in items)
    return Contents(items, order.media, order.extended, size, order.transcode, order.quality)


def _held(tx: Transaction, ids: Sequence[str]) -> list[HeldInstance]:
    """The instances below all of these, each once."""
    found: dict[int, HeldInstance] = {}
    levels = resources.locate(tx, ids)
    if len(levels) < len(set(ids)):
        raise UnknownResource
    for level in Level:
        named = [orthanc_id for orthanc_id in ids if levels[orthanc_id] is level]
        for start in range(0, len(named), limits.INDEX_ROWS_AT_ONCE):
            portion = named[start : start + limits.INDEX_ROWS_AT_ONCE]
            _check_count(holdings.count_below(tx, level, portion))  # before they are in memory
            for instance in holdings.instances_below(tx, level, portion):
                found[instance.row] = instance
            _check_count(len(found))  # what was there already counts once
    return [*found.values()]


def _check_count(count: int) -> None:
    if count > limits.ARCHIVE_INSTANCES:
        raise TooLarge(f"An archive may hold {limits.ARCHIVE_INSTANCES} instances")


def _media_names(first: int) -> Iterator[str]:
    return (f"{_IMAGES}{number}" for number in count(first))
