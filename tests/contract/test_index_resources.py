"""Adding, reading and removing resources, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.support.staged import staged, study
from wherry import clock, limits
from wherry.config.names import METADATA_NAMES
from wherry.errors import BadFileFormat, UnknownResource
from wherry.index import (
    changes,
    deletions,
    metadata,
    processes,
    resources,
    stability,
    staging,
)
from wherry.index.database import Index, Transaction
from wherry.index.processes import ProcessRow
from wherry.model import ChangeType, Level, Origin, StagedInstance, Statistics, Stored, StoreStatus

SUCCESS, ALREADY = StoreStatus.SUCCESS, StoreStatus.ALREADY_STORED


def add(index: Index, *batch: StagedInstance, overwrite: bool = False) -> list[Stored]:
    return index.write(lambda tx: resources.add_instances(tx, batch, overwrite=overwrite))


def statuses(stored: list[Stored]) -> list[StoreStatus]:
    return [one.status for one in stored]


def statistics(index: Index) -> Statistics:
    with index.read() as tx:
        return resources.statistics(tx)


def counted(index: Index) -> Statistics:
    """The statistics, counted row by row."""
    with index.read() as tx:
        counts = [tx.one(f"SELECT count(*) FROM {level.plural}") for level in Level]
        sizes = tx.one(
            "SELECT coalesce(sum(compressed_size), 0), coalesce(sum(uncompressed_size), 0)"
            " FROM attachments"
        )
    assert sizes is not None
    return Statistics(*(row[0] for row in counts if row), int(sizes[0]), int(sizes[1]))


def log(index: Index) -> list[tuple[str, str]]:
    with index.read() as tx:
        found = changes.page(tx, 0, 10_000).changes
    return [(change.change_type.name, change.orthanc_id) for change in found]


def core_metadata(tx: Transaction, instance: str) -> dict[str, str]:
    """By name."""
    found = metadata.of_one(tx, Level.INSTANCE, instance)
    assert found is not None
    return {METADATA_NAMES[number]: entry.value for number, entry in found.items()}


def journal(index: Index) -> set[str]:
    with index.read() as tx:
        return {uuid for uuid, _ in deletions.pending(tx, 10_000)}


def test_one_instance_brings_its_parents(index: Index) -> None:
    one = staged(
        tags=({"0010,1000": ""}, {"0008,1030": "Tête"}, {}, {"0020,0013": " 7 "}), size=526_106
    )
    ids = one.summary.identifiers
    assert add(index, one) == [Stored(ids, SUCCESS)]
    assert log(index) == [
        ("NewInstance", ids.instance),
        ("NewSeries", ids.series),
        ("NewStudy", ids.study),
        ("NewPatient", ids.patient),
    ]
    with index.read() as tx:
        patient = resources.get(tx, Level.PATIENT, ids.patient)
        study_ = resources.get(tx, Level.STUDY, ids.study)
        series = resources.get(tx, Level.SERIES, ids.series)
        instance = resources.get(tx, Level.INSTANCE, ids.instance)
        assert resources.get(tx, Level.INSTANCE, ids.series) is None
        assert resources.attachment(tx, Level.INSTANCE, ids.instance) == one.attachment
        assert resources.attachment(tx, Level.INSTANCE, ids.instance, 1024) is None
        noted = core_metadata(tx, ids.instance)
    assert patient and study_ and series and instance
    assert (patient.parent, patient.children) == (None, (ids.study,))
    assert patient.tags == {"0010,0020": "P1", "0010,0010": "DOE^JANE", "0010,1000": ""}
    assert (study_.parent, study_.children) == (ids.patient, (ids.series,))
    assert study_.tags["0008,1030"] == "Tête"
    assert study_.patient_tags == patient.tags
    assert (series.parent, series.children) == (ids.study, (ids.instance,))
    assert (series.expected_instances, series.status) == (None, "Unknown")
    assert not series.is_stable
    assert len(series.last_update) == len("20240131T101112")
    assert (instance.parent, instance.children) == (ids.series, ())
    assert instance.index_in_series == 7
    assert (instance.file_size, instance.file_uuid) == (526_106, one.attachment.uuid)
    assert noted == {
        "IndexInSeries": "7",
        "RemoteAET": "",
        "ReceptionDate": "20240131T101112",
        "Origin": "RestApi",
        "TransferSyntax": "1.2.840.10008.1.2.1",
        "SopClassUid": "1.2.840.10008.5.1.4.1.1.2",
        "RemoteIP": "127.0.0.1",
        "HttpUsername": "alice",
        "PixelDataOffset": "1024",
    }
    assert statistics(index) == Statistics(1, 1, 1, 1, 526_106, 526_106) == counted(index)


def test_a_batch_is_stored_wholly_and_in_order(index: Index) -> None:
    batch = study(250)
    assert statuses(add(index, *batch)) == [SUCCESS] * 250
    ids = [one.summary.identifiers for one in batch]
    with index.read() as tx:
        assert resources.list_ids(tx, Level.INSTANCE) == [one.instance for one in ids]
        assert resources.list_ids(tx, Level.INSTANCE, 248, 10) == [
            one.instance for one in ids[248:]
        ]
        assert resources.list_ids(tx, Level.INSTANCE, 0, 0) == []
        assert resources.descendants(tx, Level.STUDY, ids[0].study, Level.INSTANCE) == [
            one.instance for one in ids
        ]
        assert resources.descendants(tx, Level.STUDY, "unknown", Level.SERIES) is None
        assert resources.descendants(tx, Level.SERIES, ids[0].series, Level.SERIES) == [
            ids[0].series
        ]
        assert (
            resources.ancestor(tx, Level.INSTANCE, ids[9].instance, Level.PATIENT) == ids[9].patient
        )
        assert (
            resources.ancestor(tx, Level.INSTANCE, ids[9].instance, Level.SERIES) == ids[9].series
        )
        assert resources.ancestor(tx, Level.INSTANCE, "unknown", Level.SERIES) is None
        files = resources.files_under(tx, Level.PATIENT, ids[0].patient)
        assert files == sorted((one.summary.identifiers.instance, one.attachment) for one in batch)
        assert resources.files_under(tx, Level.PATIENT, "unknown") is None
        some = [ids[3].instance, "unknown", ids[1].instance]
        assert resources.files_of(tx, some) == {
            ids[n].instance: batch[n].attachment for n in (1, 3)
        }
        many = resources.get_many(tx, Level.INSTANCE, some)
        assert [one.orthanc_id for one in many] == [ids[3].instance, ids[1].instance]
        assert resources.get_many(tx, Level.SERIES, []) == []
        below = resources.statistics_of(tx, Level.STUDY, ids[0].study)
        assert below == Statistics(0, 1, 3, 250, 250_000, 250_000, 250_000, 250_000)
    assert statistics(index) == Statistics(1, 1, 3, 250, 250_000, 250_000) == counted(index)


def test_a_large_batch_is_written_piece_by_piece(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", 7)
    batch = study(30, series_size=10)
    add(index, *batch)
    assert statistics(index) == Statistics(1, 1, 3, 30, 30_000, 30_000) == counted(index)
    with index.read() as tx:
        seqs = [change.seq for change in changes.page(tx, 0, 100).changes]
    assert seqs == list(range(1, 30 + 3 + 1 + 1 + 1))


def test_an_instance_is_stored_once(index: Index) -> None:
    first, again = staged(), staged()
    assert statuses(add(index, first)) == [SUCCESS]
    before = log(index)
    assert statuses(add(index, again, staged(sop="1.9"), staged(sop="1.9"))) == [
        ALREADY,
        SUCCESS,
        ALREADY,
    ]
    assert log(index)[: len(before)] == before
    assert len(log(index)) == len(before) + 1
    assert journal(index) == set()
    with index.read() as tx:
        file = resources.attachment(tx, Level.INSTANCE, first.summary.identifiers.instance)
    assert file == first.attachment
    assert statistics(index) == counted(index)


def test_repeating_a_commit_of_unknown_outcome_does_not_disown_its_files(index: Index) -> None:
    batch = study(3)
    add(index, *batch)
    for overwrite in (False, True):
        assert statuses(add(index, *batch, overwrite=overwrite)) == [SUCCESS] * 3
    assert journal(index) == set()
    assert statistics(index).instances == 3


def test_overwriting_replaces_the_file_and_announces_again(index: Index) -> None:
    old = [staged(sop="1.1", size=10), staged(sop="1.2", size=20)]
    add(index, *old)
    ids = old[0].summary.identifiers
    with index.read() as tx:
        last = changes.last(tx).last
    new = staged(sop="1.1", size=500, tags=({}, {}, {"0008,103e": "new"}, {}))
    assert statuses(add(index, new, overwrite=True)) == [SUCCESS]
    assert journal(index) == {old[0].attachment.uuid}
    with index.read() as tx:
        found = changes.page(tx, last, 100)
        series = resources.get(tx, Level.SERIES, ids.series)
        assert resources.attachment(tx, Level.INSTANCE, ids.instance) == new.attachment
    assert found.done
    assert [(c.change_type, c.orthanc_id) for c in found.changes] == [
        (ChangeType.NewInstance, ids.instance)
    ]
    assert series
    assert series.tags.get("0008,103e") is None  # described by the instance that survives
    assert statistics(index) == Statistics(1, 1, 1, 2, 520, 520) == counted(index)


def test_overwriting_all_of_a_series_describes_it_anew(index: Index) -> None:
    old = study(4)
    add(index, *old)
    ids = old[0].summary.identifiers
    index.write(
        lambda tx: tx.run(
            "INSERT INTO labels (resource, label)"
            " SELECT id, 'keep' FROM studies WHERE orthanc_id = ?",
            (ids.study,),
        )
    )
    new = [
        staged(
            study=one.summary.tags[1]["0020,000d"],
            series=one.summary.tags[2]["0020,000e"],
            sop=one.summary.tags[3]["0008,0018"],
            tags=({}, {}, {"0008,103e": "new"}, {}),
        )
        for one in old
    ]
    add(index, *new, overwrite=True)
    with index.read() as tx:
        series = resources.get(tx, Level.SERIES, ids.series)
        study_ = resources.get(tx, Level.STUDY, ids.study)
    assert series and study_
    assert series.tags["0008,103e"] == "new"
    assert study_.labels == ("keep",)
    names = [name for name, _ in log(index)]
    assert names == ["NewInstance", "NewSeries", "NewStudy", "NewPatient"] + ["NewInstance"] * 3
    assert journal(index) == {one.attachment.uuid for one in old}
    assert statistics(index) == counted(index)


def test_the_last_of_equal_instances_in_a_batch_overwrites(index: Index) -> None:
    first, second = staged(size=1), staged(size=2)
    assert statuses(add(index, first, second, overwrite=True)) == [SUCCESS, SUCCESS]
    with index.read() as tx:
        found = resources.attachment(tx, Level.INSTANCE, first.summary.identifiers.instance)
    assert found == second.attachment
    assert journal(index) == {first.attachment.uuid}
    assert statistics(index) == counted(index)


def test_a_batch_that_cannot_be_stored_leaves_nothing(index: Index) -> None:
    broken = staged(sop="1.2", tags=({}, {}, {}, {"0020,4000": "\ud800"}))
    with pytest.raises(BadFileFormat):
        add(index, staged(sop="1.1"), broken)
    taken = str(uuid4())
    with pytest.raises(Exception, match=r"SQLite|PostgreSQL"):
        add(index, staged(sop="1.1", uuid=taken), staged(sop="1.2", uuid=taken))
    assert log(index) == []
    assert statistics(index) == Statistics(0, 0, 0, 0, 0, 0) == counted(index)


def test_strange_values_are_kept(index: Index) -> None:
    long = "x" * 60_000
    one = staged(tags=({"0010,0010": "a\0b"}, {"0008,1030": long}, {}, {}))
    add(index, one)
    with index.read() as tx:
        patient = resources.get(tx, Level.PATIENT, one.summary.identifiers.patient)
        study_ = resources.get(tx, Level.STUDY, one.summary.identifiers.study)
    assert patient and study_
    assert patient.tags["0010,0010"] == "a\0b"
    assert study_.tags["0008,1030"] == long


@pytest.mark.parametrize(
    ("level", "survivor"),
    [(Level.INSTANCE, Level.SERIES), (Level.SERIES, Level.STUDY), (Level.STUDY, Level.PATIENT)],
)
def test_deleting_answers_the_closest_ancestor_that_survives(
    index: Index, level: Level, survivor: Level
) -> None:
    batch = [
        staged(study=f"{a}", series=f"{a}.{b}", sop=f"{a}.{b}.{c}")
        for a in (1, 2)
        for b in (1, 2)
        for c in (1, 2)
    ]
    add(index, *batch)
    target = batch[0].summary.identifiers
    gone = [one for one in batch if one.summary.identifiers.at(level) == target.at(level)]
    answer = index.write(lambda tx: resources.delete(tx, level, target.at(level)))
    assert answer == (survivor, target.at(survivor))
    assert journal(index) == {one.attachment.uuid for one in gone}
    with index.read() as tx:
        assert resources.get(tx, level, target.at(level)) is None
        left = resources.list_ids(tx, Level.INSTANCE)
        for table in ("attachments", "changes", "activity"):
            orphans = tx.all(
                f"SELECT resource FROM {table} WHERE resource NOT IN (SELECT id FROM patients"
                " UNION SELECT id FROM studies UNION SELECT id FROM series"
                " UNION SELECT id FROM instances)"
            )
            assert orphans == []
    assert left == [one.summary.identifiers.instance for one in batch if one not in gone]
    assert statistics(index) == counted(index)
    kept = {one.summary.identifiers.at(at) for one in batch if one not in gone for at in Level}
    assert {orthanc_id for _, orthanc_id in log(index)} == kept


@pytest.mark.parametrize("level", list(Level))
def test_parents_without_children_go_too(index: Index, level: Level) -> None:
    one = staged()
    add(index, one)
    answer = index.write(lambda tx: resources.delete(tx, level, one.summary.identifiers.at(level)))
    assert answer is None
    assert log(index) == []
    assert statistics(index) == Statistics(0, 0, 0, 0, 0, 0) == counted(index)
    with pytest.raises(UnknownResource):
        index.write(lambda tx: resources.delete(tx, level, one.summary.identifiers.at(level)))


def test_resources_become_stable_once_and_stay_so_until_something_arrives(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2024, 1, 31, 10, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: start)
    one = staged()
    ids = one.summary.identifiers
    add(index, one)
    arrived = start.timestamp()
    assert index.write(lambda tx: stability.mark_stable(tx, arrived, 10)) == 0
    assert index.write(lambda tx: stability.mark_stable(tx, arrived + 1, 2)) == 2
    assert index.write(lambda tx: stability.mark_stable(tx, arrived + 1, 2)) == 1
    assert index.write(lambda tx: stability.mark_stable(tx, arrived + 1, 2)) == 0
    assert log(index)[-3:] == [
        ("StableSeries", ids.series),
        ("StableStudy", ids.study),
        ("StablePatient", ids.patient),
    ]
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(minutes=5))
    add(index, staged(series="1.5", sop="1.5.1"))
    with index.read() as tx:
        series = resources.get(tx, Level.SERIES, ids.series)
        study_ = resources.get(tx, Level.STUDY, ids.study)
    assert series and study_
    assert (series.is_stable, series.last_update) == (True, "20240131T100000")
    assert (study_.is_stable, study_.last_update) == (False, "20240131T100500")


def test_a_series_is_complete_when_all_announced_instances_are_there(index: Index) -> None:
    def numbered(number: int | None, sop: str) -> StagedInstance:
        index = {} if number is None else {"0020,0013": str(number)}
        tags = ({}, {}, {"0020,0105": "1", "0020,1002": "3"}, index)
        return staged(sop=sop, tags=tags)

    series = numbered(1, "1").summary.identifiers.series

    def state() -> tuple[str, int]:
        with index.read() as tx:
            found = resources.get(tx, Level.SERIES, series)
        assert found and found.expected_instances == 3
        return found.status, [name for name, _ in log(index)].count("CompletedSeries")

    add(index, numbered(None, "0"))
    assert state() == ("Missing", 0)
    add(index, numbered(1, "1"), numbered(2, "2"))
    assert state() == ("Missing", 0)
    add(index, numbered(3, "3"))
    assert state() == ("Complete", 1)
    add(index, numbered(3, "3"))
    assert state() == ("Complete", 1)
    add(index, numbered(3, "4"))
    assert state() == ("Inconsistent", 1)


def test_what_an_origin_says_is_metadata(index: Index) -> None:
    origin = Origin("DicomProtocol", "10.0.0.1", "", "SCU", "SCP")
    one = staged(origin=origin)
    add(index, one)
    with index.read() as tx:
        noted = core_metadata(tx, one.summary.identifiers.instance)
        assert metadata.of_one(tx, Level.INSTANCE, "unknown") is None
    assert (noted["RemoteAET"], noted["CalledAET"]) == ("SCU", "SCP")
    assert noted["Origin"] == "DicomProtocol"


def test_the_journal_of_names_knows_what_is_attached(index: Index) -> None:
    one = staged()
    prefix = one.attachment.uuid[:13]
    index.write(lambda tx: staging.open_block(tx, prefix, "me"))
    index.write(lambda tx: staging.open_block(tx, "abcd1234-0000", "me"))
    add(index, one)
    with index.read() as tx:
        assert staging.attached(tx, [one.attachment.uuid, str(uuid4())]) == {one.attachment.uuid}
        assert staging.owners(tx) == ["me"]
        assert set(staging.blocks(tx, "me")) == {prefix, "abcd1234-0000"}
        assert staging.owned(tx, {prefix, "abcd1234-0000"}, "me")
        assert not staging.owned(tx, {prefix, "other"}, "me")
        assert staging.owned(tx, set(), "me")
    index.write(lambda tx: staging.close_block(tx, prefix))
    index.write(lambda tx: staging.close_block(tx, prefix))
    index.write(lambda tx: staging.seize(tx, ["me"], 100.0))
    with index.read() as tx:
        assert staging.blocks(tx, "me") == []
        assert staging.to_sweep(tx, 99.0) == []
        assert staging.to_sweep(tx, 100.0) == [("abcd1234-0000", False, "me")]
    index.write(lambda tx: staging.sweep_again(tx, "abcd1234-0000", 200.0))
    with index.read() as tx:
        assert staging.to_sweep(tx, 199.0) == []
        assert staging.to_sweep(tx, 200.0) == [("abcd1234-0000", True, "me")]


def test_blocks_of_processes_that_are_no_more(index: Index) -> None:
    index.write(lambda tx: processes.register(tx, ProcessRow("lives", "host", 1, "", 0.0)))
    for number, owner in enumerate(("lives", "left", "transfer:1", "job:1", "dead:1", "swept:1")):
        prefix = f"abcd1234-000{number}"
        index.write(lambda tx, p=prefix, o=owner: staging.open_block(tx, p, o))
    with index.read() as tx:
        assert staging.ownerless(tx) == ["left"]


def test_the_journal_of_deletions(index: Index) -> None:
    files = [(str(uuid4()), "") for _ in range(5)]
    moved = (files[0][0], "object-storage:.dcm:")
    index.write(lambda tx: deletions.add(tx, files))
    index.write(lambda tx: deletions.add(tx, [*files[:2], moved]))
    with index.read() as tx:
        assert deletions.pending(tx, 3) == sorted([*files, moved])[:3]
    index.write(lambda tx: deletions.done(tx, "", files))
    with index.read() as tx:
        assert deletions.pending(tx, 10) == [moved]
