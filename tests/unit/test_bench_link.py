"""The line between two machines, and the faults that tests put on it, to the byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.link import QUEUE_S, Line
from tests.support.link import (
    BadLine,
    CutAfter,
    Flip,
    Repeat,
    RepeatLate,
    StallAfter,
    Turn,
    bad_line,
    type_fault,
)

QUESTION = b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


class Echo:
    """Answers whatever has the length of ``QUESTION`` with ``ANSWER``; keeps what came."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.ended = threading.Semaphore(0)
        """One for each connection that is over."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            try:
                while taken := self._take(client):
                    self.came.append(taken)
                    if len(taken) == len(QUESTION):
                        client.sendall(ANSWER)
            except OSError:
                pass
        self.ended.release()

    @staticmethod
    def _take(client: socket.socket) -> bytes:
        taken = b""
        while len(taken) < len(QUESTION):
            try:
                more = client.recv(len(QUESTION) - len(taken))
            except ConnectionResetError:
                return taken
            if not more:
                break
            taken += more
        return taken


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def line(echo: Echo) -> Iterator[BadLine]:
    with bad_line(echo.port) as line:
        yield line


@contextmanager
def client(line: BadLine) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", line.port), timeout=30) as opened:
        yield opened


def ask(opened: socket.socket, expected: int = len(ANSWER)) -> bytes:
    """What comes as the answer, up to so many bytes or until the connection breaks."""
    opened.sendall(QUESTION)
    return take(opened, expected)


def take(opened: socket.socket, expected: int) -> bytes:
    taken = b""
    try:
        while len(taken) < expected and (more := opened.recv(expected - len(taken))):
            taken += more
    except ConnectionResetError:
        taken += b"<reset>"
    return taken


def only(direction: str, *faults: type_fault) -> object:
    """Faults of the first turn of one direction."""
    return lambda turn: faults if (turn.direction, turn.number) == (direction, 0) else ()


def test_a_good_line_changes_nothing(echo: Echo, line: BadLine) -> None:
    with client(line) as opened:
        assert [ask(opened) for _ in range(3)] == [ANSWER] * 3
    assert echo.came == [QUESTION] * 3
    assert line.link.connections == 1
    assert line.link.up.carried_bytes == 3 * len(QUESTION)
    assert line.link.down.carried_bytes == 3 * len(ANSWER)


def test_turns_are_requests_and_answers(line: BadLine) -> None:
    seen: list[Turn] = []

    def look(turn: Turn) -> tuple[type_fault, ...]:
        seen.append(turn)
        return ()

    line.choose = look
    for _ in range(2):
        with client(line) as opened:
            assert [ask(opened) for _ in range(2)] == [ANSWER] * 2
    assert [(t.connection, t.direction, t.number) for t in seen] == [
        (connection, direction, number)
        for connection in range(2)
        for number in range(2)
        for direction in ("up", "down")
    ]
    assert {turn.request for turn in seen} == {"POST /a"}
    assert [turn.length for turn in seen[:2]] == [len(QUESTION), len(ANSWER)]


@pytest.mark.parametrize("at", [0, 7, len(QUESTION) - 1])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flip(echo: Echo, line: BadLine, at: int, bit: int) -> None:
    line.choose = only("up", Flip(at, bit))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened) == ask(opened) == ANSWER
    wrong = bytearray(QUESTION)
    wrong[at] ^= 1 << bit
    assert echo.came == [bytes(wrong), QUESTION]
    assert [fault for _, fault in line.applied] == [Flip(at, bit)]


def test_two_flips_of_one_portion(line: BadLine) -> None:
    line.choose = only("down", Flip(2), Flip(1))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened) == ANSWER[:1] + b"UU" + ANSWER[3:]


@pytest.mark.parametrize("at", [0, 1, len(QUESTION) - 1, len(QUESTION)])
def test_a_cut_on_the_way_there(echo: Echo, line: BadLine, at: int) -> None:
    """Even behind the last byte: the server hears the question, and nobody its answer."""
    line.choose = only("up", CutAfter(at))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened) == b"<reset>"
    assert echo.ended.acquire(timeout=60)
    assert b"".join(echo.came) == QUESTION[:at]


@pytest.mark.parametrize("at", [0, 5, len(ANSWER)])
def test_a_cut_on_the_way_back(line: BadLine, at: int) -> None:
    line.choose = only("down", CutAfter(at))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened, 1000) == ANSWER[:at] + b"<reset>"


def test_a_stall(line: BadLine) -> None:
    line.choose = only("down", StallAfter(5, 0.01, cut=False))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened) == ANSWER
    line.choose = only("down", StallAfter(5, 0.01))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened, 1000) == ANSWER[:5] + b"<reset>"


def test_an_answer_that_comes_twice(line: BadLine) -> None:
    line.choose = only("down", Repeat(len(ANSWER)))  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened, 2 * len(ANSWER)) == 2 * ANSWER
        assert ask(opened) == ANSWER


def test_an_answer_that_comes_once_more_before_the_next(line: BadLine) -> None:
    line.choose = only("down", RepeatLate())  # type: ignore[assignment]
    with client(line) as opened:
        assert ask(opened) == ANSWER
        assert ask(opened, 2 * len(ANSWER)) == 2 * ANSWER
        assert ask(opened) == ANSWER


def test_a_delayed_line_carries_all_the_same(echo: Echo) -> None:
    slow = Line(delay_s=0.01, rate_bytes_per_s=100_000)
    with bad_line(echo.port, slow, Line(delay_s=0.005)) as line, client(line) as opened:
        assert [ask(opened) for _ in range(2)] == [ANSWER] * 2


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with bad_line(port) as line, suppress(ConnectionResetError), client(line) as opened:
        assert take(opened, 1) == b"<reset>"


# --- the line itself, without a clock ----------------------------------------------------------
def test_a_delay_costs_no_rate() -> None:
    line = Line(delay_s=1.0)
    assert [line.put(1000, 5.0) for _ in range(2)] == [(5.0, 6.0)] * 2


def test_what_shares_a_line_waits_for_it() -> None:
    """100 bytes a second: each portion of 50 arrives half a second after the one before."""
    line = Line(delay_s=10.0, rate_bytes_per_s=100)
    arrivals = [line.put(50, now=0.0)[1] for _ in range(4)]
    assert arrivals == pytest.approx([10.5, 11.0, 11.5, 12.0])
    more_at, _ = line.put(50, now=0.0)
    assert more_at == pytest.approx(2.5 - QUEUE_S)
    assert line.put(50, now=100.0)[1] == pytest.approx(110.5)  # nothing was saved up meanwhile
    assert line.carried_bytes == 300


def test_portions_of_a_slow_line_are_small() -> None:
    assert Line().portion_bytes == 262_144
    assert Line(rate_bytes_per_s=12.5e6).portion_bytes == 62_500
    assert Line(rate_bytes_per_s=100).portion_bytes == 1500
