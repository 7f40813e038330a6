"""The documents of the transfers protocol: JSON and URLs in, values out, and back.

What is written here is what a stock Orthanc with the transfers plugin (1.0 to 1.7) sends and
expects; sizes and offsets travel as decimal strings. Requests of others are refused with the codes
of the original; answers of a peer that make no sense are a ``NetworkProtocol``. Pure: no I/O.

Not here: the orders of ``/transfers/send`` and ``/pull`` (``orders``), how instances are cut
(``buckets``), what a server does with it (``reception``, ``source``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from wherry import limits
from wherry.digests import is_digest, is_md5
from wherry.errors import (
    BadFileFormat,
    BadParameterType,
    NetworkProtocol,
    ParameterOutOfRange,
    TooLarge,
    UnknownResource,
)
from wherry.jobs import ranges
from wherry.model import Bucket, Chunk, Level, Manifest, ManifestInstance, type_json
from wherry.transfers.encoding import NAMES, Encoding, parse_encoding

SENDER_NAME = "wherry-sender"
"""Header of ``POST /transfers/push``: the name that the sender gives itself, for the receipt."""
SENDER_TRANSFER_ID = "sender-transfer-id"
"""Header of most requests: the sender's own name for what it does."""
CODECS = "wherry-codecs"
"""Header of the answers of ``/transfers/lookup`` and ``/inventory``, which only a Wherry sends: the
encodings that it reads and writes."""
ENCODING = "wherry-encoding"
"""Header of a bucket: how this one is packed, when its transfer is ``auto``."""
DIGESTS = "wherry-digests"
"""Header of a question for ``/transfers/lookup``: what else than MD5 the answer may tell."""
BLAKE3 = "blake3"
OFFSET = "wherry-offset"
"""Header of a bucket that goes on where it was cut off: the bytes of its body that are there."""
AUTO = "auto"
"""``Compression`` of a transfer between two Wherry: each bucket says how it is packed, and those
with parts of instances are sealed (``sealing``). In an order: whatever is fastest."""
COMPRESSIONS = ("none", "gzip", AUTO)

_LEVELS = {
    "patient": Level.PATIENT,
    "patients": Level.PATIENT,
    "study": Level.STUDY,
    "studies": Level.STUDY,
    "series": Level.SERIES,
    "instance": Level.INSTANCE,
    "instances": Level.INSTANCE,
    "image": Level.INSTANCE,
    "images": Level.INSTANCE,
}
_DECIMAL_DIGITS = 18
_MD5, _BLAKE3 = "MD5", "BLAKE3"
"""Members with the digest of an instance; the second one only between two Wherry."""
_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_CHUNK_IDS = re.compile(r"[.0-9a-f-]+")
_PEER_PATH = re.compile(r"/+[A-Za-z0-9_~-][A-Za-z0-9_~/-]*")


# --- resources -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ResourceName:
    """A resource that somebody asks for."""

    level: Level
    orthanc_id: str


def parse_resources(value: type_json) -> tuple[ResourceName, ...]:
    """``[{"Level": …, "ID": …}, …]``. Raises ``BadFileFormat``; an unknown level is a
    ``ParameterOutOfRange``."""
    return tuple(
        ResourceName(_level(a_text(item, "Level")), a_text(item, "ID"))
        for item in an_array(value, "Resources")
    )


def render_resources(names: Sequence[ResourceName]) -> bytes:
    """The body of ``/transfers/lookup``."""
    return orjson.dumps([{"Level": one.level.title, "ID": one.orthanc_id} for one in names])


def _level(name: str) -> Level:
    level = _LEVELS.get(name.lower())
    if level is None:
        raise ParameterOutOfRange(f"Unknown resource level: {name[:64]}")
    return level


# --- lookup --------------------------------------------------------------------------------
def render_lookup(instances: Sequence[ManifestInstance], originator: str) -> bytes:
    """The answer of ``/transfers/lookup``: compact, as upstream's."""
    total = sum(instance.size for instance in instances)
    return orjson.dumps(
        {
            "Instances": [_instance(instance) for instance in instances],
            "Originator": originator,
            "CountInstances": len(instances),
            "TotalSize": str(total),
            "TotalSizeMB": rounded_mib(total),
        }
    )


def read_lookup(body: bytes) -> tuple[tuple[ManifestInstance, ...], str]:
    """Instances, sorted by id and distinct, and ``Originator`` of a peer's answer."""
    try:
        document = an_object(parse_json(body), "Answer")
        found = [_read_instance(item) for item in an_array(document.get("Instances"), "Instances")]
        originator = a_text(document, "Originator")
    except BadFileFormat as error:
        raise NetworkProtocol(f"The peer's list of instances is no such list: {error}") from None
    for instance in found:
        if not _ORTHANC_ID.fullmatch(instance.orthanc_id) or not is_digest(instance.digest):
            raise NetworkProtocol("The peer's list of instances holds a malformed entry")
    return _distinct(found, NetworkProtocol("The peer lists an instance twice")), originator


# --- inventory -----------------------------------------------------------------------------
def render_inventory(instances: Sequence[ManifestInstance]) -> bytes:
    """The body of ``/transfers/inventory``, which only a Wherry has: what do you hold of these?"""
    return orjson.dumps({"Instances": [_instance(instance) for instance in instances]})


def parse_inventory(body: bytes, max_instances: int) -> list[ManifestInstance]:
    """The instances asked about, in their order. Raises ``BadFileFormat``, ``TooLarge``."""
    _check_count(body, max_instances)
    document = an_object(parse_json(body), "Body")
    return [_read_instance(item) for item in an_array(document.get("Instances"), "Instances")]


def render_missing(positions: Iterable[int]) -> dict[str, str]:
    """The answer: positions in the question of what is not held, or has another digest."""
    return {"Missing": ranges.to_text(positions)}


def read_missing(body: bytes, count: int) -> set[int]:
    """The positions in a peer's answer to a question about ``count`` instances."""
    try:
        return ranges.parse(a_text(an_object(parse_json(body), "Answer"), "Missing"), count)
    except (BadFileFormat, ValueError) as error:
        raise NetworkProtocol(f"The peer does not say what it holds: {error}") from None


# --- push ----------------------------------------------------------------------------------
def render_push(manifest: Manifest) -> bytes:
    """The body of ``POST /transfers/push``."""
    return orjson.dumps(
        {
            "Instances": [_instance(instance) for instance in manifest.instances],
            "Buckets": [
                [
                    {"ID": c.orthanc_id, "Offset": str(c.offset), "Size": str(c.size)}
                    for c in bucket.chunks
                ]
                for bucket in manifest.buckets
            ],
            "Compression": manifest.compression,
        }
    )


def parse_push(body: bytes, max_instances: int = limits.TRANSFER_INSTANCES) -> Manifest:
    """The declaration of a push. Like upstream, only types are checked: a bucket may name an
    unknown instance or a range outside it, which then fails when the bucket arrives.

    Raises ``BadFileFormat`` (also for an instance declared twice in two ways),
    ``ParameterOutOfRange`` for another compression, ``TooLarge`` before it costs memory.
    """
    if body.count(b",") + body.count(b"[") > limits.PUSH_MANIFEST_VALUES:
        raise TooLarge("The declaration of the push has too many members")
    _check_count(body, max_instances)
    document = an_object(parse_json(body), "Body")
    instances = [_read_instance(item) for item in an_array(document.get("Instances"), "Instances")]
    buckets = tuple(
        Bucket(tuple(_read_chunk(item) for item in an_array(bucket, "Buckets")))
        for bucket in an_array(document.get("Buckets"), "Buckets")
    )
    compression = check_compression(a_text(document, "Compression"))
    twice = BadFileFormat("An instance is declared twice, with different sizes or digests")
    return Manifest(_distinct(instances, twice), buckets, compression)


def render_created(transfer_id: str) -> dict[str, str]:
    """The answer to ``POST /transfers/push``."""
    return {"ID": transfer_id, "Path": f"/transfers/push/{transfer_id}"}


def read_created(body: bytes) -> str:
    """``Path`` of a peer's answer to ``POST /transfers/push``, one leading slash."""
    try:
        path = a_text(an_object(parse_json(body), "Answer"), "Path")
    except BadFileFormat as error:
        raise NetworkProtocol(f"The peer's answer names no transaction: {error}") from None
    if not _PEER_PATH.fullmatch(path):
        raise NetworkProtocol("The peer's answer names an unusable path")
    return "/" + path.lstrip("/")


def render_state(transfer_id: str, state: str, bucket_count: int, received: Iterable[int]) -> Any:
    """The answer to ``GET /transfers/push/{id}``, which only a Wherry has."""
    return {
        "ID": transfer_id,
        "State": state,
        "CountBuckets": bucket_count,
        "Received": ranges.to_text(received),
    }


def read_state(body: bytes, bucket_count: int) -> tuple[str, set[int]]:
    """State (``open`` or ``committed``) and acknowledged buckets of a transaction at a peer."""
    try:
        document = an_object(parse_json(body), "Answer")
        state = a_text(document, "State")
        received = ranges.parse(a_text(document, "Received"), bucket_count)
    except (BadFileFormat, ValueError) as error:
        raise NetworkProtocol(f"The peer does not say what it has: {error}") from None
    if state not in ("open", "committed"):
        raise NetworkProtocol("The peer does not say what it has")
    return state, received


def parse_bucket_index(text: str) -> int:
    """``{index}`` of a bucket. What is no 64-bit decimal is no resource: ``UnknownResource``."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 32 else 2**64
    if value >= 2**64:
        raise UnknownResource
    return value


def parse_offset(text: str) -> int:
    """The header ``wherry-offset``. Raises ``BadParameterType``."""
    if not _is_decimal(text):
        raise BadParameterType(f"{OFFSET} must be a decimal number")
    return int(text)


def render_taken(taken: int | None) -> dict[str, Any]:
    """The answer to ``GET /transfers/push/{id}/{bucket}``, which only a Wherry has."""
    return {"Acknowledged": taken is None, "Taken": str(taken or 0)}


def read_taken(body: bytes) -> int | None:
    """Bytes of a bucket that a peer has; None = all of it, acknowledged."""
    try:
        document = an_object(parse_json(body), "Answer")
        taken = _size(document, "Taken")
    except BadFileFormat as error:
        raise NetworkProtocol(f"The peer does not say what it has: {error}") from None
    return None if document.get("Acknowledged") is True else taken


def parse_bucket_encoding(name: str) -> str:
    """The header ``wherry-encoding``. Raises ``ParameterOutOfRange``."""
    if name not in NAMES:
        raise ParameterOutOfRange(f"Unknown encoding of a bucket: {name[:64]}")
    return name


# --- chunks --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """``GET /transfers/chunks/…``: a byte range of a concatenation of instances."""

    ids: tuple[str, ...]
    offset: int
    size: int
    """0 = to the end of the last instance."""
    encoding: Encoding
    sealed: bool = False
    """Whether the seal of what is sent shall follow it."""
    skip: int = 0
    """Bytes of the packed and sealed answer that are there already."""


def parse_chunks(ids: str, arguments: Mapping[str, str]) -> ChunkRequest:
    """Raises ``UnknownResource``, ``BadParameterType``, ``ParameterOutOfRange``, ``TooLarge``.

    Offsets of more than 31 bits are accepted, unlike upstream.
    """
    if not _CHUNK_IDS.fullmatch(ids) or ids.startswith("."):
        raise UnknownResource
    names = tuple(ids.removesuffix(".").split("."))
    if len(names) > limits.CHUNK_IDS:
        raise TooLarge(f"At most {limits.CHUNK_IDS} instances may be asked for at once")
    return ChunkRequest(
        ids=names,
        offset=parse_number(arguments, "offset", 0),
        size=parse_number(arguments, "size", 0),
        encoding=parse_encoding(arguments.get("compression", "none")),
        sealed=arguments.get("sealed") == "1",
        skip=parse_number(arguments, "skip", 0),
    )


def parse_number(arguments: Mapping[str, str], name: str, otherwise: int) -> int:
    """A number from 0 behind the question mark. Raises ``BadParameterType``."""
    text = arguments.get(name, str(otherwise))
    if not _is_decimal(text):
        raise BadParameterType(f"{name} must be a decimal number")
    return int(text)


# --- small things --------------------------------------------------------------------------
def check_compression(name: str) -> str:
    """``none``, ``gzip`` or ``auto``; else ``ParameterOutOfRange``."""
    if name not in COMPRESSIONS:
        raise ParameterOutOfRange(f"Unknown compression: {name[:64]}")
    return name


def rounded_mib(size_bytes: int) -> int:
    """MiB, rounded to nearest."""
    return (size_bytes + limits.MIB // 2) // limits.MIB


def parse_json(body: bytes) -> type_json:
    """A JSON document; ``BadFileFormat`` (15) when it is none, as upstream's plugin answers."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadFileFormat("The body is no JSON document") from None


def _instance(instance: ManifestInstance) -> dict[str, str]:
    name = _MD5 if is_md5(instance.digest) else _BLAKE3
    return {"ID": instance.orthanc_id, "Size": str(instance.size), name: instance.digest}


def _read_instance(item: type_json) -> ManifestInstance:
    digest = _BLAKE3 if isinstance(item, dict) and _BLAKE3 in item else _MD5
    return ManifestInstance(_name(item, "ID"), _size(item, "Size"), _name(item, digest))


def _check_count(body: bytes, max_instances: int) -> None:
    if body.count(b'"MD5"') + body.count(b'"BLAKE3"') > max_instances:
        raise TooLarge(f"A transfer may have at most {max_instances} instances")


def _read_chunk(item: type_json) -> Chunk:
    return Chunk(_name(item, "ID"), _size(item, "Offset"), _size(item, "Size"))


def _distinct(
    instances: Iterable[ManifestInstance], otherwise: Exception
) -> tuple[ManifestInstance, ...]:
    """Sorted by id, each once; raises ``otherwise`` when two of one id differ."""
    by_id: dict[str, ManifestInstance] = {}
    for instance in instances:
        if by_id.setdefault(instance.orthanc_id, instance) != instance:
            raise otherwise
    return tuple(by_id[name] for name in sorted(by_id))


def an_object(value: type_json, name: str) -> dict[str, Any]:
    """``value`` if it is one. Raises ``BadFileFormat`` otherwise; so do the next two."""
    if not isinstance(value, dict):
        raise BadFileFormat(f"{name} must be an object")
    return value


def an_array(value: type_json, name: str) -> list[Any]:
    """``value`` if it is one."""
    if not isinstance(value, list):
        raise BadFileFormat(f"{name} must be an array")
    return value


def a_text(item: type_json, name: str) -> str:
    """The member ``name`` of ``item`` if it is a string."""
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise BadFileFormat(f"{name} must be there, and a string")
    return value


def _name(item: type_json, name: str) -> str:
    """An identifier or digest of somebody else: short, and fit to be shown and stored."""
    text = a_text(item, name)
    if len(text) > limits.PUSH_ID_CHARACTERS or not text.isprintable():
        raise BadFileFormat(f"{name} is no identifier")
    return text


def _size(item: type_json, name: str) -> int:
    text = a_text(item, name)
    if not _is_decimal(text):
        raise BadFileFormat(f"{name} must be a decimal number in a string")
    return int(text)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DECIMAL_DIGITS
