"""Answers that are made while they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from wherry.http.pieces import PiecesAnswer, pieces_answer


class Source:
    """Pieces, and whether anybody has closed them."""

    def __init__(self, *pieces: bytes, failing: bool = False) -> None:
        self.pieces, self.failing, self.is_closed = pieces, failing, False

    def run(self) -> Generator[bytes, None, None]:
        try:
            yield from self.pieces
            if self.failing:
                raise ValueError("half way")
        finally:
            self.is_closed = True


async def _sent(answer: Any, *, leaves: bool = False) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> dict[str, Any]:
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    await answer({"type": "http", "method": "GET", "headers": []}, receive, send)
    return messages


def sent(answer: Any, *, leaves: bool = False) -> list[dict[str, Any]]:
    return asyncio.run(_sent(answer, leaves=leaves))


BIG = bytes(100_000)


def test_short_answers_have_a_length() -> None:
    for pieces, body in (((b"a", b"b"), b"ab"), ((), b""), ((BIG,), BIG)):
        source = Source(*pieces)
        answer = pieces_answer(source.run(), b"text/plain")
        assert (answer.body, source.is_closed) == (body, bool(pieces) or source.is_closed)
        start, *_ = sent(answer)
        assert (b"content-length", b"%d" % len(body)) in start["headers"]


def test_long_answers_come_in_pieces() -> None:
    source = Source(BIG, b"a", BIG, b"b")
    answer = pieces_answer(source.run(), b"text/plain", [(b"x", b"y")])
    assert isinstance(answer, PiecesAnswer)
    start, *bodies = sent(answer)
    assert start["headers"] == [(b"content-type", b"text/plain"), (b"x", b"y")]
    assert b"".join(one["body"] for one in bodies) == BIG + b"a" + BIG + b"b"
    assert [one.get("more_body", False) for one in bodies][-2:] == [True, False]
    assert source.is_closed


def test_what_fails_at_once_is_an_error() -> None:
    source = Source(failing=True)
    with pytest.raises(ValueError, match="half way"):
        pieces_answer(source.run(), b"text/plain")
    assert source.is_closed


def test_what_fails_later_breaks_the_answer() -> None:
    source = Source(BIG, BIG, failing=True)
    answer = pieces_answer(source.run(), b"text/plain")
    with pytest.raises(ValueError, match="half way"):
        sent(answer)
    assert source.is_closed


def test_a_client_that_leaves_is_not_served() -> None:
    source = Source(*[BIG] * 50)
    answer = pieces_answer(source.run(), b"text/plain")
    bodies = sent(answer, leaves=True)
    assert len(bodies) < 10
    assert source.is_closed
