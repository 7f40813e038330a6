"""A single bit that arrives wrong, in whatever is said: it is found, and the transfer ends right.

TCP's checksum finds such a flip between two network cards; what a router, a proxy or bad memory
does to it in between, nobody finds but the two ends.

Most of what travels is bytes of files, and so most of the flips are there. Elsewhere one bit means
another path, another length or another instance: each part of each kind of message has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from tests.network.journeys import WAYS, Pair, TransferFailed, pair, some, until
from tests.support.link import Flip, Turn, no_faults, type_fault

FLIPS_OF_FILES = 500
"""Over all ways."""
FLIPS_OF_MESSAGES = 15
"""For each part of each message; there are 37."""
_BUCKET_BYTES = 8192

MESSAGES = {
    "inventory": ("push", r"POST .*/inventory"),
    "create": ("push", r"POST .*/transfers/push"),
    "bucket": ("push", r"PUT .*/transfers/push/.*"),
    "commit": ("push", r"POST .*/commit"),
    "receipt": ("push", r"GET .*/transfers/receipts/.*"),
    "lookup": ("pull", r"POST .*/transfers/lookup"),
    "chunks": ("pull", r"GET .*/transfers/chunks/.*"),
}
BODILESS = {("commit", "up"), ("receipt", "up"), ("chunks", "up")}
FILES = {("bucket", "up"), ("chunks", "down")}
"""Their bodies have a test of their own."""


def _all_parts() -> Iterator[object]:
    for message in MESSAGES:
        for direction in ("up", "down"):
            for part in ("line", "fields", "body"):
                if part == "body" and (message, direction) in BODILESS | FILES:
                    continue
                yield pytest.param(message, direction, part)


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With slots in plenty: a push that begins anew leaves its first one open."""
    with pair(tmp_path_factory.mktemp("flips"), timeout_s=1, slots=10_000) as made:
        yield made


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_flips_of_files(between: Pair, way: str, compression: str) -> None:
    def flip(random: Random, turn: Turn) -> Sequence[type_fault]:
        is_file = (turn.direction == "up") == (way == "push")
        length = turn.length or turn.head_bytes + _BUCKET_BYTES // 2
        if not is_file or not re.search("/chunks/|^PUT ", turn.request):
            return ()
        return [Flip(random.randrange(turn.head_bytes, length), random.randrange(8))]

    seed = f"flips {way} {compression}"
    number = FLIPS_OF_FILES // len(WAYS)
    until(between, way, compression, some(number), seed, flip, share=0.8)


@pytest.mark.parametrize(("message", "direction", "part"), list(_all_parts()))
def test_flips_of_messages(between: Pair, message: str, direction: str, part: str) -> None:
    """One in each transfer."""
    failed = []
    way, pattern = MESSAGES[message]
    line = between.line(way)
    line.applied.clear()
    try:
        for number in range(some(FLIPS_OF_MESSAGES)):
            random = Random(f"{message} {direction} {part} {number}")
            left = iter([True])

            def flip(
                turn: Turn, random: Random = random, left: Iterator[bool] = left
            ) -> Sequence[Flip]:
                is_it = turn.direction == direction and re.fullmatch(pattern, turn.request)
                if not is_it or not next(left, False):
                    return ()
                return [Flip(random.randrange(*_range(turn, part)), random.randrange(8))]

            line.choose = flip
            try:
                between.carry_right(way, ("none", "gzip")[number % 2])
            except TransferFailed as failure:
                failed.append((number, line.applied[-1], str(failure)))
            assert len(line.applied) == number + 1, "nothing went wrong"
    finally:
        line.choose = no_faults
    if failed:
        raise TransferFailed(failed)


def _range(turn: Turn, part: str) -> tuple[int, int]:
    """Where a part of a message begins and ends."""
    first_line = turn.start.index(b"\r\n") + 2
    if part == "line":
        return 0, first_line
    if part == "fields":
        return first_line, turn.head_bytes
    return turn.head_bytes, turn.length or turn.head_bytes + _BUCKET_BYTES // 4
