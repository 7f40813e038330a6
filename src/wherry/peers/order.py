"""What a job ``OrthancPeerStore`` is to do, as its parameters keep it, and which files that is.

Not here: the body of the request (``rest``), the sending (``store``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wherry import limits
from wherry.errors import NotImplementedYet, UnknownResource
from wherry.index import exports, metadata, resources
from wherry.index.database import Index, Transaction
from wherry.model import Attachment, Level, Peer, type_json

_TRANSFER_SYNTAX = 9


@dataclass(frozen=True, slots=True)
class StoreOrder:
    """One order to store resources at a peer."""

    peer: str
    resources: tuple[str, ...]
    """Orthanc identifiers of any level."""
    compress: bool = False
    permissive: bool = False
    """An instance that cannot be stored is counted, and the others go on."""
    transcode: str = ""
    """UID of the transfer syntax that all must have; "" = as they are."""

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Peer": self.peer,
            "Resources": list(self.resources),
            "Compress": self.compress,
            "Permissive": self.permissive,
            "Transcode": self.transcode,
        }

    def content(self, peer: Peer, instances: int) -> dict[str, type_json]:
        """The job's public content before anything was sent."""
        content: dict[str, type_json] = {
            "Compress": self.compress,
            "Description": "REST API",
            "FailedInstancesCount": 0,
            "InstancesCount": instances,
            "Peer": _shown(peer),
            "Size": "0",
            "SizeMB": 0,
        }
        if self.resources:
            content["ParentResources"] = list(self.resources)
        if self.transcode:
            content["Transcode"] = self.transcode
        return content


def from_parameters(parameters: Mapping[str, type_json]) -> StoreOrder:
    """The order that a job keeps."""
    return StoreOrder(
        parameters["Peer"],
        tuple(parameters["Resources"]),
        parameters["Compress"],
        parameters["Permissive"],
        parameters["Transcode"],
    )


def files_of(tx: Transaction, order: StoreOrder) -> list[tuple[str, Attachment]]:
    """The instances of an order with their files, sorted by identifier, each once.

    Raises ``UnknownResource``, ``NotImplementedYet`` when one would have to be transcoded.
    """
    found: dict[str, Attachment] = {}
    for portion in _portions(order.resources):
        levels = _levels(tx, portion)
        found |= resources.files_of(tx, [one for one in portion if levels[one] is Level.INSTANCE])
        for orthanc_id in portion:
            if levels[orthanc_id] is not Level.INSTANCE:
                found.update(resources.files_under(tx, levels[orthanc_id], orthanc_id) or ())
    if order.transcode:
        for portion in _portions(sorted(found)):
            _check_syntax(tx, portion, order.transcode)
    return sorted(found.items())


def log_export(index: Index, order: StoreOrder) -> None:
    """Note for ``GET /exports`` what is given away. Raises ``UnknownResource``."""
    for portion in _portions(order.resources):

        def work(tx: Transaction, portion: Sequence[str] = portion) -> None:
            levels = _levels(tx, portion)
            for orthanc_id in portion:
                exports.add(tx, levels[orthanc_id], orthanc_id, order.peer)

        index.write(work)


def _levels(tx: Transaction, ids: Sequence[str]) -> dict[str, Level]:
    levels = resources.locate(tx, ids)
    for orthanc_id in ids:
        if orthanc_id not in levels:
            raise UnknownResource(f"{orthanc_id[:64]} is not stored here")
    return levels


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), limits.INDEX_ROWS_AT_ONCE):
        yield ids[start : start + limits.INDEX_ROWS_AT_ONCE]


def _check_syntax(tx: Transaction, ids: Sequence[str], wanted: str) -> None:
    for orthanc_id, entries in metadata.of_many(tx, Level.INSTANCE, ids).items():
        syntax = entries.get(_TRANSFER_SYNTAX)
        if syntax is None or syntax.value != wanted:
            raise NotImplementedYet(
                f"Instance {orthanc_id} would have to be transcoded, which is not done yet"
            )


def _shown(peer: Peer) -> type_json:
    """A peer as jobs show it: the short form where that says all, secrets left out."""
    simple = not (peer.http_headers or peer.certificate_file or peer.timeout_s or peer.properties)
    if simple:
        return [peer.url, peer.username, ""] if peer.username else [peer.url]
    shown: dict[str, type_json] = {
        **peer.properties,
        "HttpHeaders": dict.fromkeys(sorted(peer.http_headers), ""),
        "Pkcs11": False,
        "Timeout": peer.timeout_s,
        "Url": peer.url,
    }
    if peer.username:
        shown["Username"] = peer.username
    if peer.certificate_file:
        shown["CertificateFile"] = peer.certificate_file
        shown["CertificateKeyFile"] = peer.certificate_key_file
    return shown
