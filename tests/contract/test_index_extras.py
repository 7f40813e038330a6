"""What hangs on many resources at once, on both databases: like one by one, and in one go."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.staged import staged
from wherry import limits
from wherry.errors import BadRequest, NoRoom, TooLarge, UnknownResource
from wherry.index import attachments, deletions, extras, labels, metadata, resources
from wherry.index.database import Index
from wherry.index.extras import Extras, Outcome
from wherry.index.recycling import Bounds
from wherry.model import Attachment, Level, Statistics

ONE, TWO = staged(), staged(series="1.2.1.2", sop="1.2.1.2.1")
OTHER = staged("P2", "1.2.2", "1.2.2.1", "1.2.2.1.1")
IDS = ONE.summary.identifiers
BOTH = [IDS.instance, TWO.summary.identifiers.instance]


@pytest.fixture(autouse=True)
def stored(index: Index) -> None:
    batch = [ONE, TWO, OTHER]
    index.write(lambda tx: resources.add_instances(tx, batch, overwrite=False))


def made(number: int = 1100, size: int = 100) -> Attachment:
    md5 = f"{size:032x}"
    return Attachment(str(uuid4()), number, size, md5, size // 2, md5)


def put(
    index: Index, *brought: Extras, overwrite: bool = False, bounds: Bounds | None = None
) -> Outcome:
    return index.write(lambda tx: extras.put(tx, brought, BOTH, overwrite=overwrite, bounds=bounds))


def around(index: Index, instances: list[str] = BOTH) -> list[Extras]:
    with index.read() as tx:
        return extras.around(tx, instances)


def changes(index: Index) -> list[tuple[int, int]]:
    with index.read() as tx:
        return tx.all(
            "SELECT change_type, level FROM changes WHERE change_type IN (15, 16) ORDER BY seq"
        )


def totals(index: Index) -> Statistics:
    with index.read() as tx:
        return resources.statistics(tx)


def on_every_level() -> list[Extras]:
    return [
        Extras(level, IDS.at(level), {1024: f"ä {level}", 65535: ""}, ("A", "b"), (made(),))
        for level in Level
    ]


def test_what_is_put_is_found_around_the_instances(index: Index) -> None:
    assert around(index) == []
    brought = on_every_level()
    before = totals(index)
    assert put(index, *brought) == Outcome()
    assert around(index) == brought
    assert around(index, [IDS.instance]) == brought
    assert around(index, BOTH[1:]) == brought[:2]
    assert around(index, [OTHER.summary.identifiers.instance, "unknown"]) == []
    assert sorted(changes(index)) == [(kind, level) for kind in (15, 16) for level in range(1, 5)]
    after = totals(index)
    assert after.disk_bytes == before.disk_bytes + 4 * 50
    assert after.uncompressed_bytes == before.uncompressed_bytes + 4 * 100
    with index.read() as tx:
        assert metadata.of_one(tx, Level.STUDY, IDS.study)[1024] == ("ä 2", 0)  # type: ignore[index]
        assert labels.of_one(tx, Level.SERIES, IDS.series) == ["A", "b"]
        known = extras.there(tx, [(one.level, one.orthanc_id) for one in brought])
    assert known == {(one.orthanc_id, 1100): one.attachments[0] for one in brought}


def test_what_the_server_notes_does_not_travel(index: Index) -> None:
    index.write(lambda tx: metadata.put(tx, Level.STUDY, IDS.study, 5, "from another"))
    index.write(lambda tx: attachments.put(tx, Level.STUDY, IDS.study, made(1023)))
    assert around(index) == []


def test_again_nothing_happens(index: Index) -> None:
    brought = on_every_level()
    put(index, *brought)
    before, log = totals(index), changes(index)
    again = [replace(one, attachments=(made(),)) for one in brought]
    for overwrite in (False, True):
        outcome = put(index, *again, overwrite=overwrite)
        assert outcome == Outcome(0, [one.attachments[0].uuid for one in again])
        told = [replace(one, attachments=(replace(made(), uuid=""),)) for one in brought]
        assert put(index, *told, overwrite=overwrite) == Outcome()
    assert around(index) == brought
    assert (totals(index), changes(index)) == (before, log)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_differs(index: Index, overwrite: bool) -> None:
    old, new = made(), made(size=300)
    put(index, Extras(Level.STUDY, IDS.study, {1024: "old", 1025: "same"}, ("old",), (old,)))
    before, log = totals(index), len(changes(index))
    values = {1024: "new", 1025: "same", 1026: "more"}
    brought = Extras(Level.STUDY, IDS.study, values, ("new",), (new, made(1101)))
    outcome = put(index, brought, overwrite=overwrite)
    (found,) = around(index)
    assert found.labels == ("new", "old")
    assert found.metadata == {**values, 1024: "new" if overwrite else "old"}
    with index.read() as tx:
        pending = deletions.pending(tx, 10)
        entries = metadata.of_one(tx, Level.STUDY, IDS.study) or {}
    more = brought.attachments[1]
    if overwrite:
        assert outcome == Outcome()
        assert found.attachments == (replace(new, revision=1), more)
        assert pending == [(old.uuid, old.place)]
        assert totals(index).disk_bytes == before.disk_bytes + 100 + 50
    else:
        assert outcome == Outcome(2, [new.uuid])
        assert found.attachments == (old, more)
        assert pending == []
        assert totals(index).disk_bytes == before.disk_bytes + 50
    assert [entries[n].revision for n in (1024, 1025, 1026)] == [int(overwrite), 0, 0]
    assert changes(index)[log:] == [(16, 2), (15, 2)]


def test_what_is_not_there_any_more(index: Index) -> None:
    told = Extras(Level.STUDY, IDS.study, {1024: "x"}, ("x",), (replace(made(), uuid=""),))
    with pytest.raises(UnknownResource):
        put(index, told)
    index.write(lambda tx: attachments.put(tx, Level.STUDY, IDS.study, made(size=7)))
    assert put(index, told).kept_other == 1
    with pytest.raises(UnknownResource):
        put(index, told, overwrite=True)
    index.write(lambda tx: resources.delete(tx, Level.INSTANCE, IDS.instance))
    with pytest.raises(UnknownResource):
        put(index)
    assert around(index)[0].metadata == {1024: "x"}


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (Level.STUDY, OTHER.summary.identifiers.study),
        (Level.INSTANCE, OTHER.summary.identifiers.instance),
        (Level.SERIES, IDS.study),
        (Level.PATIENT, "unknown"),
    ],
)
def test_what_has_nothing_to_do_with_the_instances(index: Index, level: Level, name: str) -> None:
    with pytest.raises(BadRequest):
        put(index, Extras(Level.STUDY, IDS.study, {}, ("x",)), Extras(level, name, {}, ("y",)))
    assert around(index) == []


def test_bounds_of_a_resource(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE", 3)
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE_CHARACTERS", 30)
    monkeypatch.setattr(limits, "LABELS_OF_RESOURCE", 2)
    put(index, Extras(Level.STUDY, IDS.study, {1024: "x" * 10, 1025: ""}, ("a",)))
    for values, words in (
        ({1030: "", 1031: ""}, ()),
        ({1030: "y" * 21}, ()),
        ({}, ("b", "c")),
    ):
        with pytest.raises(TooLarge):
            put(index, Extras(Level.STUDY, IDS.study, values, words))
    put(index, Extras(Level.STUDY, IDS.study, {1025: "", 1030: "y" * 20}, ("a", "b")))
    monkeypatch.setattr(limits, "EXTRAS_BYTES", 29)
    with pytest.raises(TooLarge):
        around(index)


def test_more_resources_than_are_held_at_once(index: Index) -> None:
    batch = [staged(sop=f"1.2.1.1.{n}") for n in range(2, 252)]
    index.write(lambda tx: resources.add_instances(tx, batch, overwrite=False))
    names = sorted(one.summary.identifiers.instance for one in batch)
    brought = [Extras(Level.INSTANCE, name, {1024: name}, ("x",), (made(),)) for name in names]
    index.write(lambda tx: extras.put(tx, brought, names, overwrite=False))
    assert around(index, names) == brought
    assert len(changes(index)) == 500


def test_room_for_attachments(index: Index) -> None:
    """Others go; those that the transfer is about do not."""
    used = totals(index).disk_bytes
    tight = Bounds(maximum_bytes=used + 10)
    study = Extras(Level.STUDY, IDS.study, {}, (), (made(),))
    put(index, study, bounds=tight)
    with index.read() as tx:
        assert resources.list_ids(tx, Level.PATIENT) == [IDS.patient]
    with pytest.raises(NoRoom):
        put(index, Extras(Level.SERIES, IDS.series, {}, ("x",), (made(size=10_000),)), bounds=tight)
    assert around(index) == [study]
    grown = Bounds(maximum_bytes=totals(index).disk_bytes + 100)
    bigger = replace(study, attachments=(made(size=300),))
    put(index, bigger, overwrite=True, bounds=grown)
    assert around(index)[0].attachments[0].uuid == bigger.attachments[0].uuid
