"""An Orthanc's index of every age becomes ours: what it said is what we say, number for number."""

from __future__ import annotations

import shutil
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.orthanc_index import DATE, INSTANCE_METADATA, RELEASES, OrthancIndexFile
from tests.support.staged import study
from wherry.dicom.identifiers import identifiers
from wherry.errors import Conflict, DatabaseUnavailable, IncompatibleDatabase
from wherry.index import (
    adopting,
    attachments,
    changes,
    exports,
    files,
    labels,
    metadata,
    recycling,
    resources,
    settings,
    stability,
    totals,
)
from wherry.index.database import Index
from wherry.index.metadata import Entry
from wherry.index.orthanc.opening import orthanc_index
from wherry.index.orthanc.reading import OrthancFile, OrthancIndex
from wherry.model import ChangeType, Level

IDS = identifiers("P1", "1.1", "1.1.1", "1.1.1.1")
MARK = {"From": "there"}


def place_of(file: OrthancFile) -> str:
    return f"object-storage:.{file.attachment.content_type}:"


def take_over(index: Index, source: OrthancIndex, **more: Any) -> None:
    order: dict[str, Any] = {
        "place_of": place_of,
        "declared": {},
        "mark": MARK,
        "tell": lambda count: None,
        **more,
    }
    index.write(partial(adopting.adopt, source=source, **order))


def adopt(index: Index, file: OrthancIndexFile, **more: Any) -> None:
    with orthanc_index(file.close().parent) as source:
        take_over(index, source, **more)


@pytest.fixture
def made(tmp_path: Path) -> OrthancIndexFile:
    return OrthancIndexFile(tmp_path / "orthanc")


# --- every age ---------------------------------------------------------------------------------
@pytest.mark.parametrize("release", RELEASES)
def test_what_every_release_wrote(index: Index, tmp_path: Path, release: str) -> None:
    file = OrthancIndexFile(tmp_path / "orthanc", release)
    since_1_12_8 = RELEASES.index(release) >= RELEASES.index("1.12.8")
    rows = file.instance(metadata={1: "1", 14: "736"}, t0020_0013="1")
    file.metadata(rows[3], 1024, "first", 3 if since_1_12_8 else None)
    file.metadata(rows[1], 4321, "of the study")
    uuid = file.attach(rows[1], 4400, b"beside", revision=2 if since_1_12_8 else None)
    if RELEASES.index(release) >= RELEASES.index("1.12.0"):
        file.raw.execute("INSERT INTO Labels VALUES (?, 'seen'), (?, 'new')", (rows[1], rows[1]))
    adopt(index, file)
    with index.read() as tx:
        for level in Level:
            assert resources.list_ids(tx, level) == [IDS.at(level)]
        of_instance = metadata.of_one(tx, Level.INSTANCE, IDS.instance)
        expected = {number: Entry(text, 0) for number, text in INSTANCE_METADATA.items()}
        expected |= {1: Entry("1", 0), 14: Entry("736", 0)}
        assert of_instance == expected | {1024: Entry("first", 3 if since_1_12_8 else 0)}
        of_study = metadata.of_one(tx, Level.STUDY, IDS.study)
        assert of_study == {7: Entry(DATE, 0), 4321: Entry("of the study", 0)}
        of_series = metadata.of_one(tx, Level.SERIES, IDS.series)
        assert of_series == {3: Entry("", 0), 7: Entry(DATE, 0)}
        found = resources.get(tx, Level.STUDY, IDS.study)
        assert found is not None
        assert found.tags == {"0020,000d": "1.1", "0008,0020": "20240101"}
        assert found.patient_tags == {"0010,0010": "NAME^P1", "0010,0020": "P1"}
        assert (found.last_update, found.is_stable) == (DATE, True)
        instance = resources.get(tx, Level.INSTANCE, IDS.instance)
        assert instance is not None
        assert instance.tags == {"0008,0018": "1.1.1.1", "0020,0013": "1"}
        assert (instance.index_in_series, instance.file_size) == (1, len(b"a file"))
        beside = attachments.get(tx, Level.STUDY, IDS.study, 4400)
        assert (beside.uuid, beside.place) == (uuid, "object-storage:.4400:")
        assert beside.revision == (2 if since_1_12_8 else 0)
        known = RELEASES.index(release) >= RELEASES.index("1.12.0")
        assert labels.of_one(tx, Level.STUDY, IDS.study) == (["new", "seen"] if known else [])
        assert resources.statistics(tx).disk_bytes == len(b"a file") + len(b"beside")
        assert adopting.adopted(tx) == MARK


def test_numbers_go_on_where_they_were(index: Index, made: OrthancIndexFile) -> None:
    first = made.instance(sop="1")
    second = made.instance(sop="2")
    for _ in range(3):
        made.change(16, second[3], Level.INSTANCE)
    made.raw.execute(
        "INSERT INTO ExportedResources VALUES (7, 4, 'id', 'remote', 'P', 'S', 'E', 'I', ?)",
        (DATE,),
    )
    # What went in between: its changes went with it, its numbers stay used.
    made.raw.execute("DELETE FROM Changes WHERE internalId = ?", (second[3],))
    made.raw.execute("UPDATE sqlite_sequence SET seq = 90 WHERE name = 'Resources'")
    adopt(index, made)
    with index.read() as tx:
        counters = totals.load(tx)
        assert (counters.next_id, counters.change_seq, counters.export_seq) == (91, 5, 7)
        assert (counters.patients, counters.studies, counters.series) == (1, 1, 1)
        assert counters.instances == 2
        (log,) = changes.page(tx, 0, 10).rows
        assert log == (1, int(ChangeType.NewInstance), 4, first_id(first), DATE)
        (line,), done, _ = exports.page(tx, 0, 10)
        assert done
        assert (line.seq, line.remote, line.identifiers) == (7, "remote", ("P", "S", "E", "I"))
    index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))
    with index.read() as tx:
        assert [row[0] for row in changes.page(tx, 1, 10).rows] == [6, 7, 8]


def first_id(rows: tuple[int, ...]) -> str:
    return identifiers("P1", "1.1", "1.1.1", "1").instance


def test_nothing_is_announced(index: Index, made: OrthancIndexFile) -> None:
    made.instance()
    adopt(index, made)
    assert index.write(lambda tx: stability.mark_stable(tx, 2**40, 100)) == 0


def test_the_order_of_recycling_and_the_protected(index: Index, made: OrthancIndexFile) -> None:
    for number, name in enumerate("ABCDE"):
        made.instance(patient=name, study=f"1.{number}", series=f"2.{number}", sop=f"3.{number}")
    rows = dict(made.raw.execute("SELECT publicId, internalId FROM Resources WHERE resourceType=1"))
    ids = {name: identifiers(name, "", "", "").patient for name in "ABCDE"}
    made.raw.execute("DELETE FROM PatientRecyclingOrder")
    for name in "CAEB":  # D is protected; what was added last, to A, does not tell the order alone
        made.raw.execute(
            "INSERT INTO PatientRecyclingOrder (patientId) VALUES (?)", (rows[ids[name]],)
        )
    made.raw.execute(
        "UPDATE Metadata SET value = '20250101T000000' WHERE type = 7 AND id = ?", (rows[ids["A"]],)
    )
    adopt(index, made)

    def order(tx: Any) -> list[str]:
        return [one for one, _ in recycling._oldest(tx, (), measured=False)]

    assert index.write(order) == [ids[name] for name in "CAEB"]
    with index.read() as tx:
        assert [name for name in "ABCDE" if recycling.is_protected(tx, ids[name])] == ["D"]


@pytest.mark.parametrize("value", ["abc", "", "003", " 7", "1" * 30])
def test_what_no_column_can_hold_is_shown_as_it_was(
    index: Index, made: OrthancIndexFile, value: str
) -> None:
    rows = made.instance(metadata={1: value, 14: value}, t0020_0013="5")
    made.metadata(rows[2], 4, value)
    adopt(index, made)
    with index.read() as tx:
        of_instance = metadata.of_one(tx, Level.INSTANCE, IDS.instance) or {}
        assert (of_instance[1].value, of_instance[14].value) == (value, value)
        assert (metadata.of_one(tx, Level.SERIES, IDS.series) or {})[4].value == value


def test_sequences_and_more_tags(index: Index, made: OrthancIndexFile) -> None:
    rows = made.instance()
    for number, tag in ((0x1010, "040Y"), (0x1020, "1.8")):
        made.raw.execute("INSERT INTO MainDicomTags VALUES (?, 16, ?, ?)", (rows[1], number, tag))
    made.metadata(rows[1], 15, "0008,0020;0010,1010;0020,000d")
    made.metadata(
        rows[2],
        16,
        '{"Version":1,"Sequences":{"0040,0275":{"Name":"RequestAttributesSequence","Type":'
        '"Sequence","Value":[{"0040,0007":{"Name":"N","Type":"String","Value":"a step"},'
        '"0040,0008":{"Name":"M","Type":"Sequence","Value":[]}}]}}}',
    )
    adopt(index, made)
    with index.read() as tx:
        found = resources.get(tx, Level.STUDY, IDS.study)
        assert found is not None
        assert "0010,1010" in found.tags  # wanted of studies, says the signature
        assert found.patient_tags["0010,1020"] == "1.8"
        series = resources.get(tx, Level.SERIES, IDS.series)
        assert series is not None
        assert series.tags["0040,0275"] == [{"0040,0007": "a step", "0040,0008": []}]


# --- all or nothing ----------------------------------------------------------------------------
def test_an_index_that_holds_something_is_refused(index: Index, made: OrthancIndexFile) -> None:
    made.instance()
    index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))
    with pytest.raises(Conflict):
        adopt(index, made)
    with index.read() as tx:
        assert adopting.adopted(tx) is None
        assert len(resources.list_ids(tx, Level.INSTANCE)) == 1


def test_a_failure_in_the_middle_leaves_nothing(index: Index, made: OrthancIndexFile) -> None:
    made.instance()
    folder = made.close().parent

    def fail(count: int) -> None:
        told.append(count)
        if len(told) == 3:
            raise KeyError

    with orthanc_index(folder) as source:
        told: list[int] = []
        with pytest.raises(KeyError):
            take_over(index, source, tell=fail)
        with index.read() as tx:
            assert totals.load(tx).next_id == 1
            assert resources.list_ids(tx, Level.PATIENT) == []
        take_over(index, source)
    with index.read() as tx:
        assert resources.list_ids(tx, Level.INSTANCE) == [IDS.instance]


def test_declared_peers_are_there_and_do_not_hide_ours(
    index: Index, made: OrthancIndexFile
) -> None:
    made.instance()
    index.write(lambda tx: settings.put(tx, "peers", {"b": ["http://ours/"]}))
    theirs = {"a": ["http://a/"], "b": ["http://b/"]}
    adopt(index, made, declared={"peers": theirs, "modalities": {}})
    with index.read() as tx:
        assert settings.get(tx, "peers") == {"a": ["http://a/"], "b": ["http://ours/"]}
        assert settings.get(tx, "modalities") is None


# --- what is refused, what is left out ---------------------------------------------------------
@pytest.mark.parametrize(
    ("schema", "advice"),
    [("3", "--upgrade"), ("4", "--upgrade"), ("5", "--upgrade"), ("2", "only 6"), ("7", "only 6")],
)
def test_another_schema(made: OrthancIndexFile, schema: str, advice: str) -> None:
    made.property(1, schema)
    folder = made.close().parent
    with pytest.raises(IncompatibleDatabase, match=advice), orthanc_index(folder):
        pass


def test_an_index_that_is_open_is_refused_and_kept_closed(made: OrthancIndexFile) -> None:
    made.instance()
    folder = made.close().parent
    with sqlite3.connect(folder / "index") as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable, match="stop it first"), orthanc_index(folder):
            pass
        other.rollback()
    other.close()
    other = sqlite3.connect(folder / "index", timeout=0, isolation_level=None)
    with orthanc_index(folder), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO GlobalProperties VALUES (9, '')")
    other.execute("INSERT INTO GlobalProperties VALUES (9, '')")
    other.close()


def test_a_journal_lies_beside_the_file_that_a_link_leads_to(
    index: Index, tmp_path: Path, made: OrthancIndexFile
) -> None:
    made.raw.commit()
    made.raw.execute("PRAGMA journal_mode = WAL")
    made.instance()
    made.raw.commit()
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "linked"
    elsewhere.mkdir()
    folder.mkdir()
    for suffix in ("", "-wal"):  # as a crash leaves them
        shutil.copyfile(f"{made.path}{suffix}", elsewhere / f"orthanc.db{suffix}")
    made.close()
    (folder / "index").symlink_to(elsewhere / "orthanc.db")
    with orthanc_index(folder) as source:
        take_over(index, source)
    with index.read() as tx:
        assert resources.list_ids(tx, Level.INSTANCE) == [IDS.instance]
    assert {path.name for path in elsewhere.iterdir()} == {"orthanc.db", "orthanc.db-wal"}


def test_what_has_no_parent_is_left_out_with_all_that_hangs_on_it(
    index: Index, made: OrthancIndexFile
) -> None:
    made.instance()
    lost = made.resource(Level.SERIES, "lost", 4711, {}, {3: ""})
    below = made.resource(Level.INSTANCE, "below", lost, {"0008,0018": "9"}, {2: DATE})
    made.attach(below, 1, b"nobody's")
    made.change(2, below, Level.INSTANCE)
    folder = made.close().parent
    with orthanc_index(folder) as source:
        assert source.unsound == {lost, below}
        take_over(index, source)
    with index.read() as tx:
        assert resources.list_ids(tx, Level.INSTANCE) == [IDS.instance]
        assert len(changes.page(tx, 0, 10).rows) == 1
        assert resources.statistics(tx).disk_bytes == len(b"a file")


def test_files_that_nobody_can_read_are_left_out(index: Index, tmp_path: Path) -> None:
    made = OrthancIndexFile(tmp_path / "orthanc", "1.12.8")
    rows = made.instance()
    made.attach(rows[3], 1024, b"elsewhere", custom=b"x")
    made.attach(rows[3], 1025, b"no name", uuid="../../etc/passwd", written=False)
    made.attach(rows[3], 1026, b"plain", custom=b"")
    adopt(index, made)
    with index.read() as tx:
        assert list(attachments.of_one(tx, Level.INSTANCE, IDS.instance)) == [1, 1026]


def test_a_digest_that_is_known_stays(index: Index, made: OrthancIndexFile) -> None:
    rows = made.instance(md5="")
    one = made.attach(rows[3], 1024, b"abc", md5="")
    made.raw.execute("UPDATE AttachedFiles SET uncompressedMD5 = 'known' WHERE uuid = ?", (one,))
    adopt(index, made)
    index.write(lambda tx: files.set_digests(tx, [files.Digests(one, "read", "read")]))
    with index.read() as tx:
        found = attachments.of_one(tx, Level.INSTANCE, IDS.instance)
    assert (found[1024].uncompressed_md5, found[1024].compressed_md5) == ("known", "read")
    assert (found[1].uncompressed_md5, found[1].compressed_md5) == ("", "")


def test_texts_that_are_no_utf8(index: Index, made: OrthancIndexFile) -> None:
    rows = made.instance()
    made.raw.execute("INSERT INTO Metadata VALUES (?, 1024, CAST(x'61ff62' AS TEXT))", (rows[3],))
    folder = made.close().parent
    with orthanc_index(folder) as source:
        take_over(index, source)
        assert source.damaged_texts == 1
    with index.read() as tx:
        found = metadata.of_one(tx, Level.INSTANCE, IDS.instance) or {}
    assert found[1024].value == "a\N{REPLACEMENT CHARACTER}b"
