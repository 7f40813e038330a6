"""The protocol data units that make and end an association (PS3.8 §9.3, PS3.7 Annex D.3.3).

Everything is big endian; an item is its type, a reserved byte, a length and its value. What is
unknown is passed over, as the standard asks for; what contradicts itself, or passes a bound, is
``BadPdu``, which knows the reason of the A-ABORT that answers it.

Not here: P-DATA-TF, whose bytes are not gathered (``stream``); what is accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from wherry import limits
from wherry.errors import NetworkProtocol

HEAD: Final = struct.Struct(">BxI")
"""Of every PDU: type, length of what follows."""
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
"""The only one there is (PS3.7 Annex A.2.1)."""

_ITEM: Final = struct.Struct(">BxH")
_ASSOCIATE: Final = struct.Struct(">H2x16s16s32x")
_LAST_THREE: Final = struct.Struct(">xBBB")
_PROTOCOL_VERSION: Final = 1


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


# --- reading ---------------------------------------------------------------------------------
def decode(kind: int, body: memoryview) -> type_pdu:
    """A PDU other than P-DATA-TF, from its type and what follows its head. Raises ``BadPdu``."""
    if kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
        return _associate(kind, body)
    if kind not in _SHORT:
        raise BadPdu(f"There is no PDU of type {kind}", AbortReason.UNRECOGNIZED_PDU)
    if len(body) != _LAST_THREE.size:
        raise BadPdu(f"A PDU of type {kind} has {len(body)} bytes instead of 4")
    first, second, third = _LAST_THREE.unpack(body)
    if kind == PduType.ASSOCIATE_RJ:
        return AssociateReject(first, second, third)
    if kind == PduType.ABORT:
        return Abort(second, third)
    return ReleaseRequest() if kind == PduType.RELEASE_RQ else ReleaseResponse()


_SHORT: Final = (
    PduType.ASSOCIATE_RJ,
    PduType.RELEASE_RQ,
    PduType.RELEASE_RP,
    PduType.ABORT,
)


def _associate(kind: int, body: memoryview) -> AssociateRequest | AssociateAccept:
    if len(body) < _ASSOCIATE.size:
        raise BadPdu("An A-ASSOCIATE ends before its items")
    version, called, calling = _ASSOCIATE.unpack_from(body)
    if not version & _PROTOCOL_VERSION:
        raise BadPdu("Another protocol version of the upper layer")
    application, user = "", UserInformation()
    proposed: dict[int, ProposedContext] = {}
    answered: dict[int, AnsweredContext] = {}
    for item, value in _items(body[_ASSOCIATE.size :]):
        if item == 0x10:
            application = _uid(value)
        elif item == 0x20 and kind == PduType.ASSOCIATE_RQ:
            context = _proposed(value)
            _check_new(context.id, proposed)
            proposed[context.id] = context
        elif item == 0x21 and kind == PduType.ASSOCIATE_AC:
            answer = _answered(value)
            _check_new(answer.id, answered)
            answered[answer.id] = answer
        elif item == 0x50:
            user = _user_information(value)
    titles = _title(called), _title(calling)
    if kind == PduType.ASSOCIATE_AC:
        return AssociateAccept(*titles, tuple(answered.values()), user)
    if not proposed:
        raise BadPdu("An A-ASSOCIATE-RQ proposes no presentation context")
    return AssociateRequest(*titles, tuple(proposed.values()), user, application)


def _proposed(value: memoryview) -> ProposedContext:
    if len(value) < 4:
        raise BadPdu("A presentation context ends before its items")
    abstract, transfer = "", list[str]()
    for item, inner in _items(value[4:]):
        if item == 0x30:
            abstract = _uid(inner)
        elif item == 0x40:
            transfer.append(_uid(inner))
    if not abstract or not transfer:
        raise BadPdu("A presentation context has no abstract or no transfer syntax")
    return ProposedContext(value[0], abstract, tuple(transfer))


def _answered(value: memoryview) -> AnsweredContext:
    if len(value) < 4:
        raise BadPdu("A presentation context ends before its items")
    try:
        outcome = Outcome(value[2])
    except ValueError:
        raise BadPdu(f"There is no result {value[2]} of a presentation context") from None
    transfer = ""
    if outcome is Outcome.ACCEPTED:  # else its value is not significant (§9.3.3.2)
        transfer = next((_uid(inner) for item, inner in _items(value[4:]) if item == 0x40), "")
        if not transfer:
            raise BadPdu("An accepted presentation context has no transfer syntax")
    return AnsweredContext(value[0], outcome, transfer)


def _check_new(
    context_id: int, known: dict[int, ProposedContext] | dict[int, AnsweredContext]
) -> None:
    """So there are at most 128."""
    if not context_id & 1:
        raise BadPdu(f"The presentation context {context_id} has no odd number")
    if context_id in known:
        raise BadPdu(f"There are two presentation contexts {context_id}")


def _user_information(value: memoryview) -> UserInformation:
    told: dict[str, object] = {}
    roles: list[Roles] = []
    extended: list[ExtendedNegotiation] = []
    for item, inner in _items(value):
        if item == 0x51:
            told["maximum_length"] = _numbers(">I", inner)[0]
        elif item == 0x52:
            told["implementation_class_uid"] = _uid(inner)
        elif item == 0x53:
            invoked, performed = _numbers(">HH", inner)
            told["asynchronous"] = (invoked, performed)
        elif item == 0x54:
            uid, rest = _counted(inner)
            scu, scp = _numbers(">BB", rest)
            roles.append(Roles(_uid(uid), bool(scu), bool(scp)))
        elif item == 0x55:
            told["implementation_version"] = _text(inner)
        elif item == 0x56:
            uid, rest = _counted(inner)
            extended.append(ExtendedNegotiation(_uid(uid), bytes(rest)))
        elif item == 0x58:
            told["identity"] = _identity(inner)
        elif item == 0x59:
            told["identity_answer"] = bytes(_counted(inner)[0])
    return UserInformation(**told, roles=tuple(roles), extended=tuple(extended))  # type: ignore[arg-type]


def _identity(value: memoryview) -> UserIdentity:
    if len(value) < 2:
        raise BadPdu("A user identity has no type")
    primary, rest = _counted(value[2:])
    secondary, _ = _counted(rest)
    return UserIdentity(value[0], bool(value[1]), bytes(primary), bytes(secondary))


def _items(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and value of each item. Raises ``BadPdu`` when they do not fill ``data`` exactly."""
    at = 0
    while at < len(data):
        if at + _ITEM.size > len(data):
            raise BadPdu("An item has no room for its length")
        kind, size = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if at + size > len(data):
            raise BadPdu(f"An item of type 0x{kind:02x} is longer than what holds it")
        yield kind, data[at : at + size]
        at += size


def _counted(data: memoryview) -> tuple[memoryview, memoryview]:
    """A value behind its length of two bytes, and what follows it."""
    if len(data) < 2 or len(data) < 2 + (size := int.from_bytes(data[:2], "big")):
        raise BadPdu("A field is longer than the item that holds it")
    return data[2 : 2 + size], data[2 + size :]


def _numbers(layout: str, data: memoryview) -> tuple[int, ...]:
    try:
        return struct.unpack(layout, data)
    except struct.error:
        raise BadPdu(
            f"An item has {len(data)} bytes instead of {struct.calcsize(layout)}"
        ) from None


def _uid(data: memoryview) -> str:
    """Padded by some, though it must not be."""
    return _text(data).rstrip("\0 ")


def _text(data: memoryview) -> str:
    if len(data) > limits.WIRE_TEXT_BYTES:
        raise BadPdu("A name is longer than a UID")
    return bytes(data).decode("ascii", "replace")


def _title(data: bytes) -> str:
    """Spaces at both ends are no part of it (PS3.5 §6.2, AE)."""
    return data.decode("ascii", "replace").strip("\0 ")


# --- writing ---------------------------------------------------------------------------------
def encode(pdu: type_pdu) -> bytes:
    """The whole PDU."""
    if isinstance(pdu, AssociateRequest):
        contexts = b"".join(map(_proposed_item, pdu.contexts))
        return _associate_bytes(PduType.ASSOCIATE_RQ, pdu, pdu.application_context, contexts)
    if isinstance(pdu, AssociateAccept):
        contexts = b"".join(map(_answered_item, pdu.contexts))
        return _associate_bytes(PduType.ASSOCIATE_AC, pdu, APPLICATION_CONTEXT, contexts)
    if isinstance(pdu, AssociateReject):
        return _short_bytes(PduType.ASSOCIATE_RJ, pdu.result, pdu.source, pdu.reason)
    if isinstance(pdu, Abort):
        return _short_bytes(PduType.ABORT, 0, pdu.source, pdu.reason)
    asks = isinstance(pdu, ReleaseRequest)
    return _short_bytes(PduType.RELEASE_RQ if asks else PduType.RELEASE_RP, 0, 0, 0)


def _short_bytes(kind: PduType, first: int, second: int, third: int) -> bytes:
    return HEAD.pack(kind, _LAST_THREE.size) + _LAST_THREE.pack(first, second, third)


def _associate_bytes(
    kind: PduType, pdu: AssociateRequest | AssociateAccept, application: str, contexts: bytes
) -> bytes:
    titles = _title_bytes(pdu.called), _title_bytes(pdu.calling)
    body = (
        _ASSOCIATE.pack(_PROTOCOL_VERSION, *titles)
        + _item(0x10, application.encode("ascii"))
        + contexts
        + _item(0x50, _user_bytes(pdu.user))
    )
    return HEAD.pack(kind, len(body)) + body


def _title_bytes(title: str) -> bytes:
    return title.encode("ascii", "replace")[:16].ljust(16)


def _proposed_item(context: ProposedContext) -> bytes:
    value = bytes((context.id, 0, 0, 0)) + _item(0x30, context.abstract_syntax.encode("ascii"))
    return _item(
        0x20, value + b"".join(_item(0x40, s.encode("ascii")) for s in context.transfer_syntaxes)
    )


def _answered_item(context: AnsweredContext) -> bytes:
    transfer = context.transfer_syntax.encode("ascii")
    return _item(0x21, bytes((context.id, 0, context.outcome, 0)) + _item(0x40, transfer))


def _user_bytes(user: UserInformation) -> bytes:
    """In ascending order of their types, as nearly everybody sends them."""
    parts = [
        _item(0x51, user.maximum_length.to_bytes(4, "big")),
        _item(0x52, user.implementation_class_uid.encode("ascii")),
    ]
    if user.asynchronous is not None:
        parts.append(_item(0x53, struct.pack(">HH", *user.asynchronous)))
    parts += [
        _item(0x54, _short_counted(one.sop_class.encode("ascii")) + bytes((one.scu, one.scp)))
        for one in user.roles
    ]
    if user.implementation_version:
        parts.append(_item(0x55, user.implementation_version.encode("ascii")))
    parts += [
        _item(0x56, _short_counted(one.sop_class.encode("ascii")) + one.information)
        for one in user.extended
    ]
    if (who := user.identity) is not None:
        names = _short_counted(who.primary) + _short_counted(who.secondary)
        parts.append(_item(0x58, bytes((who.kind, who.answer_wanted)) + names))
    if user.identity_answer is not None:
        parts.append(_item(0x59, _short_counted(user.identity_answer)))
    return b"".join(parts)


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _short_counted(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value
