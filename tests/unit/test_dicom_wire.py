"""PDUs and commands, byte by byte, and as pynetdicom reads and writes them."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as decode_data_set
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from wherry import limits
from wherry.dicom.wire import commands
from wherry.dicom.wire.commands import BadCommand, Command, CommandField
from wherry.dicom.wire.pdu import (
    Abort,
    AbortReason,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    BadPdu,
    ExtendedNegotiation,
    Outcome,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    Roles,
    UserIdentity,
    UserInformation,
    type_pdu,
)
from wherry.dicom.wire.reading import decode
from wherry.dicom.wire.stream import Stream
from wherry.dicom.wire.writing import encode

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

REQUEST = AssociateRequest(
    "WHERRY",
    "MODALITY 1",
    (ProposedContext(1, CT, (EXPLICIT, IMPLICIT)), ProposedContext(255, FIND, (IMPLICIT,))),
    UserInformation(
        16_384,
        "1.2.3.4",
        "SCANNER_1",
        asynchronous=(0, 5),
        roles=(Roles(CT, scu=False, scp=True),),
        extended=(ExtendedNegotiation(FIND, b"\x01\x00\x01"),),
        identity=UserIdentity(2, answer_wanted=True, primary=b"me", secondary=b"secret"),
    ),
)
ACCEPT = AssociateAccept(
    "WHERRY",
    "MODALITY 1",
    (
        AnsweredContext(1, Outcome.ACCEPTED, EXPLICIT),
        AnsweredContext(255, Outcome.UNKNOWN_ABSTRACT_SYNTAX),
    ),
    UserInformation(0, "1.2.3.4", "WHERRY", identity_answer=b"hello"),
)
SHORT: list[type_pdu] = [
    AssociateReject(1, 1, 7),
    ReleaseRequest(),
    ReleaseResponse(),
    Abort(2, AbortReason.UNEXPECTED_PDU),
]


def read(data: bytes) -> type_pdu:
    size = int.from_bytes(data[2:6], "big")
    assert len(data) == size + 6
    return decode(data[0], memoryview(data)[6:])


@pytest.mark.parametrize("pdu", [REQUEST, ACCEPT, *SHORT], ids=lambda pdu: type(pdu).__name__)
def test_what_is_written_is_read(pdu: type_pdu) -> None:
    assert read(encode(pdu)) == pdu


def test_a_request_as_pynetdicom_reads_it() -> None:
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(encode(REQUEST))
    assert (theirs.called_ae_title, theirs.calling_ae_title) == ("WHERRY", "MODALITY 1")
    primitive = theirs.to_primitive()
    assert [
        (one.context_id, one.abstract_syntax, tuple(one.transfer_syntax))
        for one in primitive.presentation_context_definition_list
    ] == [(one.id, one.abstract_syntax, one.transfer_syntaxes) for one in REQUEST.contexts]
    assert primitive.maximum_length_received == 16_384
    assert theirs.encode() == encode(REQUEST)


def test_an_answer_as_pynetdicom_reads_it() -> None:
    theirs = A_ASSOCIATE_AC()
    theirs.decode(encode(ACCEPT))
    assert [(one.presentation_context_id, one.result) for one in theirs.presentation_context] == [
        (1, 0),
        (255, 3),
    ]
    assert theirs.presentation_context[0].transfer_syntax == EXPLICIT


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(REQUEST)


def test_titles_and_uids_that_are_padded() -> None:
    data = bytearray(encode(REQUEST))
    data[10:26] = b"  WHERRY\0\0\0\0\0\0\0\0"
    assert isinstance(found := read(bytes(data)), AssociateRequest)
    assert found.called == "WHERRY"


def items(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BxH", kind, len(value)) + value for kind, value in parts)


def request(*parts: tuple[int, bytes], version: int = 1) -> bytes:
    head = struct.pack(">H2x16s16s32x", version, b"A".ljust(16), b"B".ljust(16))
    return head + items(*parts)


CONTEXT = bytes((1, 0, 0, 0)) + items((0x30, CT.encode()), (0x40, IMPLICIT.encode()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        request((0x20, CONTEXT))[:-1],
        request((0x20, CONTEXT), version=2),
        request(),
        request((0x50, b"")),
        request((0x20, CONTEXT), (0x20, CONTEXT)),
        request((0x20, b"\x02" + CONTEXT[1:])),
        request((0x20, b"\x01\0\0")),
        request((0x20, b"\x01\0\0\0" + items((0x30, CT.encode())))),
        request((0x20, b"\x01\0\0\0" + items((0x40, CT.encode())))),
        request((0x20, CONTEXT), (0x50, items((0x51, b"\0\0\1")))),
        request((0x20, CONTEXT), (0x50, items((0x53, b"\0\0\1")))),
        request((0x20, CONTEXT), (0x50, items((0x54, b"\0\x20x")))),
        request((0x20, CONTEXT), (0x50, items((0x54, b"\0\1x\1")))),
        request((0x20, CONTEXT), (0x50, items((0x58, b"\2")))),
        request((0x20, CONTEXT), (0x50, items((0x58, b"\2\0\xff\xffx")))),
        request((0x20, CONTEXT), (0x50, items((0x52, b"1" * 200)))),
        request((0x20, CONTEXT)) + b"\x50\0\xff\xff",
        request((0x20, CONTEXT)) + b"\x50\0",
    ],
)
def test_a_request_that_contradicts_itself(body: bytes) -> None:
    with pytest.raises(BadPdu) as caught:
        decode(1, memoryview(body))
    assert caught.value.reason is AbortReason.INVALID_PARAMETER


def test_ten_thousand_contexts_are_not_read() -> None:
    with pytest.raises(BadPdu):
        decode(1, memoryview(request(*[(0x20, CONTEXT)] * 10_000)))


@pytest.mark.parametrize(("kind", "size"), [(3, 3), (5, 0), (6, 5), (7, 40)])
def test_short_pdus_of_another_length(kind: int, size: int) -> None:
    with pytest.raises(BadPdu):
        decode(kind, memoryview(bytes(size)))


def test_there_are_seven_types() -> None:
    with pytest.raises(BadPdu) as caught:
        decode(8, memoryview(bytes(4)))
    assert caught.value.reason is AbortReason.UNRECOGNIZED_PDU


def test_unknown_items_are_passed_over() -> None:
    body = request((0x99, b"?"), (0x20, CONTEXT), (0x50, items((0x5A, b"?"), (0x51, b"\0\0\1\0"))))
    assert isinstance(found := decode(1, memoryview(body)), AssociateRequest)
    assert found.user.maximum_length == 256


# --- a connection ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x04\0\0\0\0\x03\0\0\0", AbortReason.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x07\0\0\0\x02\1\2\0", AbortReason.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x06\0\0\0\x01\1\2", AbortReason.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x07\0\0\0\x04\1\2\0", AbortReason.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x07\xff\xff\xff\xff\1\2\0", AbortReason.INVALID_PARAMETER),
        (b"\x01\0\0\x20\0\0", AbortReason.INVALID_PARAMETER),
        (b"\x07\0\xff\xff\xff\xff", AbortReason.INVALID_PARAMETER),
        (b"\x08\0\0\0\0\0", AbortReason.UNRECOGNIZED_PDU),
        (b"GET / HTTP/1.1", AbortReason.UNRECOGNIZED_PDU),
    ],
    ids=[
        "ends in the head of a fragment",
        "one byte behind a fragment",
        "fragment without control header",
        "fragment beyond its PDU",
        "fragment of 4 GiB",
        "association of 2 MiB",
        "abort of 4 GiB",
        "eighth type",
        "another protocol",
    ],
)
@pytest.mark.parametrize("portion", [1, 100])
def test_what_is_refused_as_it_comes(data: bytes, reason: AbortReason, portion: int) -> None:
    stream = Stream()
    with pytest.raises(BadPdu) as caught:
        for at in range(0, len(data), portion):
            list(stream.feed(memoryview(data)[at : at + portion]))
    assert caught.value.reason is reason


# --- commands ----------------------------------------------------------------------------------
STORE = Command(
    CommandField.C_STORE_RQ,
    has_data_set=True,
    affected_sop_class=CT,
    message_id=7,
    priority=0,
    affected_sop_instance="1.2.3",
    originator="MOVER",
    originator_message_id=12,
)
ANSWER = Command(
    CommandField.C_MOVE_RSP,
    affected_sop_class=CT,
    responded_to=7,
    status=0xFF00,
    offending_elements=(0x00080018, 0x7FE00010),
    error_comment="why",
    remaining=0,
    completed=3,
    failed=2,
    warning=1,
)


@pytest.mark.parametrize("command", [STORE, ANSWER, Command(CommandField.C_CANCEL_RQ)])
def test_commands_are_read_as_they_were_written(command: Command) -> None:
    assert commands.decode(commands.encode(command)) == command


def test_a_command_as_pynetdicom_reads_it() -> None:
    found: Dataset = decode_data_set(BytesIO(commands.encode(STORE)), True, True)
    assert found.CommandField == 1
    assert found.CommandGroupLength == len(commands.encode(STORE)) - 12
    assert found.AffectedSOPInstanceUID == "1.2.3"
    assert found.MoveOriginatorApplicationEntityTitle == "MOVER"
    assert found.MoveOriginatorMessageID == 12
    tags = decode_data_set(BytesIO(commands.encode(ANSWER)), True, True).OffendingElement
    assert [*tags] == [0x00080018, 0x7FE00010]


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


FIELD = element(0x0100, b"\x30\0")
NOTHING = element(0x0800, b"\1\1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FIELD,
        NOTHING,
        FIELD + NOTHING + b"\0",
        NOTHING + FIELD,
        FIELD + FIELD + NOTHING,
        element(0x0100, b"\x31\0") + NOTHING,
        element(0x0100, b"\x30\0\0\0") + NOTHING,
        FIELD + element(0x0800, b""),
        FIELD + element(0x0800, b"\1\1", group=8),
        FIELD + NOTHING + element(0x0901, b"\0\0\0"),
        FIELD + NOTHING + struct.pack("<HHI", 0, 0x0902, 0xFFFFFFFF),
        FIELD + NOTHING + element(0x0902, bytes(limits.COMMAND_BYTES)),
    ],
)
def test_what_is_no_command(data: bytes) -> None:
    with pytest.raises(BadCommand):
        commands.decode(data)


def test_unknown_and_empty_elements_are_passed_over() -> None:
    data = FIELD + element(0x0110, b"") + element(0x0200, b"x") + NOTHING
    assert commands.decode(data) == Command(CommandField.C_ECHO_RQ)


def test_what_some_put_behind_a_command_is_passed_over() -> None:
    """As Orthanc 1.10.1 does with the list of what it could not send, when a C-GET fails."""
    behind = element(0, b"\x32\0\0\0", group=8) + element(0x0058, b"1.2.3\0", group=8)
    assert commands.decode(FIELD + NOTHING + behind) == Command(CommandField.C_ECHO_RQ)
    with pytest.raises(BadCommand):
        commands.decode(behind + FIELD + NOTHING)
