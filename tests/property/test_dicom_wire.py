"""A connection is the same however it is cut, and whatever comes is read or refused."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_dicom_wire import ACCEPT, REQUEST, SHORT
from wherry.dicom.wire import commands
from wherry.dicom.wire.commands import BadCommand, Command, CommandField
from wherry.dicom.wire.pdu import BadPdu, type_pdu
from wherry.dicom.wire.reading import decode
from wherry.dicom.wire.stream import Fragment, Stream
from wherry.dicom.wire.writing import encode

type_pdv = tuple[int, int, bytes]
"""Presentation context, control header, bytes."""

pdvs = st.tuples(st.sampled_from([1, 3, 255]), st.integers(0, 3), st.binary(max_size=60))
data_pdus = st.lists(pdvs, min_size=1, max_size=4)
pdus = st.one_of(st.sampled_from([REQUEST, ACCEPT, *SHORT]), data_pdus)


def data_bytes(parts: Sequence[type_pdv]) -> bytes:
    body = b"".join(struct.pack(">IBB", len(d) + 2, c, h) + d for c, h, d in parts)
    return struct.pack(">BxI", 4, len(body)) + body


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def joined(stream: Stream, portions: Sequence[bytes]) -> list[type_pdu | type_pdv]:
    """Whole PDUs, and whole runs of fragments: until the last one of each."""
    found: list[type_pdu | type_pdv] = []
    gathered = b""
    for portion in portions:
        for event in stream.feed(memoryview(portion)):
            if not isinstance(event, Fragment):
                found.append(event)
                continue
            gathered += bytes(event.data)
            if event.last:
                found.append((event.context_id, 2 | event.is_command, gathered))
                gathered = b""
    return found


@given(st.lists(pdus, max_size=6), st.lists(st.integers(0, 2**16), max_size=40))
def test_a_connection_is_the_same_however_it_is_cut(
    sent: list[type_pdu | list[type_pdv]], places: list[int]
) -> None:
    data = b"".join(data_bytes(one) if isinstance(one, list) else encode(one) for one in sent)
    stream = Stream()
    found = joined(stream, cut(data, places))
    assert stream.idle
    expected: list[type_pdu | type_pdv] = []
    gathered = b""
    for one in sent:
        for context, control, part in one if isinstance(one, list) else ():
            gathered += part
            if control & 2:
                expected.append((context, control, gathered))
                gathered = b""
        if not isinstance(one, list):
            expected.append(one)
    assert found == expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_whatever_comes_is_read_or_refused(data: bytes, places: list[int]) -> None:
    try:
        joined(Stream(), cut(data, places))
    except BadPdu:
        pass


@given(st.integers(1, 7), st.binary(max_size=200))
def test_whatever_a_pdu_holds_is_read_or_refused(kind: int, body: bytes) -> None:
    try:
        decode(kind, memoryview(body))
    except BadPdu:
        pass


@given(st.data())
def test_a_damaged_request_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(encode(REQUEST)[6:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(1, memoryview(body))
    except BadPdu:
        pass


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))
def test_no_length_makes_room(length: int, allowed: int) -> None:
    """A PDU of data longer than what was agreed on is refused when its head is there."""
    stream = Stream(allowed)
    head = struct.pack(">BxI", 4, length)
    try:
        assert list(stream.feed(memoryview(head))) == []
        assert length <= allowed
    except BadPdu:
        assert length > allowed


numbers = st.none() | st.integers(0, 0xFFFF)
tags = st.none() | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4).map(tuple)
uids = st.none() | st.from_regex(r"[0-9.]{1,64}", fullmatch=True)
made = st.builds(
    Command,
    field=st.sampled_from(CommandField),
    has_data_set=st.booleans(),
    affected_sop_class=uids,
    requested_sop_instance=uids,
    message_id=numbers,
    status=numbers,
    offending_elements=tags,
    move_destination=st.none() | st.from_regex(r"[A-Z0-9_]{1,16}", fullmatch=True),
    error_comment=st.none() | st.from_regex(r"[a-z]([a-z ]{0,20}[a-z])?", fullmatch=True),
    failed=numbers,
)


@given(made)
def test_commands_are_read_as_they_were_written(command: Command) -> None:
    data = commands.encode(command)
    assert len(data) % 2 == 0
    assert commands.decode(data) == command


@given(st.binary(max_size=120))
def test_whatever_comes_is_a_command_or_refused(data: bytes) -> None:
    try:
        commands.decode(data)
    except BadCommand:
        pass
