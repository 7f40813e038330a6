"""What the operator is told before anything is taken over, and where files are looked for."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.objects import FakeObjects, out_of_reach
from tests.support.orthanc_index import OrthancIndexFile
from tests.support.staged import study
from wherry import limits
from wherry.cli.main import main
from wherry.config import Config, load
from wherry.config.objects import Hybrid, ObjectsConfig
from wherry.errors import ConfigurationError, DatabaseError
from wherry.index import attachments, files, resources
from wherry.index.opening import IndexSettings, open_index
from wherry.index.orthanc.opening import orthanc_index
from wherry.model import Attachment, Level
from wherry.replication.adoption import check_original
from wherry.replication.overlooked import overlooked
from wherry.replication.sample import bucket
from wherry.replication.survey import Survey
from wherry.replication.whereabouts import Whereabouts
from wherry.storage.base import StorageArea
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.packed import prefix

DATA = make_instance()


@pytest.fixture
def made(tmp_path: Path) -> OrthancIndexFile:
    return OrthancIndexFile(tmp_path / "db", "1.12.8", tmp_path / "db")


def survey(
    file: OrthancIndexFile,
    config: Config | None = None,
    bucket: Callable[[Config], StorageArea] = bucket,
) -> Survey:
    folder = file.close().parent
    with orthanc_index(folder) as source:
        found = Survey(replace(config or Config(), storage_directory=folder), source, bucket)
        found.run(lambda count: None)
    return found


# --- what would be lost ------------------------------------------------------------------------
def test_a_store_without_anything_odd(made: OrthancIndexFile) -> None:
    first = made.instance()
    made.raw.execute("DELETE FROM PatientRecyclingOrder WHERE patientId = ?", (first[0],))
    made.instance(patient="P2", study="2", series="2", sop="2")
    found = survey(made)
    assert (found.report.failed, found.report.skipped) == ({}, {})
    assert found.counts == {
        "patients": 2,
        "studies": 2,
        "series": 2,
        "instances": 2,
        "labels": 0,
        "protected patients": 1,
        "files": 2,
        "bytes": 2 * len(b"a file"),
        "changes": 2,
        "exports": 0,
        "modalities": 0,
        "peers": 0,
    }


def _missing(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.attach(rows[3], 1024, b"x", written=False)


def _longer(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    uuid = made.attach(rows[3], 1024, b"x")
    (made.path.parent / uuid[:2] / uuid[2:4] / uuid).write_bytes(b"xx")


def _custom(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.attach(rows[3], 1024, b"x", custom=b"elsewhere")


def _orphan(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.resource(Level.INSTANCE, "id", rows[1], {}, {})  # an instance below a study


def _no_file(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.resource(Level.INSTANCE, "id", rows[2], {}, {})


def _change(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.change(99, rows[3], Level.INSTANCE)


def _property(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.property(2048, "a plugin")


def _queue(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.raw.execute("INSERT INTO Queues (queueId, value) VALUES ('q', 'v')")


def _job(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    job = {"State": "Paused", "Job": {"Type": "DicomModalityStore"}}
    made.property(5, {"Type": "JobsRegistry", "Jobs": {"a": job}})


def _peer(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.property(21, {"p": {"Url": "http://p/", "Pkcs11": True}, "q": ["http://q/"]})


def _modality(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.property(20, {"m": ["A", "h", 0]})


def _text(made: OrthancIndexFile, rows: tuple[int, int, int, int]) -> None:
    made.raw.execute("INSERT INTO Metadata VALUES (?, 1024, CAST(x'ff' AS TEXT), NULL)", (rows[0],))


IN_DATABASE = Config(
    orthanc_peers_in_database=True,
    dimse=replace(Config().dimse, modalities_in_database=True),
)


@pytest.mark.parametrize(
    ("spoil", "reason", "count"),
    [
        (_missing, "the file is missing", 1),
        (_longer, "the file has another size", 1),
        (_custom, "another storage plugin wrote it", 1),
        (_orphan, "a resource whose parent is missing", 1),
        (_no_file, "an instance without a DICOM file", 1),
        (_change, "changes of type 99", 1),
        (_property, "what a plugin wrote for itself", 1),
        (_queue, "what a plugin wrote for itself", 1),
        (_job, "a job that is not finished", 1),
        (_peer, "peers that make no sense here", 1),
        (_modality, "modalities that make no sense here", 1),
        (_text, "a text that is no UTF-8", 1),
    ],
)
def test_what_would_be_lost(
    made: OrthancIndexFile,
    spoil: Callable[[OrthancIndexFile, tuple[int, int, int, int]], None],
    reason: str,
    count: int,
) -> None:
    spoil(made, made.instance())
    found = survey(made, IN_DATABASE)
    (told,) = found.report.failed
    assert reason in told
    assert found.report.failures == count


def test_what_one_should_know(made: OrthancIndexFile) -> None:
    rows = made.instance(b"x", md5="")
    made.metadata(rows[1], 500, "")
    made.attach(rows[3], 900, b"x")
    made.property(3, "4")
    made.property(20, {"m": ["A", "h", 104]})
    made.property(5, {"Jobs": {"a": {"State": "Success", "Job": {"Type": "X"}}}})
    found = survey(made)
    assert found.report.failed == {}
    assert [reason.partition(",")[0] for reason in sorted(found.report.skipped)] == [
        "a job that is finished is not taken over",
        "attachment 900 has no name here",
        "metadata 500 has no name here",
        "modalities in the database",
        "no digest is known: the file will be read",
        "the numbering of anonymized patients begins anew",
    ]
    assert found.declared == {"modalities": {}, "peers": {}}


def test_what_the_database_declares_is_taken_over_when_it_counts(made: OrthancIndexFile) -> None:
    made.property(20, {"m": ["A", "h", 104]})
    made.property(21, {"p": ["http://p/", "u", "secret"]})
    assert survey(made, IN_DATABASE).declared == {
        "modalities": {"m": ["A", "h", 104]},
        "peers": {"p": ["http://p/", "u", "secret"]},
    }


def test_an_index_that_contradicts_itself(made: OrthancIndexFile) -> None:
    rows = made.instance()
    made.attach(rows[3], 1024, b"x", uuid=made.attach(rows[3], 1025, b"x"))
    with pytest.raises(DatabaseError, match="1 identifiers stand twice"):
        survey(made)


# --- a look at objects -------------------------------------------------------------------------
OBJECTS = Config(objects=ObjectsConfig())


@pytest.fixture
def objects(tmp_path: Path) -> FakeObjects:
    return FakeObjects(tmp_path / "bucket")


def put(objects: FakeObjects, made: OrthancIndexFile, uuids: list[str]) -> None:
    """The local files of the Orthanc become objects."""
    for uuid in uuids:
        local = made.path.parent / uuid[:2] / uuid[2:4] / uuid
        writer = objects.create(uuid)
        writer.write(local.read_bytes())
        writer.sync()
        writer.close()
        local.unlink()


def test_objects_are_looked_at_by_sample(
    made: OrthancIndexFile, objects: FakeObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ADOPTION_SAMPLE", 4)
    rows = made.instance()
    (first,) = made.raw.execute("SELECT uuid FROM AttachedFiles").fetchone()
    uuids = [first, *(made.attach(rows[3], 1024 + number, b"x") for number in range(20))]
    put(objects, made, uuids[1:])
    found = survey(made, OBJECTS, lambda config: objects)
    assert (found.objects.count, found.objects.looked_at) == (21, 3)
    assert objects.calls.count("size") == 3
    told = found.report.skipped["taken to be objects: only --check looks at all of them"]
    assert told.count == 21
    assert found.report.failed["the object is missing (of 3 looked at)"].examples == [first]


def test_an_object_of_another_size(made: OrthancIndexFile, objects: FakeObjects) -> None:
    made.instance(b"abc")
    (uuid,) = made.raw.execute("SELECT uuid FROM AttachedFiles").fetchone()
    put(objects, made, [uuid])
    made.raw.execute("UPDATE AttachedFiles SET compressedSize = 4")
    assert list(survey(made, OBJECTS, lambda config: objects).report.failed) == [
        "the object has another size (of 1 looked at)"
    ]


def test_objects_out_of_reach_are_no_loss(made: OrthancIndexFile, objects: FakeObjects) -> None:
    made.instance()
    objects.down = out_of_reach()
    found = survey(made, OBJECTS, lambda config: objects)
    assert found.report.failed == {}
    assert found.objects.looked_at == 0
    assert any("objects were not looked at" in reason for reason in found.report.skipped)


# --- where files lie ---------------------------------------------------------------------------
UUID = "0123abcd-0000-4000-8000-000000000000"
LOCAL = Path("01/23") / UUID


def file(content_type: int = 1) -> Attachment:
    return Attachment(UUID, content_type, 4, "", 4, "")


@pytest.mark.parametrize(
    ("content_type", "legacy", "sealed", "place"),
    [
        (1, False, False, "object-storage:.dcm:"),
        (2, False, False, "object-storage:.json:"),
        (3, False, True, "object-storage:.dcm.head.enc:A1"),
        (1024, False, True, "object-storage:.unk.enc:A1"),
        (1, True, False, "object-storage:/:"),
        (1, True, True, "object-storage:/:A1"),
    ],
)
def test_places_of_objects(
    tmp_path: Path, content_type: int, legacy: bool, sealed: bool, place: str
) -> None:
    objects = ObjectsConfig(legacy_names=legacy)
    assert Whereabouts(str(tmp_path), objects, sealed).look(file(content_type)) == (place, "")


@pytest.mark.parametrize("hybrid", [Hybrid.WRITE_TO_FILE_SYSTEM, Hybrid.WRITE_TO_OBJECT_STORAGE])
def test_what_lies_in_the_file_system_is_found_there(tmp_path: Path, hybrid: Hybrid) -> None:
    whereabouts = Whereabouts(str(tmp_path), ObjectsConfig(hybrid=hybrid), True)
    assert whereabouts.look(file()) == ("object-storage:.dcm.enc:A1", "")
    (tmp_path / LOCAL).parent.mkdir(parents=True)
    (tmp_path / LOCAL).write_bytes(bytes(4 + 86))
    assert whereabouts.look(file()) == ("file-system::A1", "")
    (tmp_path / LOCAL).write_bytes(bytes(4))  # from before there was encryption
    assert whereabouts.look(file()) == ("", "")
    (tmp_path / LOCAL).write_bytes(bytes(5))
    assert whereabouts.look(file()).problem == "the file has another size"


def test_what_cannot_be_looked_at_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "01").write_bytes(b"a file where a folder should be")
    found = Whereabouts(str(tmp_path), ObjectsConfig(hybrid=Hybrid.WRITE_TO_FILE_SYSTEM))
    assert found.look(file()) == ("", "the file cannot be looked at (Not a directory)")


# --- the command -------------------------------------------------------------------------------
def configuration(folder: Path, **more: Any) -> str:
    path = folder / "orthanc.json"
    path.write_text(json.dumps({"StorageDirectory": str(folder / "db"), **more}))
    return str(path)


def adopted(folder: Path) -> sqlite3.Connection | None:
    path = folder / "db" / "wherry.db"
    return sqlite3.connect(path) if path.exists() else None


def test_losses_stop_it_unless_they_are_accepted(
    made: OrthancIndexFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.instance(DATA)
    made.property(1024, "a plugin")
    before = made.close().read_bytes()
    config = configuration(tmp_path)
    assert main(["adopt", "--from", config, "--dry-run"]) == 1
    assert main(["adopt", "--from", config]) == 1
    assert "--accept-losses" in capsys.readouterr().err
    assert not (tmp_path / "db" / "wherry.db").exists()
    assert main(["adopt", "--from", config, "--accept-losses", "--check", "--verify"]) == 0
    assert f"Serve it with:  wherry serve {config}" in capsys.readouterr().out
    assert main(["adopt", "--from", config]) == 0
    assert "adopted already" in capsys.readouterr().out
    assert made.path.read_bytes() == before
    assert {path.name for path in (tmp_path / "db").glob("[iw]*")} == {"index", "wherry.db"}


def test_an_empty_archive_beside_an_orthanc_is_told_to_adopt_first(
    made: OrthancIndexFile, tmp_path: Path
) -> None:
    folder = tmp_path / "db"
    config = replace(Config(), index_directory=folder)
    made.instance(DATA)
    made.close()
    settings = IndexSettings(sqlite_path=folder / "wherry.db")
    index = open_index(settings)
    assert "run `wherry adopt` first" in overlooked(config, index)
    index.close()
    assert main(["adopt", "--from", configuration(tmp_path)]) == 0
    index = open_index(settings)
    assert overlooked(config, index) == ""
    index.close()


def test_no_orthanc_is_seen_where_there_is_none(tmp_path: Path) -> None:
    index = open_index(IndexSettings(sqlite_path=tmp_path / "wherry.db"))
    config = replace(Config(), index_directory=tmp_path)
    assert overlooked(config, index) == ""
    (tmp_path / "index").write_bytes(b"a list of words")
    assert overlooked(config, index) == ""
    (tmp_path / "index").write_bytes(b"SQLite format 3\0...")
    assert overlooked(config, index) != ""
    index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))
    assert overlooked(config, index) == ""
    index.close()


def test_digests_and_headers_that_are_not_known_are_read(
    made: OrthancIndexFile, tmp_path: Path
) -> None:
    rows = made.instance(DATA, md5="")
    made.raw.execute("DELETE FROM Metadata WHERE type IN (9, 10) AND id = ?", (rows[3],))
    packed = prefix(len(DATA)) + zlib.compress(DATA)
    uuid = made.attach(rows[3], 1024, packed, md5="")
    made.raw.execute(
        "UPDATE AttachedFiles SET compressionType = 2, uncompressedSize = ? WHERE uuid = ?",
        (len(DATA), uuid),
    )
    made.close()
    config = configuration(tmp_path)
    assert main(["adopt", "--from", config, "--verify"]) == 0
    index = open_index(IndexSettings(sqlite_path=tmp_path / "db" / "wherry.db"))
    with index.read() as tx:
        (instance,) = resources.list_ids(tx, Level.INSTANCE)
        found = attachments.of_one(tx, Level.INSTANCE, instance)
        assert files.unfinished(tx) == 0
        assert tx.one("SELECT transfer_syntax, sop_class_uid FROM instances") == (
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.5.1.4.1.1.2",
        )
    index.close()
    plain, stored = (hashlib.md5(data).hexdigest() for data in (DATA, packed))
    assert (found[1].uncompressed_md5, found[1].compressed_md5) == (plain, plain)
    assert (found[1024].uncompressed_md5, found[1024].compressed_md5) == (plain, stored)


def test_a_file_that_was_changed_is_found_by_its_digest(
    made: OrthancIndexFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = made.instance(DATA)
    uuid = made.attach(rows[3], 1024, b"abc")
    made.close()
    config = configuration(tmp_path)
    assert main(["adopt", "--from", config, "--verify"]) == 0
    (tmp_path / "db" / uuid[:2] / uuid[2:4] / uuid).write_bytes(b"abd")
    assert main(["adopt", "--from", config, "--check"]) == 0
    assert main(["adopt", "--from", config, "--verify"]) == 1
    assert "the file holds other bytes" in capsys.readouterr().out
    (tmp_path / "db" / uuid[:2] / uuid[2:4] / uuid).unlink()
    assert main(["adopt", "--from", config, "--check"]) == 1
    assert "is missing" in capsys.readouterr().out


def test_a_file_that_the_disk_does_not_give_is_reported_and_the_others_are_checked(
    made: OrthancIndexFile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = made.instance(DATA)
    uuid = made.attach(rows[3], 1024, b"abc")
    made.close()
    config = configuration(tmp_path)
    assert main(["adopt", "--from", config]) == 0
    size = FilesystemStorage.size

    def fail(self: FilesystemStorage, name: str, place: str = "") -> int:
        if name == uuid:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "secret"))
        return size(self, name, place)

    monkeypatch.setattr(FilesystemStorage, "size", fail)
    capsys.readouterr()
    assert main(["adopt", "--from", config, "--check"]) == 1
    out = capsys.readouterr().out
    assert "1 files are as they should be" in out
    assert "Input/output error" in out
    assert "secret" not in out


def test_a_known_digest_is_not_replaced_by_that_of_a_damaged_file(
    made: OrthancIndexFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = made.instance(DATA)
    right = hashlib.md5(b"abc").hexdigest()
    good = made.attach(rows[3], 1024, b"abc")
    made.attach(rows[3], 1025, b"abd")
    made.raw.execute(
        "UPDATE AttachedFiles SET uncompressedMD5 = ?, compressedMD5 = '' WHERE fileType >= 1024",
        (right,),
    )
    made.close()
    assert main(["adopt", "--from", configuration(tmp_path)]) == 1
    assert "the file holds other bytes" in capsys.readouterr().out
    index = open_index(IndexSettings(sqlite_path=tmp_path / "db" / "wherry.db"))
    with index.read() as tx:
        (instance,) = resources.list_ids(tx, Level.INSTANCE)
        found = attachments.of_one(tx, Level.INSTANCE, instance)
    index.close()
    assert (found[1024].uuid, found[1024].compressed_md5) == (good, right)
    assert (found[1025].uncompressed_md5, found[1025].compressed_md5) == (right, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"PostgreSQL": {"EnableIndex": True}}, "keeps its index in PostgreSQL"),
        ({"MySQL": {"EnableIndex": True}}, "keeps its index in MySQL"),
        ({"StorageDirectory": None}, "names no StorageDirectory"),
        ({}, "There is no Orthanc index"),
    ],
)
def test_what_cannot_be_adopted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], words: str
) -> None:
    values = {"StorageDirectory": str(tmp_path / "db"), **content}
    path = tmp_path / "orthanc.json"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    assert main(["adopt", "--from", str(path)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "db").exists()


def test_variables_for_wherry_say_nothing_about_the_orthanc(
    tmp_path: Path,
) -> None:
    original = tmp_path / "orthanc.json"
    original.write_text('{ "PostgreSQL": { "EnableIndex": false, "Host": "theirs" } }')
    folder = {"WHERRY__STORAGE_DIRECTORY": str(tmp_path)}
    ours = {"WHERRY__POSTGRESQL__ENABLE_INDEX": "true", **folder}
    check_original([original], [], ours)
    with pytest.raises(ConfigurationError, match="keeps its index in PostgreSQL"):
        check_original([original], [], {"ORTHANC__POSTGRESQL__ENABLE_INDEX": "true", **folder})
    config, _ = load([original], ours)
    assert "theirs" in str(config.postgresql)


def test_what_holds_something_is_refused_before_anything_is_looked_at(
    made: OrthancIndexFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.instance(DATA)
    made.close()
    config = configuration(tmp_path)
    assert main(["adopt", "--from", config, "--dry-run", "--check"]) == 0
    assert "a dry run does not check" in capsys.readouterr().err
    index = open_index(IndexSettings(sqlite_path=tmp_path / "db" / "wherry.db"))
    index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))
    index.close()
    for more in ([], ["--dry-run"]):
        assert main(["adopt", "--from", config, *more]) == 2
        out, err = capsys.readouterr()
        assert "holds something already" in err
        assert "To adopt" not in out


def test_bounds_and_plugins_are_something_to_know(
    made: OrthancIndexFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.instance(DATA)
    made.close()
    more: dict[str, Any] = {"MaximumPatientCount": 9, "MaximumStorageSize": 0}
    idle: dict[str, Any] = {"LuaScripts": ["route.lua"], "Authorization": {"WebService": "x"}}
    config = configuration(tmp_path, **more, **idle, Plugins=[])
    assert main(["adopt", "--from", config, "--dry-run"]) == 0
    out = capsys.readouterr().out
    for word in ("MaximumPatientCount", "LuaScripts", "Authorization"):
        assert word in out
    for word in ("MaximumStorageSize", "Plugins"):
        assert word not in out


def test_what_is_added_for_wherry(made: OrthancIndexFile, tmp_path: Path) -> None:
    made.instance(DATA)
    made.close()
    original = tmp_path / "orthanc.json"
    original.write_text('{ "Name": "x" }')
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"StorageDirectory": str(tmp_path / "db")}))
    assert main(["adopt", "--from", str(original)]) == 2
    assert main(["adopt", "--from", str(original), str(more)]) == 0
