"""The Orthanc that ``test_adopt`` takes over: 300 instances of every kind, and all that users and
time leave in a store. And the questions that are asked of it, before and after."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.find_store import FILES as SEARCHED
from tests.support.dicom_files import make_instance, make_series
from tests.support.orthanc import Orthanc
from tests.support.pydicom_files import FILES as OF_PYDICOM
from tests.support.pydicom_files import ROOT
from tests.support.server import Server

LEVELS = {"patients": "Patient", "studies": "Study", "series": "Series", "instances": "Instance"}
COUNT = 300
SAMPLES = os.environ.get("WHERRY_GOLDEN_SAMPLES", "")


def configuration(port: int) -> dict[str, Any]:
    return {
        "Name": "adopted",
        "StableAge": 1,
        "LogExportedResources": True,
        "DicomModalitiesInDatabase": True,
        "OrthancPeersInDatabase": True,
        "UserMetadata": {"my-meta": 4321},
        "UserContentType": {"my-att": [4400, "text/plain"]},
        "OrthancPeers": {"ignored": ["http://127.0.0.1:1/"]},
    }


# --- filling -----------------------------------------------------------------------------------
def files() -> Iterator[bytes]:
    """Anything that is DICOM, until there is enough; what Orthanc does not take is left out."""
    yield from SEARCHED
    yield from (make_instance(20, 1, number, CardiacNumberOfImages=4) for number in range(1, 5))
    yield from (make_instance(20, 2, number, CardiacNumberOfImages=4) for number in (1, 1, 2))
    yield make_instance(20, 3, 1, NumberOfFrames=3, Rows=8, Columns=4, BitsAllocated=16)
    yield make_instance(21, 1, 1, patient_id="EMPTY", InstanceNumber=None, PatientName="")
    for name in OF_PYDICOM:
        yield (ROOT / name).read_bytes()
    if SAMPLES:
        yield from (path.read_bytes() for path in sorted(Path(SAMPLES).rglob("*.dcm")))
    for study in range(30, 60):
        yield from make_series(20, study=study, patient_id=f"MANY{study % 7}")


def upload(server: Server, data: bytes) -> str | None:
    status, answer = server.request("POST", "/instances", data)
    if status != 200:
        return None
    found = json.loads(answer)
    return str(found["ID"]) if isinstance(found, dict) and found["Status"] == "Success" else None


def fill(folder: Path) -> Orthanc:
    """An Orthanc that has lived, stopped again."""
    server = Orthanc(folder)
    server.config = {**configuration(server.port), "StorageCompression": True}
    server.start()
    try:
        everything = iter(files())
        stored = 0
        while stored < COUNT // 2:
            stored += upload(server, next(everything)) is not None
        server.stop()
        server.config["StorageCompression"] = False
        server.start()
        while stored < COUNT + 3:  # three of them are deleted
            stored += upload(server, next(everything)) is not None
        use(server)
    finally:
        server.stop()
    return server


def use(server: Server) -> None:
    """What users do."""
    ids = {level: server.json("GET", f"/{level}") for level in LEVELS}
    for level, known in ids.items():
        for position, one in enumerate(known[:3]):
            put(server, f"/{level}/{one}/metadata/my-meta", f"Text {position} é".encode())
            put(server, f"/{level}/{one}/metadata/1500", b"")
            put(server, f"/{level}/{one}/attachments/my-att", b"a text " * 20 * (position + 1))
            put(server, f"/{level}/{one}/attachments/1601", bytes(range(256)))
        put(server, f"/{level}/{known[0]}/metadata/my-meta", b"once more")
    for patient in (*ids["patients"][:2], ids["patients"][5]):
        put(server, f"/patients/{patient}/protected", b"1")
    put(server, f"/patients/{ids['patients'][5]}/protected", b"0")
    compressed, plain = ids["instances"][200], ids["instances"][3]
    post(server, f"/instances/{compressed}/attachments/dicom/compress")
    post(server, f"/instances/{plain}/attachments/dicom/uncompress")
    put(server, "/modalities/one", b'["ONE", "127.0.0.1", 104]')
    put(server, "/modalities/two", b'{"AET": "TWO", "Host": "h", "Port": 105, "AllowEcho": false}')
    put(server, "/peers/self", json.dumps([f"{server.url}/"]).encode())
    put(server, "/peers/other", b'{"Url": "http://127.0.0.1:1/", "RemoteSelf": "me"}')
    put(server, "/peers/secret", b'["http://127.0.0.1:1/", "alice", "secret"]')
    server.json("POST", "/peers/self/store", ids["studies"][:2] + ids["instances"][:2])
    server.json("POST", f"/studies/{ids['studies'][0]}/modify", {"Replace": {"StudyID": "X"}})
    server.json("POST", f"/series/{ids['series'][1]}/anonymize", {})
    put(server, f"/studies/{ids['studies'][2]}/attachments/my-att", b"newer")
    for one in (ids["instances"][10], ids["instances"][-1], ids["instances"][-2]):
        server.json("DELETE", f"/instances/{one}")


def put(server: Server, path: str, body: bytes) -> None:
    status, answer = server.request("PUT", path, body)
    assert status == 200, (path, status, answer)


def post(server: Server, path: str) -> None:
    status, answer = server.request("POST", path, b"")
    assert status == 200, (path, status, answer)


# --- questions ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Question:
    """One request; ``kind`` is its path without identifiers."""

    kind: str
    path: str
    body: Any = None
    unordered: bool = False

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


OF_EACH = (
    "",
    "?short",
    "?full",
    "/metadata",
    "/metadata?expand",
    "/attachments",
    "/statistics",
    "/module",
)
OF_LEVEL: Mapping[str, tuple[str, ...]] = {
    "patients": ("/protected", "/studies", "/series", "/instances", "/shared-tags"),
    "studies": ("/patient", "/series", "/instances", "/shared-tags?simplify", "/module-patient"),
    "series": ("/patient", "/study", "/instances", "/instances-tags?short", "/ordered-slices"),
    "instances": (
        "/patient",
        "/study",
        "/series",
        "/file",
        "/tags",
        "/tags?short",
        "/simplified-tags",
        "/header",
        "/content",
        "/content/PatientID",
        "/frames",
        "/frames/0/raw",
        "/pdf",
    ),
}
BELOW = ("/studies", "/series", "/instances")
"""Their order is unspecified when they are not children."""
OF_ATTACHMENT = (
    "data",
    "compressed-data",
    "size",
    "compressed-size",
    "md5",
    "compressed-md5",
    "is-compressed",
    "info",
)
SEARCHES = (
    {"PatientName": "*"},
    {"PatientName": "doe*"},
    {"PatientID": "PAT1"},
    {"StudyDate": "20250101-20261231"},
    {"StudyDescription": "*a*"},
    {"AccessionNumber": "ACC1"},
    {"Modality": "CT"},
    {"SeriesDescription": "Series 1"},
    {"InstanceNumber": "2"},
    {"BodyPartExamined": "HEAD"},
)


def questions(server: Server) -> Iterator[Question]:
    """Everything that can be read, of the resources that this server has."""
    for path in ("/statistics", "/exports", "/changes?last", "/exports?last", "/system"):
        yield Question(path, path)
    for since in range(0, server.json("GET", "/changes?last")["Last"] + 100, 100):
        yield Question("/changes?since", f"/changes?since={since}&limit=100")
    for book in ("modalities", "peers"):
        yield Question(f"/{book}", f"/{book}")
        yield Question(f"/{book}?expand", f"/{book}?expand")
        for name in server.json("GET", f"/{book}"):
            yield Question(f"/{book}/{{}}/configuration", f"/{book}/{name}/configuration")
    for level, title in LEVELS.items():
        yield Question(f"/{level}", f"/{level}")
        yield Question(f"/{level}?expand", f"/{level}?expand")
        yield Question(f"/{level}?since", f"/{level}?since=3&limit=5")
        for query in SEARCHES:
            order = {"Level": title, "Query": query}
            yield Question(f"find {title}", "/tools/find", order, unordered=True)
            yield Question(f"find {title}", "/tools/find", {**order, "Expand": True}, True)
        if level != "instances":
            for one in server.json("GET", f"/{level}")[:5]:
                yield Question(f"/{level}/{{}}/archive", f"/{level}/{one}/archive")
        for one in server.json("GET", f"/{level}"):
            for rest in (*OF_EACH, *OF_LEVEL[level]):
                kin = rest in BELOW
                yield Question(f"/{level}/{{}}{rest}", f"/{level}/{one}{rest}", unordered=kin)
            names = server.json("GET", f"/{level}/{one}/metadata")
            for name in names if level != "instances" else names[-1:]:
                path = f"/{level}/{one}/metadata/{name}"
                yield Question(f"/{level}/{{}}/metadata/{{}}", path)
            for name in server.json("GET", f"/{level}/{one}/attachments"):
                for rest in OF_ATTACHMENT:
                    path = f"/{level}/{one}/attachments/{name}/{rest}"
                    yield Question(f"/{level}/{{}}/attachments/{name}/{rest}", path)
    for text in ("PAT1", "ACC1", "1.2.826.0.1.3680043.10.1234.20", "nobody"):
        yield Question("lookup", "/tools/lookup", text, unordered=True)


def answer(server: Server, question: Question) -> dict[str, Any]:
    """Status and body: JSON, or the bytes as text."""
    body = question.body
    sent = None if body is None else body if isinstance(body, str) else json.dumps(body)
    status, data = server.request(
        question.method, question.path, None if sent is None else sent.encode()
    )
    try:
        found = json.loads(data)
    except ValueError:
        found = unzipped(data) if data.startswith(b"PK") else data.decode("latin-1")
    if question.unordered and isinstance(found, list):
        found.sort(key=lambda one: json.dumps(one, sort_keys=True))
    if question.kind.endswith("/content"):
        found = dict.fromkeys(found, "")
    return {"status": status, "body": found}


def unzipped(data: bytes) -> list[str]:
    """Digests of what is in an archive: its names are our own."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sorted(hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist())
