"""Who gets a slot for a push when there are too few, and what a repeated request means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wherry import limits
from wherry.errors import Unavailable
from wherry.index import transfers, turns
from wherry.index.database import Index
from wherry.model import Manifest, ManifestInstance
from wherry.transfers.declaring import declare
from wherry.transfers.turns import Caller, Opened, open_push

SLOTS = 2
MANIFEST = Manifest((ManifestInstance("a", 1, "0" * 32),), (), "none")
BODY = b"what the manifest looks like"


class Desk:
    """Where pushes are opened; time passes as the test says."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.now = 1000.0

    def ask(self, sender: str, body: bytes = BODY, *, username: str = "") -> Opened:
        caller = Caller(username, "10.0.0.1", sender)
        origin = caller.origin(body)
        declaration = declare(MANIFEST, kind="push", room_bytes=10**9, origin=origin)
        return self.index.write(lambda tx: open_push(tx, declaration, caller, SLOTS, self.now))

    def end(self, opened: Opened) -> None:
        assert self.index.write(lambda tx: transfers.finish(tx, opened.id, "committed", self.now))


@pytest.fixture
def desk(index: Index) -> Desk:
    return Desk(index)


def full(desk: Desk) -> list[Opened]:
    opened = [desk.ask(f"first {number}") for number in range(SLOTS)]
    assert all(one.id for one in opened)
    return opened


def test_a_full_house_refuses_and_says_when(desk: Desk) -> None:
    full(desk)
    refused = desk.ask("late")
    assert refused.id == ""
    with pytest.raises(Unavailable) as error:
        refused.check(SLOTS)
    assert error.value.http_status == 503
    assert error.value.retry_after_s == limits.TRANSFER_SOON_S
    for number in range(SLOTS):
        desk.now += 0.1
        last = desk.ask(f"later {number}")
    assert last.retry_after_s == limits.TRANSFER_BUSY_S


def test_a_free_slot_is_for_the_one_that_waits_longest(desk: Desk) -> None:
    open_ones = full(desk)
    for name in ("a", "b", "c"):
        desk.now += 0.1
        assert not desk.ask(name).id
    desk.end(open_ones[0])
    assert not desk.ask("newcomer").id
    assert not desk.ask("c").id
    assert not desk.ask("b").id
    assert desk.ask("a").id
    desk.end(open_ones[1])
    assert not desk.ask("a too, once more").id
    assert desk.ask("b").id


def test_one_of_the_longest_quarter_may_take_it(desk: Desk) -> None:
    open_ones = full(desk)
    for number in range(12):
        desk.now += 0.01
        assert not desk.ask(f"waiting {number}").id
    desk.end(open_ones[0])
    assert not desk.ask("waiting 3").id
    assert desk.ask("waiting 2").id


def test_as_many_may_come_as_slots_are_free(desk: Desk) -> None:
    open_ones = full(desk)
    for name in ("a", "b", "c"):
        desk.now += 0.1
        desk.ask(name)
    for one in open_ones:
        desk.end(one)
    assert not desk.ask("c").id
    assert desk.ask("b").id
    assert desk.ask("a").id
    assert not desk.ask("c").id


def test_no_slot_is_kept_for_one_that_does_not_come(desk: Desk) -> None:
    open_ones = full(desk)
    desk.ask("gone")
    desk.now += 1
    desk.ask("here")
    desk.now += limits.TRANSFER_TURN_S - 0.5
    desk.end(open_ones[0])
    assert desk.ask("here").id


def test_who_comes_late_finds_the_old_place(desk: Desk) -> None:
    open_ones = full(desk)
    desk.ask("slow")
    desk.now += 1
    desk.ask("other")
    desk.now += limits.TRANSFER_TURN_S + 1
    desk.ask("slow")
    desk.ask("other")
    desk.end(open_ones[0])
    assert not desk.ask("other").id
    assert desk.ask("slow").id


def test_places_are_forgotten(desk: Desk) -> None:
    full(desk)
    desk.ask("gone")
    desk.now += limits.TRANSFER_TURN_MEMORY_S + 1
    desk.ask("other")
    with desk.index.read() as tx:
        assert turns.waiting(tx, 0.0, "") == 1


def test_places_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRANSFER_TURNS", 3)
    full(desk)
    assert {desk.ask(f"{number}").id for number in range(9)} == {""}
    with desk.index.read() as tx:
        assert turns.waiting(tx, 0.0, "") == 3


def test_a_repeated_request_means_the_same_push(desk: Desk) -> None:
    """Its answer was lost, or damaged: no slot is lost with it."""
    first = desk.ask("job", username="alice")
    assert [desk.ask("job", username="alice").id for _ in range(5)] == [first.id] * 5
    desk.end(first)
    assert desk.ask("job", username="alice").id not in ("", first.id)


@pytest.mark.parametrize(
    "other",
    [
        lambda desk: desk.ask("another job", username="alice"),
        lambda desk: desk.ask("job", b"other instances", username="alice"),
        lambda desk: desk.ask("job", username="bob"),
    ],
)
def test_another_request_means_another_push(desk: Desk, other: Callable[[Desk], Opened]) -> None:
    first = desk.ask("job", username="alice")
    assert other(desk).id not in ("", first.id)


def test_who_does_not_say_who_it_is_gets_a_new_push_each_time(desk: Desk) -> None:
    assert desk.ask("").id != desk.ask("").id
    assert not desk.ask("").id
