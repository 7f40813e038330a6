"""Idle associations: used again, given up in time, never trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from tests.support.jobs import eventually
from tests.support.scp import Scp, taking
from wherry import limits
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.pdu import ReleaseRequest
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.negotiation import Kind, Proposal, Recoding, proposals
from wherry.modalities.associations.pool import AssociationPool, Line

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
LONG_S = 3600.0


def proposal(*classes: str) -> Proposal:
    [found] = proposals([Kind(one, EXPLICIT) for one in classes], Recoding())
    return found


@pytest.fixture
def scp() -> Iterator[Scp]:
    with taking() as found:
        yield found


@pytest.fixture
def pool() -> Iterator[AssociationPool]:
    found = Watched(LONG_S)
    yield found
    found.close()
    for line in found.opened:
        line.association.abort()


class Watched(AssociationPool):
    """Knows what it gave away."""

    def __init__(self, idle_s: float) -> None:
        super().__init__(idle_s)
        self.opened: list[Line] = []

    def open(
        self,
        target: Target,
        proposal: Proposal,
        begun: Callable[[Association], None] = lambda one: None,
    ) -> Line:
        self.opened.append(super().open(target, proposal, begun))
        return self.opened[-1]


def there(scp: Scp, **changed: object) -> Target:
    found = Target("THEM", "US", "127.0.0.1", scp.port, 20)
    return dataclasses.replace(found, **changed)  # type: ignore[arg-type]


def test_one_that_is_idle_is_used_again(scp: Scp, pool: AssociationPool) -> None:
    first = pool.open(there(scp), proposal(CT, MR))
    assert not first.reused
    pool.give_back(first)
    known: list[Association] = []
    second = pool.open(there(scp, timeout_s=7), proposal(CT), known.append)
    assert second.association is first.association
    assert second.reused
    assert known == [second.association]
    assert second.association.connection.timeout_s == 7
    assert len(scp.requests) == 1


def test_never_by_two(scp: Scp, pool: AssociationPool) -> None:
    pool.give_back(pool.open(there(scp), proposal(CT)))
    one, other = pool.open(there(scp), proposal(CT)), pool.open(there(scp), proposal(CT))
    assert one.association is not other.association


@pytest.mark.parametrize("changed", [{"called": "X"}, {"calling": "X"}, {"host": "localhost"}])
def test_not_for_another_target(scp: Scp, pool: AssociationPool, changed: dict[str, str]) -> None:
    first = pool.open(there(scp), proposal(CT))
    pool.give_back(first)
    second = pool.open(there(scp, **changed), proposal(CT))
    assert second.association is not first.association
    assert not first.association.ended


def test_one_that_cannot_serve_makes_room(scp: Scp, pool: AssociationPool) -> None:
    """Some systems take one association at a time."""
    first = pool.open(there(scp), proposal(CT))
    pool.give_back(first)
    second = pool.open(there(scp), proposal(CT, MR))
    assert second.association is not first.association
    assert first.association.ended
    assert scp.events[0] == "release"


@pytest.mark.parametrize("how", ["close", "release"])
def test_one_that_the_other_end_gave_up(scp: Scp, pool: AssociationPool, how: str) -> None:
    first = pool.open(there(scp), proposal(CT))
    pool.give_back(first)
    [caller] = scp.callers
    if how == "close":
        caller.close()
    else:
        caller.send(ReleaseRequest())
    eventually(first.association.ready)
    second = pool.open(there(scp), proposal(CT))
    assert second.association is not first.association
    assert not second.reused
    assert first.association.ended


def test_the_time_is_over(scp: Scp) -> None:
    pool = AssociationPool(0.05)
    line = pool.open(there(scp), proposal(CT))
    pool.give_back(line)
    eventually(lambda: line.association.ended)
    eventually(lambda: pool._thread is None, "the end of the thread")
    assert scp.events[0] == "release"
    again = pool.open(there(scp), proposal(CT))
    pool.give_back(again)
    eventually(lambda: again.association.ended)


def test_none_is_kept_when_none_should_be(scp: Scp) -> None:
    pool = AssociationPool(0)
    line = pool.open(there(scp), proposal(CT))
    pool.give_back(line)
    assert line.association.ended


def test_one_that_has_ended_is_not_kept(scp: Scp, pool: AssociationPool) -> None:
    line = pool.open(there(scp), proposal(CT))
    line.association.abort()
    pool.give_back(line)
    assert not pool.open(there(scp), proposal(CT)).reused


def test_no_more_than_there_is_room_for(
    scp: Scp, pool: AssociationPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_ASSOCIATIONS", 3)
    monkeypatch.setattr(limits, "IDLE_ASSOCIATIONS_OF_ONE", 2)
    lines = [pool.open(there(scp), proposal(CT)) for _ in range(3)]
    others = [pool.open(there(scp, called="X"), proposal(CT)) for _ in range(2)]
    for line in [*lines, *others]:
        pool.give_back(line)
    ended = [line.association.ended for line in [*lines, *others]]
    assert ended == [False, False, True, False, True]


def test_the_end(scp: Scp) -> None:
    pool = AssociationPool(LONG_S)
    idle, used = pool.open(there(scp), proposal(CT)), pool.open(there(scp), proposal(CT))
    pool.give_back(idle)
    pool.close()
    assert idle.association.ended
    assert not used.association.ended
    pool.give_back(used)
    assert used.association.ended
    eventually(lambda: pool._thread is None, "the end of the thread")
