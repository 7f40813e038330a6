"""PDUs of associations, from their bytes (PS3.8 §9.3).

Everything is big endian; an item is its type, a reserved byte, a length and its value. What is
unknown is passed over, as the standard asks for; what contradicts itself, or passes a bound, is
``BadPdu``, which knows the reason of the A-ABORT that answers it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from wherry import limits
from wherry.dicom.wire.pdu import (
    ASSOCIATE,
    ITEM,
    LAST_THREE,
    PROTOCOL_VERSION,
    Abort,
    AbortReason,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    BadPdu,
    ExtendedNegotiation,
    Outcome,
    PduType,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    Roles,
    UserIdentity,
    UserInformation,
    type_pdu,
)


def decode(kind: int, body: memoryview) -> type_pdu:
    """A PDU other than P-DATA-TF, from its type and what follows its head. Raises ``BadPdu``."""
    if kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
        return _associate(kind, body)
    if kind not in _SHORT:
        raise BadPdu(f"There is no PDU of type {kind}", AbortReason.UNRECOGNIZED_PDU)
    if len(body) != LAST_THREE.size:
        raise BadPdu(f"A PDU of type {kind} has {len(body)} bytes instead of 4")
    first, second, third = LAST_THREE.unpack(body)
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
    if len(body) < ASSOCIATE.size:
        raise BadPdu("An A-ASSOCIATE ends before its items")
    version, called, calling = ASSOCIATE.unpack_from(body)
    if not version & PROTOCOL_VERSION:
        raise BadPdu("Another protocol version of the upper layer")
    application, user = "", UserInformation()
    proposed: dict[int, ProposedContext] = {}
    answered: dict[int, AnsweredContext] = {}
    for item, value in _items(body[ASSOCIATE.size :]):
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
        if at + ITEM.size > len(data):
            raise BadPdu("An item has no room for its length")
        kind, size = ITEM.unpack_from(data, at)
        at += ITEM.size
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
