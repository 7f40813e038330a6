"""PDUs of associations, to their bytes (PS3.8 §9.3)."""

from __future__ import annotations

import struct

from wherry.dicom.wire.pdu import (
    APPLICATION_CONTEXT,
    ASSOCIATE,
    HEAD,
    ITEM,
    LAST_THREE,
    PROTOCOL_VERSION,
    Abort,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    PduType,
    ProposedContext,
    ReleaseRequest,
    UserInformation,
    type_pdu,
)


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
    return HEAD.pack(kind, LAST_THREE.size) + LAST_THREE.pack(first, second, third)


def _associate_bytes(
    kind: PduType, pdu: AssociateRequest | AssociateAccept, application: str, contexts: bytes
) -> bytes:
    titles = _title_bytes(pdu.called), _title_bytes(pdu.calling)
    body = (
        ASSOCIATE.pack(PROTOCOL_VERSION, *titles)
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
    return ITEM.pack(kind, len(value)) + value


def _short_counted(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value
