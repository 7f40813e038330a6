"""What a job ``OrthancPeerStore`` is to do, as its parameters keep it, and which files that is.

Not here: the body of the request (``rest``), the sending (``store``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wherry.index import sending
from wherry.index.database import Transaction
from wherry.model import Attachment, Peer, type_json

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
    """The transfer syntax that all shall have; "" = as they are."""
    quality: int | None = None
    """Where transcoding loses something; None = as it is configured."""
    """UID of the transfer syntax that all must have; "" = as they are."""

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Peer": self.peer,
            "Resources": list(self.resources),
            "Compress": self.compress,
            "Permissive": self.permissive,
            "Transcode": self.transcode,
            "Quality": self.quality,
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
        parameters.get("Quality"),
    )


def files_of(tx: Transaction, order: StoreOrder) -> list[tuple[str, Attachment]]:
    """The instances of an order with their files, sorted by identifier, each once.

    Raises ``UnknownResource``.
    """
    return sending.files_of(tx, order.resources)


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
