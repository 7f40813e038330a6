"""Which studies were used when, and where their files are, on both databases; who leads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.staged import staged
from wherry import clock
from wherry.index import leading, processes, resources, tiers
from wherry.index.database import Index
from wherry.index.processes import ProcessRow

FIRST = (float("-inf"), 0)
THERE = "object-storage:.dcm:"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, in its one element."""
    moment = [0.0]
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(moment[0], UTC))
    yield moment


def add(index: Index, patient: str, study: str, place: str = "", sop: str = "1") -> str:
    one = staged(patient, study, f"{study}.1", f"{study}.1.{sop}", size=100)
    object.__setattr__(one.attachment, "place", place)
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    return one.summary.identifiers.study


def used(index: Index, before: float = 1e9, limit: int = 10) -> list[tuple[float, str]]:
    with index.read() as tx:
        return [(one.used_at, one.orthanc_id) for one in tiers.used_least(tx, before, FIRST, limit)]


def row(index: Index, study: str) -> int:
    with index.read() as tx:
        found = tx.one("SELECT id FROM studies WHERE orthanc_id = ?", (study,))
    assert found is not None
    return int(found[0])


def test_studies_in_order_of_use(index: Index, now: list[float]) -> None:
    studies = []
    for number in range(4):
        now[0] = 100.0 * number
        studies.append(add(index, "A", f"1.2.{number}"))
    assert used(index) == [(100.0 * number, studies[number]) for number in range(4)]
    assert used(index, 200.0) == [(0.0, studies[0]), (100.0, studies[1])]
    index.write(lambda tx: tiers.read(tx, [row(index, studies[0])], 250.0))
    assert [study for _, study in used(index)] == [studies[n] for n in (1, 2, 0, 3)]
    index.write(lambda tx: tiers.went_away(tx, [row(index, studies[1])], 260.0))
    assert [study for _, study in used(index)] == [studies[n] for n in (2, 0, 3)]
    now[0] = 270.0  # something is added to what had gone
    add(index, "A", "1.2.1", sop="2")
    assert [study for _, study in used(index)] == [studies[n] for n in (2, 0, 1, 3)]
    with index.read() as tx:
        first, second = tiers.used_least(tx, 1e9, FIRST, 2)
        behind = tiers.used_least(tx, 1e9, (second.used_at, second.row), 10)
    assert [one.orthanc_id for one in (first, second, *behind)] == [
        studies[n] for n in (2, 0, 1, 3)
    ]


def test_what_is_local(index: Index) -> None:
    one = add(index, "A", "1.2.1")
    add(index, "A", "1.2.1", "file-system::W1=x", sop="2")
    add(index, "A", "1.2.1", THERE, sop="3")
    other = add(index, "B", "1.2.2", THERE)
    with index.read() as tx:
        assert tiers.local_bytes(tx) == 200
        found = tiers.local_bytes_of(tx, [row(index, one), row(index, other)])
    assert found == {row(index, one): 200}


def test_older_studies_of_a_patient_that_are_away(index: Index) -> None:
    first, second = add(index, "A", "1.2.1", THERE), add(index, "A", "1.2.2")
    add(index, "B", "1.2.3", THERE)
    newer = add(index, "A", "1.2.4")
    with index.read() as tx:
        assert tiers.older_and_away(tx, [newer]) == [first]
        assert tiers.older_and_away(tx, [newer, second]) == [first]
        assert tiers.older_and_away(tx, [first]) == []


def test_one_leads_as_long_as_it_lives(index: Index) -> None:
    for process in ("a", "b"):
        one = ProcessRow(process, "host", 1, "1", 0.0)
        index.write(lambda tx, one=one: processes.register(tx, one))  # type: ignore[misc]
    assert leading.leads(index, "this", "a")
    assert leading.leads(index, "this", "a")
    assert not leading.leads(index, "this", "b")
    assert leading.leads(index, "that", "b")
    index.write(lambda tx: processes.forget(tx, "a"))
    assert leading.leads(index, "this", "b")
