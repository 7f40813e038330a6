"""Indexes of Orthancs of all ages, made by hand as ``orthanc-sqlite`` describes them: schema 6, and
what later releases have added to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from wherry.dicom.identifiers import identifiers
from wherry.model import Level

RELEASES = ("0.9.5", "1.5.1", "1.10.1", "1.12.0", "1.12.8", "1.12.10", "1.13.1")

_FIRST = """
CREATE TABLE GlobalProperties(property INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE Resources(internalId INTEGER PRIMARY KEY AUTOINCREMENT, resourceType INTEGER,
  publicId TEXT, parentId INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE);
CREATE TABLE MainDicomTags(id INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE,
  tagGroup INTEGER, tagElement INTEGER, value TEXT, PRIMARY KEY(id, tagGroup, tagElement));
CREATE TABLE DicomIdentifiers(id INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE,
  tagGroup INTEGER, tagElement INTEGER, value TEXT, PRIMARY KEY(id, tagGroup, tagElement));
CREATE TABLE Metadata(id INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE,
  type INTEGER, value TEXT, PRIMARY KEY(id, type));
CREATE TABLE AttachedFiles(id INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE,
  fileType INTEGER, uuid TEXT, compressedSize INTEGER, uncompressedSize INTEGER,
  compressionType INTEGER, uncompressedMD5 TEXT, compressedMD5 TEXT, PRIMARY KEY(id, fileType));
CREATE TABLE Changes(seq INTEGER PRIMARY KEY AUTOINCREMENT, changeType INTEGER,
  internalId INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE, resourceType INTEGER,
  date TEXT);
CREATE TABLE ExportedResources(seq INTEGER PRIMARY KEY AUTOINCREMENT, resourceType INTEGER,
  publicId TEXT, remoteModality TEXT, patientId TEXT, studyInstanceUid TEXT,
  seriesInstanceUid TEXT, sopInstanceUid TEXT, date TEXT);
CREATE TABLE PatientRecyclingOrder(seq INTEGER PRIMARY KEY AUTOINCREMENT,
  patientId INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE);
CREATE INDEX ChildrenIndex ON Resources(parentId);
CREATE INDEX PublicIndex ON Resources(publicId);
CREATE INDEX ResourceTypeIndex ON Resources(resourceType);
CREATE INDEX PatientRecyclingIndex ON PatientRecyclingOrder(patientId);
CREATE INDEX MainDicomTagsIndex1 ON MainDicomTags(id);
CREATE INDEX ChangesIndex ON Changes(internalId);
CREATE TRIGGER AttachedFileDeleted AFTER DELETE ON AttachedFiles BEGIN
  SELECT SignalFileDeleted(old.uuid, old.fileType, old.uncompressedSize, old.compressionType,
    old.compressedSize, old.uncompressedMD5, old.compressedMD5);
END;
CREATE TRIGGER PatientAdded AFTER INSERT ON Resources FOR EACH ROW WHEN new.resourceType = 1 BEGIN
  INSERT INTO PatientRecyclingOrder VALUES (NULL, new.internalId);
END;
INSERT INTO GlobalProperties VALUES (1, '6');
"""
_ADDED = {
    "1.5.1": """
CREATE TABLE GlobalIntegers(key INTEGER PRIMARY KEY, value INTEGER);
INSERT INTO GlobalIntegers VALUES (0, 0), (1, 0);
INSERT INTO GlobalProperties VALUES (6, '1');
""",
    "1.10.1": "",
    "1.12.0": """
CREATE TABLE Labels(id INTEGER REFERENCES Resources(internalId) ON DELETE CASCADE,
  label TEXT NOT NULL, PRIMARY KEY(id, label));
""",
    "1.12.8": """
ALTER TABLE Metadata ADD COLUMN revision INTEGER;
ALTER TABLE AttachedFiles ADD COLUMN revision INTEGER;
ALTER TABLE AttachedFiles ADD COLUMN customData BLOB;
CREATE TABLE DeletedFiles(uuid TEXT NOT NULL, customData BLOB);
CREATE TABLE KeyValueStores(storeId TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(storeId, key));
CREATE TABLE Queues(id INTEGER PRIMARY KEY AUTOINCREMENT, queueId TEXT NOT NULL,
  value TEXT NOT NULL);
INSERT INTO GlobalProperties VALUES (7, '1');
""",
    "1.12.10": "ALTER TABLE Queues ADD COLUMN reservedUntil INTEGER DEFAULT NULL;",
    "1.13.1": """
DROP INDEX PublicIndex;
CREATE UNIQUE INDEX PublicIndex ON Resources(publicId);
CREATE UNIQUE INDEX AttachedFilesUuidIndex ON AttachedFiles(uuid);
INSERT INTO GlobalProperties VALUES (8, '1');
""",
}

type_tags = Mapping[str, str]
DATE = "20240131T101112"


class OrthancIndexFile:
    """One that can be filled; ``close`` leaves the file as an Orthanc that was stopped does."""

    def __init__(self, folder: Path, release: str = "1.10.1", storage: Path | None = None) -> None:
        """``storage``: where the files of what is attached are written."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "index"
        self.raw = sqlite3.connect(self.path)
        self.raw.executescript(_FIRST)
        for later in RELEASES[1 : RELEASES.index(release) + 1]:
            self.raw.executescript(_ADDED[later])
        self._since_1_12_8 = RELEASES.index(release) >= RELEASES.index("1.12.8")
        self._storage = storage

    def close(self) -> Path:
        self.raw.commit()
        self.raw.close()
        return self.path

    def resource(
        self,
        level: Level,
        orthanc_id: str,
        parent: int | None,
        tags: type_tags,
        metadata: Mapping[int, str],
        revision: int | None = None,
    ) -> int:
        """Its row."""
        row = self.raw.execute(
            "INSERT INTO Resources (resourceType, publicId, parentId) VALUES (?, ?, ?)",
            (int(level), orthanc_id, parent),
        ).lastrowid
        assert row is not None
        self.raw.executemany(
            "INSERT INTO MainDicomTags VALUES (?, ?, ?, ?)",
            [(row, int(tag[:4], 16), int(tag[5:], 16), text) for tag, text in tags.items()],
        )
        for number, text in metadata.items():
            self.metadata(row, number, text, revision)
        return row

    def metadata(self, row: int, number: int, text: Any, revision: int | None = None) -> None:
        more = (revision,) if self._since_1_12_8 else ()
        marks = ", ?" * len(more)
        self.raw.execute(
            f"INSERT INTO Metadata VALUES (?, ?, ?{marks})", (row, number, text, *more)
        )

    def attach(
        self,
        row: int,
        content_type: int,
        data: bytes,
        *,
        md5: str | None = None,
        uuid: str = "",
        custom: bytes | None = None,
        revision: int | None = None,
        written: bool = True,
    ) -> str:
        """Its name. ``md5``: None = that of the bytes."""
        from hashlib import md5 as digest

        uuid = uuid or str(uuid4())
        known = digest(data).hexdigest() if md5 is None else md5
        more = (revision, custom) if self._since_1_12_8 else ()
        marks = ", ?" * len(more)
        self.raw.execute(
            f"INSERT INTO AttachedFiles VALUES (?, ?, ?, ?, ?, 1, ?, ?{marks})",
            (row, content_type, uuid, len(data), len(data), known, known, *more),
        )
        if self._storage is not None and written:
            path = self._storage / uuid[:2] / uuid[2:4] / uuid
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return uuid

    def instance(
        self,
        data: bytes = b"a file",
        patient: str = "P1",
        study: str = "1.1",
        series: str = "1.1.1",
        sop: str = "1.1.1.1",
        *,
        metadata: Mapping[int, str] | None = None,
        md5: str | None = None,
        **tags: str,
    ) -> tuple[int, int, int, int]:
        """Store one as an Orthanc does; the rows of patient, study, series and instance. ``tags``
        of the instance: ``t0020_0013="1"``."""
        ids = identifiers(patient, study, series, sop)
        above = {"0010,0010": f"NAME^{patient}", "0010,0020": patient}
        own = {tag[1:].replace("_", ","): text for tag, text in tags.items()}
        rows: list[int | None] = [None]
        for level, tags_of, noted in (
            (Level.PATIENT, above, {7: DATE}),
            (Level.STUDY, {**above, "0020,000d": study, "0008,0020": "20240101"}, {7: DATE}),
            (Level.SERIES, {"0020,000e": series, "0008,0060": "CT"}, {3: "", 7: DATE}),
            (Level.INSTANCE, {"0008,0018": sop, **own}, INSTANCE_METADATA | dict(metadata or {})),
        ):
            known = self.raw.execute(
                "SELECT internalId FROM Resources WHERE publicId = ?", (ids.at(level),)
            ).fetchone()
            rows.append(
                known[0] if known else self.resource(level, ids.at(level), rows[-1], tags_of, noted)
            )
        found = tuple(row for row in rows if row is not None)
        self.attach(found[3], 1, data, md5=md5)
        self.change(2, found[3], Level.INSTANCE)
        assert len(found) == 4
        return found

    def change(self, kind: int, row: int, level: Level) -> None:
        self.raw.execute(
            "INSERT INTO Changes (changeType, internalId, resourceType, date) VALUES (?, ?, ?, ?)",
            (kind, row, int(level), DATE),
        )

    def property(self, number: int, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.raw.execute("INSERT OR REPLACE INTO GlobalProperties VALUES (?, ?)", (number, text))


INSTANCE_METADATA = {
    2: DATE,
    3: "",
    8: "RestApi",
    9: "1.2.840.10008.1.2.1",
    10: "1.2.840.10008.5.1.4.1.1.2",
    11: "127.0.0.1",
    13: "",
}
