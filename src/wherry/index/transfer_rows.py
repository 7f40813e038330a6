"""What is known of a transfer: itself, its instances, its buckets, where parts lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    md5: str
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


class Part(NamedTuple):
    """Where a part of an instance lies."""

    offset: int
    size: int
    uuid: str
    """Name of the file, which has it at the same offset."""
