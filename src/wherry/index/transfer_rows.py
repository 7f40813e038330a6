"""What is known of a transfer: itself, its instances, its buckets, where parts lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import orjson

type_kind = Literal["push", "pull"]
type_chunk = tuple[int, int, int]
"""Position of the instance (-1 = not declared), offset, size."""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One transfer."""

    id: str
    kind: type_kind
    state: str
    """``open``, ``committed``, ``discarded``."""
    compression: str
    username: str
    created_at: float
    touched_at: float
    block: str
    """Prefix of the names of its files; empty once it was swept for good."""
    instance_count: int
    bucket_count: int
    total_bytes: int
    remote_ip: str
    other_end: str = "{}"
    """JSON: what is known of the server at the other end."""
    origin: str = ""
    """Digest of a push with its sender; empty when the sender does not say who it is."""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One declared instance."""

    position: int
    orthanc_id: str
    size: int
    digest: str
    uuid: str
    """Name of its file, once it is verified."""
    buckets: str
    """The buckets that hold parts of it (``transfers.ranges``); empty when one holds it whole."""
    staged: bool
    """Whether it is verified, or need not be."""
    held: bool = False
    """Stored here when the transfer was declared, and in none of its buckets."""


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One bucket."""

    position: int
    chunks: tuple[type_chunk, ...]
    received: bool
    again: bool = False
    """It was acknowledged, and is wanted again because something was damaged."""


class PartFile(NamedTuple):
    """The file of an instance that a bucket has brought in part."""

    uuid: str
    own: bool = False
    """Whether it is the bucket's own, and holds all the parts that this has brought, one after the
    other; else it is the instance's, and its parts have their places in it."""
    place: str = ""
    """In the storage area; of the bucket's own."""


type_files = Mapping[int, PartFile]
"""Where the parts of a bucket are: position of the instance to file."""


class Part(NamedTuple):
    """Where a part of an instance lies."""

    offset: int
    size: int
    file: PartFile
    start: int
    """Where it begins in the file."""


def files_to_text(files: type_files) -> str:
    """The text for the index."""
    return orjson.dumps(
        {
            str(position): [file.uuid, file.place] if file.own else file.uuid
            for position, file in files.items()
        }
    ).decode()


def files_of_text(text: str | None) -> dict[int, PartFile]:
    """What ``files_to_text`` was given."""
    return {
        int(position): PartFile(told) if isinstance(told, str) else PartFile(told[0], True, told[1])
        for position, told in orjson.loads(text or "{}").items()
    }


def parts_of(chunks: Iterable[type_chunk], files: type_files, instance: InstanceRow) -> list[Part]:
    """The parts of an instance in a bucket that has brought them."""
    whole = PartFile(instance.uuid)  # where an earlier version has put them
    found, behind = [], 0
    for position, offset, size in chunks:
        file = files.get(position)
        if position == instance.position:
            start = behind if file is not None and file.own else offset
            found.append(Part(offset, size, file or whole, start))
        if file is not None:
            behind += size
    return found
