"""Resources described anew, and what is signed of them, on both databases."""

from __future__ import annotations

import pytest

from tests.support.staged import staged
from wherry.errors import BadFileFormat
from wherry.index import metadata, refreshing, resources
from wherry.index.database import Index
from wherry.index.refreshing import Read
from wherry.model import Level, StagedInstance

SIGNED = {level: f"signature {level:d}" for level in Level}
NEW = (
    {"0010,0010": "ROE^RICHARD"},
    {"0008,0020": "20250505", "0008,1030": "new"},
    {"0008,103e": "new", "0020,0105": "1", "0020,1002": "2"},
    {"0020,0013": "2"},
)


def add(index: Index, *batch: StagedInstance, signed: bool = False) -> None:
    signatures = SIGNED if signed else {}
    index.write(
        lambda tx: resources.add_instances(tx, batch, overwrite=True, signatures=signatures)
    )


def refresh(index: Index, *read: StagedInstance, uuid: str = "") -> set[int]:
    files = [Read(uuid or one.attachment.uuid, one.summary) for one in read]
    return index.write(lambda tx: refreshing.refresh(tx, files, tuple(Level), SIGNED))


def signatures(index: Index, one: StagedInstance) -> list[str | None]:
    found = []
    with index.read() as tx:
        for level in Level:
            entries = metadata.of_one(tx, level, one.summary.identifiers.at(level)) or {}
            found.append(entries[15].value if 15 in entries else None)
    return found


def test_all_that_follows_from_the_file_is_written(index: Index) -> None:
    old = staged()
    add(index, old)
    assert signatures(index, old) == [None] * 4
    new = staged(uuid=old.attachment.uuid, tags=NEW)
    for _ in range(2):
        assert len(refresh(index, new)) == 4
    assert signatures(index, old) == list(SIGNED.values())
    ids = old.summary.identifiers
    with index.read() as tx:
        shown = [resources.get(tx, level, ids.at(level)) for level in Level]
        assert [one and one.tags for one in shown] == list(new.summary.tags)
        study, series, instance = shown[1:]
        assert study and study.patient_tags["0010,0010"] == "ROE^RICHARD"
        assert series and (series.expected_instances, series.status) == (2, "Missing")
        assert instance and instance.index_in_series == 2
        key = tx.one("SELECT study_description, patient_name FROM studies")
        assert key == ("new", "roe^richard")
        assert resources.files_of(tx, [ids.instance])[ids.instance] == old.attachment


def test_the_first_of_several_describes_their_parents(index: Index) -> None:
    batch = [staged(sop=str(n), tags=({}, {"0008,1030": str(n)}, {}, {})) for n in range(3)]
    add(index, *batch)
    written = refresh(index, batch[2], batch[1])
    study = batch[0].summary.identifiers.study
    with index.read() as tx:
        found = resources.get(tx, Level.STUDY, study)
    assert found and found.tags["0008,1030"] == "2"
    files = [Read(batch[0].attachment.uuid, batch[0].summary)]
    again = index.write(lambda tx: refreshing.refresh(tx, files, tuple(Level), {}, written))
    assert len(again) == 1  # the instance alone
    with index.read() as tx:
        found = resources.get(tx, Level.STUDY, study)
    assert found and found.tags["0008,1030"] == "2"


def test_an_instance_that_is_gone_or_replaced_is_left_alone(index: Index) -> None:
    one = staged()
    add(index, one)
    assert refresh(index, staged(sop="9.9")) == set()
    assert refresh(index, staged(tags=NEW), uuid="another-file") == set()
    with index.read() as tx:
        found = resources.get(tx, Level.STUDY, one.summary.identifiers.study)
    assert found and "0008,1030" not in found.tags


def test_what_cannot_be_written_changes_nothing(index: Index) -> None:
    one = staged()
    add(index, one)
    bad = staged(
        uuid=one.attachment.uuid, tags=({"0010,0010": "new"}, {"0008,1030": "\ud800"}, {}, {})
    )
    with pytest.raises(BadFileFormat):
        refresh(index, bad)
    with index.read() as tx:
        found = resources.get(tx, Level.PATIENT, one.summary.identifiers.patient)
    assert found and found.tags["0010,0010"] == "DOE^JANE"


def test_new_resources_are_signed_and_replaced_ones_anew(index: Index) -> None:
    one, two = staged(), staged(sop="2")
    add(index, one, signed=True)
    assert signatures(index, one) == list(SIGNED.values())
    add(index, staged(uuid="newer"), signed=True)
    assert signatures(index, one) == list(SIGNED.values())
    add(index, two)
    assert signatures(index, two) == [*list(SIGNED.values())[:3], None]
    add(index, staged(uuid="newest"), staged(sop="2", uuid="also"))
    assert signatures(index, one) == [None] * 4
