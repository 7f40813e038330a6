"""The protocol data units that make and end an association, as values (PS3.8 §9.3, PS3.7 D.3.3).

Not here: their bytes (``reading``, ``writing``); P-DATA-TF, which is not gathered (``stream``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from wherry.errors import NetworkProtocol

HEAD: Final = struct.Struct(">BxI")
"""Of every PDU: type, length of what follows."""
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
"""The only one there is (PS3.7 Annex A.2.1)."""

ITEM: Final = struct.Struct(">BxH")
ASSOCIATE: Final = struct.Struct(">H2x16s16s32x")
LAST_THREE: Final = struct.Struct(">xBBB")
PROTOCOL_VERSION: Final = 1


class PduType(IntEnum):
    """First byte of a PDU."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Of an A-ABORT of the service provider (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class BadPdu(NetworkProtocol):
    """The other end does not keep to PS3.8. It gets an A-ABORT with ``reason``."""

    def __init__(self, details: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        super().__init__(details)
        self.reason = reason


class Outcome(IntEnum):
    """What became of a presentation context (PS3.8 table 9-18)."""

    ACCEPTED = 0
    REJECTED_BY_USER = 1
    NO_REASON = 2
    UNKNOWN_ABSTRACT_SYNTAX = 3
    UNKNOWN_TRANSFER_SYNTAXES = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context that a requestor proposes."""

    id: int
    """Odd, 1…255."""
    abstract_syntax: str
    """UID of a SOP class."""
    transfer_syntaxes: tuple[str, ...]
    """UIDs, in the order of the requestor."""


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """What an acceptor says of it."""

    id: int
    outcome: Outcome
    transfer_syntax: str = ""
    """Means nothing unless it is accepted."""


@dataclass(frozen=True, slots=True)
class Roles:
    """SCP/SCU role selection for one SOP class (PS3.7 D.3.3.4)."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Of one SOP class; what it means depends on the service (PS3.7 D.3.3.5)."""

    sop_class: str
    information: bytes


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who asks (PS3.7 D.3.3.7.1)."""

    kind: int
    """1 user name, 2 with passcode, 3 Kerberos, 4 SAML, 5 JSON web token."""
    answer_wanted: bool
    primary: bytes
    secondary: bytes = b""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"UserIdentity(kind={self.kind})"


@dataclass(frozen=True, slots=True)
class UserInformation:
    """What both ends tell of themselves."""

    maximum_length: int = 0
    """Bytes behind the head of a P-DATA-TF that this end takes; 0 = any number (D.1)."""
    implementation_class_uid: str = ""
    implementation_version: str = ""
    asynchronous: tuple[int, int] | None = None
    """Operations that may be under way: invoked, performed; 0 = any number (D.3.3.3)."""
    roles: tuple[Roles, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    identity: UserIdentity | None = None
    identity_answer: bytes | None = None
    """Of an acceptor that was asked for one."""


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ."""

    called: str
    calling: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation = field(default_factory=UserInformation)
    application_context: str = APPLICATION_CONTEXT


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC. The titles are those of the request, and not to be looked at (§9.3.3)."""

    called: str
    calling: str
    contexts: tuple[AnsweredContext, ...]
    user: UserInformation = field(default_factory=UserInformation)


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (table 9-21)."""

    result: int
    """1 for good, 2 for now."""
    source: int
    """1 the user, 2 the provider (ACSE), 3 the provider (presentation)."""
    reason: int


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ."""


@dataclass(frozen=True, slots=True)
class ReleaseResponse:
    """A-RELEASE-RP."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT."""

    source: int
    """0 the user, 2 the provider."""
    reason: int
    """``AbortReason`` when it was the provider."""


type_pdu = (
    AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseResponse | Abort
)
