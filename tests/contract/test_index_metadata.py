"""Metadata and labels, on both databases."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.staged import staged
from wherry import limits
from wherry.errors import BadRevision, TooLarge, UnknownResource
from wherry.index import labels, metadata, resources
from wherry.index.database import Index
from wherry.index.metadata import Entry
from wherry.model import Level, Origin, Revision


@pytest.fixture
def study(index: Index) -> str:
    """The identifier of a study in the index."""
    one = staged()
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    return one.summary.identifiers.study


def put(
    index: Index, study: str, value: str, claimed: Revision | None = None, *, required: bool = False
) -> Revision:
    return index.write(
        lambda tx: metadata.put(
            tx, Level.STUDY, study, 1024, value, claimed=claimed, required=required
        )
    )


def value(index: Index, study: str) -> Entry | None:
    with index.read() as tx:
        found = metadata.of_one(tx, Level.STUDY, study)
    assert found is not None
    return found.get(1024)


def state(number: int, text: str) -> Revision:
    return Revision(number, hashlib.md5(text.encode()).hexdigest())


def updates(index: Index) -> int:
    with index.read() as tx:
        rows = tx.all("SELECT resource FROM changes WHERE change_type = 16")
    return len(rows)


def test_revisions_count_from_0(index: Index, study: str) -> None:
    assert value(index, study) is None
    for number, text in enumerate(("one", "two", "two", "€\U0001f600")):
        assert put(index, study, text) == state(number, text)
        assert value(index, study) == Entry(text, number)
    assert updates(index) == 4


def test_a_claim_must_be_true(index: Index, study: str) -> None:
    assert put(index, study, "one", Revision(5, "x"), required=True) == state(0, "one")
    for wrong in (state(1, "one"), state(0, "two"), None):
        with pytest.raises(BadRevision):
            put(index, study, "two", wrong, required=True)
    assert put(index, study, "two", state(0, "one"), required=True) == state(1, "two")
    assert put(index, study, "three", Revision(1, ""), required=True) == state(2, "three")
    assert updates(index) == 3


def test_removal(index: Index, study: str) -> None:
    def remove(claimed: Revision | None = None, *, required: bool = False) -> None:
        index.write(
            lambda tx: metadata.remove(
                tx, Level.STUDY, study, 1024, claimed=claimed, required=required
            )
        )

    with pytest.raises(UnknownResource):
        remove()
    put(index, study, "one")
    with pytest.raises(BadRevision):
        remove(required=True)
    with pytest.raises(BadRevision):
        remove(state(1, "one"))
    assert value(index, study) == Entry("one", 0)
    remove(state(0, "one"), required=True)
    assert value(index, study) is None
    assert updates(index) == 2


def test_unknown_resources(index: Index, study: str) -> None:
    for level, name in ((Level.STUDY, "nope"), (Level.SERIES, study)):
        with pytest.raises(UnknownResource):
            index.write(lambda tx, at=level, of=name: metadata.put(tx, at, of, 1024, "x"))
        with pytest.raises(UnknownResource):
            index.write(lambda tx, at=level, of=name: metadata.remove(tx, at, of, 1024))
        with index.read() as tx:
            assert metadata.of_one(tx, level, name) is None


def test_bounds(index: Index, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(index, study, "x")
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE", 1)
    with pytest.raises(TooLarge):
        index.write(lambda tx: metadata.put(tx, Level.STUDY, study, 1025, "x"))
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE_CHARACTERS", 3)
    put(index, study, "€€€")
    with pytest.raises(TooLarge):
        put(index, study, "1234")


def test_what_is_shown_although_it_is_empty(index: Index) -> None:
    shown = {}
    for number, kind in enumerate(("RestApi", "Plugins", "DicomProtocol")):
        one = staged(sop=f"1.2.{number}", origin=Origin(kind, "10.0.0.1"))
        index.write(lambda tx, one=one: resources.add_instances(tx, [one], overwrite=False))
        with index.read() as tx:
            found = metadata.of_one(tx, Level.INSTANCE, one.summary.identifiers.instance)
            series = metadata.of_one(tx, Level.SERIES, one.summary.identifiers.series)
        assert found is not None
        assert series is not None
        assert series[3] == Entry("", 0)
        shown[kind] = sorted(n for n, entry in found.items() if entry.value == "")
    assert shown == {"RestApi": [3, 13], "Plugins": [3], "DicomProtocol": [3]}


def test_labels(index: Index, study: str) -> None:
    for label in ("b", "a", "b"):
        index.write(lambda tx, label=label: labels.put(tx, Level.STUDY, study, label))
    with index.read() as tx:
        assert labels.of_one(tx, Level.STUDY, study) == ["a", "b"]
        assert labels.has(tx, Level.STUDY, study, "a")
        assert not labels.has(tx, Level.STUDY, study, "A")
        assert labels.all_labels(tx) == ["a", "b"]
    for _ in range(2):
        index.write(lambda tx: labels.remove(tx, Level.STUDY, study, "a"))
        with index.read() as tx:
            assert labels.of_one(tx, Level.STUDY, study) == ["b"]
    index.write(lambda tx: resources.delete(tx, Level.STUDY, study))
    with index.read() as tx:
        assert labels.all_labels(tx) == []
        with pytest.raises(UnknownResource):
            labels.of_one(tx, Level.STUDY, study)
        with pytest.raises(UnknownResource):
            labels.has(tx, Level.STUDY, study, "b")
    for change in (labels.put, labels.remove):
        with pytest.raises(UnknownResource):
            index.write(lambda tx, change=change: change(tx, Level.STUDY, study, "b"))


def test_the_bound_on_labels(index: Index, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LABELS_OF_RESOURCE", 1)
    index.write(lambda tx: labels.put(tx, Level.STUDY, study, "a"))
    index.write(lambda tx: labels.put(tx, Level.STUDY, study, "a"))
    with pytest.raises(TooLarge):
        index.write(lambda tx: labels.put(tx, Level.STUDY, study, "b"))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"0020,0013": "7"}, "7"),
        ({"0020,0013": ""}, ""),
        ({"0020,0013": " a "}, "a"),
        ({"0054,1330": "x"}, "x"),
        ({}, None),
    ],
)
def test_the_index_in_the_series_is_a_text(
    index: Index, tags: dict[str, str], expected: str | None
) -> None:
    one = staged(tags=({}, {}, {}, tags))
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    with index.read() as tx:
        found = metadata.of_one(tx, Level.INSTANCE, one.summary.identifiers.instance)
    assert found is not None
    assert (found[1].value if 1 in found else None) == expected
