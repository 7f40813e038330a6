"""Messages: made, cut up, put together again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import (
    Head,
    Messages,
    Piece,
    fragments,
    fragments_of_pieces,
    message,
)
from wherry.dicom.wire.pdu import Abort, BadPdu
from wherry.dicom.wire.writing import encode
from wherry.errors import NetworkProtocol

COMMAND = Command(
    CommandField.C_STORE_RQ,
    has_data_set=True,
    affected_sop_class="1.2",
    message_id=7,
    priority=0,
    affected_sop_instance="1.2.3",
)


def taken_apart(data: bytes, portion: int, maximum_length: int = 0) -> list[Any]:
    messages = Messages(maximum_length)
    found: list[Any] = []
    for start in range(0, len(data), portion):
        for one in messages.feed(memoryview(data[start : start + portion])):
            found.append((bytes(one.data), one.last) if isinstance(one, Piece) else one)
    return found


@pytest.mark.parametrize("maximum_length", [0, 20, 4096, 131072])
@pytest.mark.parametrize("portion", [1, 7, 100_000])
@pytest.mark.parametrize("size", [0, 1, 14, 15, 5000])
def test_round_trip(maximum_length: int, portion: int, size: int) -> None:
    data_set = bytes(n % 251 for n in range(size))
    whole = b"".join(message(3, COMMAND, data_set, maximum_length))
    first, *pieces = taken_apart(whole, portion, maximum_length)
    assert first == Head(3, COMMAND)
    assert b"".join(data for data, _ in pieces) == data_set
    assert [last for _, last in pieces][-1] is True
    assert sum(last for _, last in pieces) == 1


@pytest.mark.parametrize("maximum_length", [0, 20, 4096])
@pytest.mark.parametrize(
    "sizes", [[], [0], [1], [14], [15], [14, 14], [3, 0, 5000, 1, 40], [300_000]]
)
def test_a_data_set_in_pieces(maximum_length: int, sizes: list[int]) -> None:
    """The PDUs are those of the whole data set."""
    data_set = bytes(n % 251 for n in range(sum(sizes)))
    ends = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    pieces = [data_set[start:end] for start, end in pairwise(ends)]
    found = list(map(bytes, fragments_of_pieces(3, pieces, maximum_length)))
    assert found == list(map(bytes, fragments(3, data_set, maximum_length)))


@pytest.mark.parametrize("maximum_length", [256, 257, 16_383, 131_071, 0])
def test_fragments_are_even(maximum_length: int) -> None:
    """DCMTK refuses others."""
    data_set = bytes(300_000)
    whole = b"".join(message(1, COMMAND, data_set, maximum_length))
    found = [len(piece) for piece, _ in taken_apart_whole(whole)]
    assert sum(found) == 300_000
    assert all(size % 2 == 0 for size in found)
    assert max(found) <= (maximum_length or 131_072) - 6


def taken_apart_whole(data: bytes) -> list[tuple[bytes, bool]]:
    return taken_apart(data, len(data))[1:]


def test_two_messages_and_a_pdu() -> None:
    answer = Command(CommandField.C_ECHO_RSP, responded_to=1, status=0)
    whole = b"".join(message(1, answer) * 2) + encode(Abort(0, 0))
    assert taken_apart(whole, 1000) == [Head(1, answer), Head(1, answer), Abort(0, 0)]


def in_one(*parts: Any) -> bytes:
    return b"".join(bytes(buffer) for part in parts for buffer in part)


HALF = message(1, COMMAND)[:2]


@pytest.mark.parametrize(
    "wrong",
    [
        in_one(fragments(1, b"data", 0)),
        in_one(HALF, fragments(1, b"x", 0, is_command=True)),
        in_one(HALF, fragments(3, b"x", 0)),
        in_one(fragments(1, b"x", 0, is_command=True, ends=False), fragments(3, b"x", 0)),
        in_one(
            fragments(1, b"x", 0, is_command=True, ends=False),
            fragments(3, b"x", 0, is_command=True),
        ),
        in_one(fragments(1, bytes(70_000), 0, is_command=True, ends=False)),
        in_one(fragments(1, b"not a command", 0, is_command=True)),
    ],
)
def test_what_contradicts_itself(wrong: bytes) -> None:
    with pytest.raises(NetworkProtocol):
        taken_apart(wrong, 1000)


def test_a_pdu_longer_than_agreed() -> None:
    with pytest.raises(BadPdu):
        taken_apart(in_one(HALF, fragments(1, bytes(5000), 0)), 10_000, 4096)
