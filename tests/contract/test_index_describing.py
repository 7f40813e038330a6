"""Resources as lists show them, what is related to them, and removing many, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.staged import staged
from wherry.index import labels, related, resources
from wherry.index.database import Index, Transaction
from wherry.index.totals import load
from wherry.model import Attachment, Level, StagedInstance

BATCH = [
    staged("P1", "1.1", "1.1.1", "1.1.1.1", tags=({}, {}, {"0008,0060": "MR"}, {})),
    staged("P1", "1.1", "1.1.1", "1.1.1.2"),
    staged("P1", "1.1", "1.1.2", "1.1.2.1"),
    staged("P1", "1.2", "1.2.1", "1.2.1.1"),
    staged("P2", "1.3", "1.3.1", "1.3.1.1"),
]


@pytest.fixture
def store(index: Index) -> Index:
    index.write(lambda tx: resources.add_instances(tx, BATCH, overwrite=False))
    return index


def ids(place: int) -> Callable[[Level], str]:
    return BATCH[place].summary.identifiers.at


def rows(tx: Transaction, level: Level, *places: int) -> list[int]:
    return [one.row for one in resources.get_many(tx, level, [ids(n)(level) for n in places])]


def test_the_next_resources_in_order_of_arrival(store: Index) -> None:
    with store.read() as tx:
        first = resources.following(tx, Level.INSTANCE, 2)
        rest = resources.following(tx, Level.INSTANCE, 10, after=first[-1].row, skip=1)
        assert resources.following(tx, Level.INSTANCE, 10, skip=5) == []
    found = [one.orthanc_id for one in (*first, *rest)]
    assert found == [ids(n)(Level.INSTANCE) for n in (0, 1, 3, 4)]


def test_gathered_rows_are_those_of_a_plain_statement(store: Index) -> None:
    source = "FROM instances WHERE id > ? ORDER BY id DESC"
    columns = ("id", "orthanc_id", "pixel_data_offset", "NULL", "tags")
    with store.read() as tx:
        plain = tx.all(f"SELECT {', '.join(columns)} {source}", (0,))
        assert len(plain) == 5
        assert [tuple(row) for row in tx.gather(columns, source, (0,))] == plain
        assert list(tx.gather(columns, source, (10**6,))) == []


@pytest.mark.parametrize("text", ['"', "\\", "\x1f\n\t", "é😀", "\u2028", "','"])
def test_any_text_comes_back_as_it_was(index: Index, text: str) -> None:
    one = staged(tags=({}, {"0008,1030": text}, {}, {}))
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    study = one.summary.identifiers.study
    with index.read() as tx:
        (found,) = resources.following(tx, Level.STUDY, 10)
        assert found == resources.get(tx, Level.STUDY, study)
        assert [found] == resources.get_many(tx, Level.STUDY, [study])
    assert found.tags["0008,1030"] == text


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.SERIES])
def test_children_are_in_order_of_arrival(store: Index, level: Level) -> None:
    with store.read() as tx:
        found = resources.get(tx, level, ids(0)(level))
    assert found is not None
    below = [BATCH[n].summary.identifiers.at(Level(level + 1)) for n in range(4)]
    expected = dict.fromkeys(
        one for n, one in enumerate(below) if ids(n)(level) == found.orthanc_id
    )
    assert found.children == tuple(expected)


def test_labels_and_origins_of_a_resource(store: Index) -> None:
    def change(tx: Transaction) -> None:
        (row,) = rows(tx, Level.STUDY, 0)
        for label in ("zebra", "ant", "Bee"):
            labels.put(tx, Level.STUDY, ids(0)(Level.STUDY), label)
        tx.insert(
            "metadata",
            ("resource", "type", "value", "revision"),
            [(row, 5, "a", 0), (row, 6, "b", 0)],
        )

    store.write(change)
    with store.read() as tx:
        one, other = resources.get_many(tx, Level.STUDY, [ids(n)(Level.STUDY) for n in (0, 3)])
    assert (one.labels, one.modified_from, one.anonymized_from) == (
        ("Bee", "ant", "zebra"),
        "a",
        "b",
    )
    assert (other.labels, other.modified_from, other.anonymized_from) == ((), "", "")


def test_levels_of_identifiers(store: Index) -> None:
    wanted = [ids(0)(level) for level in Level]
    with store.read() as tx:
        assert resources.locate(tx, [*wanted, "unknown"]) == dict(zip(wanted, Level, strict=True))
        assert resources.locate(tx, []) == {}


def test_kin_above_and_below(store: Index) -> None:
    named = [(Level.SERIES, ids(4)(Level.SERIES)), (Level.INSTANCE, ids(0)(Level.INSTANCE))]
    with store.read() as tx:
        for level in (Level.PATIENT, Level.INSTANCE):
            assert resources.kin(tx, named, level) == sorted(ids(n)(level) for n in (0, 4))
        study = [(Level.STUDY, ids(0)(Level.STUDY)), (Level.SERIES, ids(2)(Level.SERIES))]
        expected = sorted(ids(n)(Level.SERIES) for n in (0, 2))
        assert resources.kin(tx, study, Level.SERIES) == expected


def test_lineage(store: Index) -> None:
    with store.read() as tx:
        (row,) = rows(tx, Level.SERIES, 0)
        found = related.lineage(tx, Level.SERIES, [row])
    assert list(found[row]) == [Level.SERIES, Level.STUDY, Level.PATIENT]
    assert found[row][Level.SERIES].row == row
    assert found[row][Level.STUDY].tags["0020,000d"] == "1.1"
    assert found[row][Level.PATIENT].tags["0010,0020"] == "P1"


def test_counts_modalities_and_classes(store: Index) -> None:
    with store.read() as tx:
        one, other = rows(tx, Level.STUDY, 0, 3)
        assert related.counts(tx, Level.STUDY, [one, other], Level.INSTANCE) == {one: 3, other: 1}
        assert related.counts(tx, Level.STUDY, [one, other], Level.SERIES) == {one: 2, other: 1}
        assert related.modalities(tx, [one, other]) == {one: ["CT", "MR"], other: ["CT"]}
        assert related.sop_classes(tx, [one]) == {one: [BATCH[0].summary.sop_class_uid]}


@pytest.mark.parametrize("level", list(Level))
def test_the_first_file_below(store: Index, level: Level) -> None:
    with store.read() as tx:
        one, other = rows(tx, level, 0, 4)
        found = related.first_files(tx, level, [one, other])
        assert found == {one: BATCH[0].attachment, other: BATCH[4].attachment}
        assert related.first_files(tx, level, []) == {}


def test_attachments_by_number(store: Index) -> None:
    more = replace(BATCH[0].attachment, uuid="another", content_type=1024, uncompressed_size=5)

    def attach(tx: Transaction) -> int:
        (row,) = rows(tx, Level.INSTANCE, 0)
        tx.run(
            "INSERT INTO attachments (resource, uuid, content_type, uncompressed_size,"
            " uncompressed_md5, compressed_size, compressed_md5, compression, place, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row, *_values(more)),
        )
        return row

    row = store.write(attach)
    with store.read() as tx:
        assert related.attachments(tx, [row]) == {row: [BATCH[0].attachment, more]}
        found = resources.statistics_of(tx, Level.STUDY, ids(0)(Level.STUDY))
    assert found is not None
    assert (found.series, found.instances) == (2, 3)
    assert (found.uncompressed_bytes, found.dicom_uncompressed_bytes) == (3005, 3000)


def _values(of: Attachment) -> tuple[object, ...]:
    return (
        of.uuid,
        of.content_type,
        of.uncompressed_size,
        of.uncompressed_md5,
        of.compressed_size,
        of.compressed_md5,
        of.compression,
        of.place,
        of.revision,
    )


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ([(0, Level.INSTANCE), (1, Level.INSTANCE)], [2, 3, 4]),
        ([(0, Level.PATIENT), (0, Level.SERIES), (0, Level.INSTANCE)], [4]),
        ([(0, Level.STUDY), (3, Level.INSTANCE)], [4]),
        ([(4, Level.SERIES), (2, Level.STUDY)], [3]),
        ([(4, Level.INSTANCE)], [0, 1, 2, 3]),
        ([(0, Level.PATIENT), (4, Level.PATIENT)], []),
        ([], [0, 1, 2, 3, 4]),
    ],
)
def test_many_are_removed_at_once(
    store: Index, named: list[tuple[int, Level]], left: list[int]
) -> None:
    wanted = [ids(place)(level) for place, level in named]
    found = store.write(lambda tx: resources.delete_many(tx, [*wanted, "unknown", *wanted]))
    assert found == len(named)
    with store.read() as tx:
        for level in Level:
            expected = dict.fromkeys(ids(n)(level) for n in left)
            assert resources.list_ids(tx, level) == list(expected)
        counters = load(tx)
        assert counters.instances == len(left)
        assert counters.patients == len({ids(n)(Level.PATIENT) for n in left})
        assert counters.disk_bytes == sum(BATCH[n].attachment.compressed_size for n in left)
        for table in ("attachments", "metadata", "labels", "changes", "activity"):
            orphans = tx.all(
                f"SELECT resource FROM {table} t WHERE "
                + " AND ".join(
                    f"NOT EXISTS (SELECT 1 FROM {level.plural} r WHERE r.id = t.resource)"
                    for level in Level
                )
            )
            assert orphans == [], table
        gone = {row[0] for row in tx.all("SELECT uuid FROM deleted_files")}
    assert gone == {one.attachment.uuid for n, one in enumerate(BATCH) if n not in left}


def test_files_of_what_was_removed_can_be_stored_again(store: Index) -> None:
    again: StagedInstance = staged("P1", "1.1", "1.1.1", "1.1.1.1")
    store.write(lambda tx: resources.delete_many(tx, [ids(0)(Level.PATIENT)]))
    store.write(lambda tx: resources.add_instances(tx, [again], overwrite=False))
    with store.read() as tx:
        assert resources.list_ids(tx, Level.PATIENT) == [
            ids(4)(Level.PATIENT),
            ids(0)(Level.PATIENT),
        ]
