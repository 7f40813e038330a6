"""The documents that order a transfer: bodies of ``/transfers/send`` and ``/transfers/pull``.

Written and read like the rest of the protocol (``protocol``); pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from wherry.errors import BadFileFormat, NetworkProtocol, ParameterOutOfRange
from wherry.model import type_json
from wherry.transfers.protocol import (
    AUTO,
    a_text,
    an_array,
    an_object,
    check_compression,
    parse_json,
)

_HEADER_TEXT = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_HEADER_CHARACTERS = 256
_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """The body of ``/transfers/send`` and ``/transfers/pull``."""

    resources: type_json
    """As given: its items are looked at by the job."""
    peer: str
    compression: str
    priority: int = 0
    sender_transfer_id: str = ""
    originator: str = ""
    """Pull only; empty = any."""
    metadata: bool = False
    """Whether metadata, labels and attachments of users travel too."""

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Resources": self.resources,
            "Peer": self.peer,
            "Compression": self.compression,
            "SenderTransferID": self.sender_transfer_id,
            "Originator": self.originator,
            **_metadata_member(metadata=self.metadata),
        }


def parse_transfer(body: bytes) -> TransferRequest:
    """Raises ``BadFileFormat``, ``ParameterOutOfRange``."""
    document = an_object(parse_json(body), "Body")
    return TransferRequest(
        resources=an_array(document.get("Resources"), "Resources"),
        peer=a_text(document, "Peer"),
        compression=_compression(document),
        priority=_priority(document.get("Priority", 0)),
        sender_transfer_id=_header_text(document, "SenderTransferID"),
        originator=a_text(document, "Originator") if "Originator" in document else "",
        metadata=_boolean(document, "Metadata"),
    )


def from_parameters(parameters: Mapping[str, type_json]) -> TransferRequest:
    """The request that a job keeps in its parameters."""
    return TransferRequest(
        resources=parameters["Resources"],
        peer=parameters["Peer"],
        compression=parameters["Compression"],
        sender_transfer_id=parameters.get("SenderTransferID", ""),
        originator=parameters.get("Originator", ""),
        metadata=parameters.get("Metadata", False),
    )


def render_pull(request: TransferRequest, remote_self: str, originator: str) -> bytes:
    """The body of ``POST /transfers/pull`` to a peer that shall pull from us."""
    return orjson.dumps(
        {
            "Resources": request.resources,
            "Compression": request.compression,
            "Originator": originator,
            "Peer": remote_self,
            "Priority": request.priority,
            "SenderTransferID": request.sender_transfer_id,
            **_metadata_member(metadata=request.metadata),
        }
    )


def read_job(body: bytes) -> str:
    """``ID`` of a peer's answer that names a job."""
    try:
        document = an_object(parse_json(body), "Answer")
        a_text(document, "Path")
        return a_text(document, "ID")
    except BadFileFormat as error:
        raise NetworkProtocol(f"The peer's answer names no job: {error}") from None


def _compression(document: Mapping[str, type_json]) -> str:
    return check_compression(a_text(document, "Compression")) if "Compression" in document else AUTO


def _metadata_member(*, metadata: bool) -> dict[str, type_json]:
    """Only when it is wanted: without, everything is as the original has it."""
    return {"Metadata": True} if metadata else {}


def _boolean(document: Mapping[str, type_json], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


def _priority(value: type_json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadFileFormat("Integer value expected in field: Priority")
    if not -_INT32 <= value < _INT32:
        raise ParameterOutOfRange("Priority must fit in 32 bits")
    return value


def _header_text(document: Mapping[str, type_json], name: str) -> str:
    """A text that will be a header value; empty when absent."""
    value = document.get(name, "")
    if not isinstance(value, str):
        raise BadFileFormat(f"{name} must be a string")
    if value and (len(value) > _HEADER_CHARACTERS or not _HEADER_TEXT.fullmatch(value)):
        raise ParameterOutOfRange(f"{name} must be printable ASCII of at most 256 characters")
    return value
