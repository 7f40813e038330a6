"""The same requests to a real Orthanc and to Wherry: the same statuses, shapes and values.

Only what ``docs/differences.md`` explains may differ.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, free_port, running

ORTHANC = shutil.which("Orthanc")
pytestmark = pytest.mark.skipif(
    ORTHANC is None, reason="there is no Orthanc to compare with: apt-get install orthanc"
)

START_S = 60.0

ADDED_LATER = {"First", "Labels", "IsProtected", "TimezoneOffsetFromUTC", "0008,0201"}
"""Members that releases after 1.10 add, and we with them."""

FILES = [
    make_instance(1, 1, 1),
    make_instance(1, 1, 2),
    make_instance(1, 2, 1, SeriesDescription=" padded ", Manufacturer="Ä"),
    make_instance(2, 1, 1, StudyDescription="Émile", SpecificCharacterSet="ISO_IR 192"),
    make_instance(3, 1, 1, patient_id="OTHER", PatientName="Zoé^X", PatientBirthDate=""),
    make_instance(4, 1, 1, patient_id="FOURTH", CardiacNumberOfImages=3, InstanceNumber=7),
    make_instance(5, 1, 1, PatientName="Now^Jane", PatientSex="", StudyDate="", KVP="120"),
]
SAMPLES = ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "examples_rgb_color.dcm", "693_J2KI.dcm"]
"""Of pydicom's own test data."""


@dataclass
class Answer:
    """What a server said, without what may differ from run to run."""

    status: int
    content_type: str
    headers: dict[str, str]
    body: Any


class Client:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        request = urllib.request.Request(
            self.url + target, body, {"Accept-Encoding": "identity", **(headers or {})}
        )
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return self._answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return self._answer(error.code, error.headers, error.read())

    @staticmethod
    def _answer(status: int, headers: Any, content: bytes) -> Answer:
        kept = ("Allow", "WWW-Authenticate", "Content-Disposition", "Location", "ETag")
        found = {name: normalised(headers[name]) for name in kept if headers[name]}
        content_type = headers.get("Content-Type", "") if status == 200 else ""
        try:
            body = normalised(json.loads(content))
        except ValueError:
            body = normalised(content.decode("latin-1")) if len(content) < 100 else content
        return Answer(status, content_type, found, body)


def normalised(value: Any) -> Any:
    """Dates and file names by what they are; lists of children sorted; details of errors gone."""
    if isinstance(value, dict):
        return {
            key: sorted(item) if key in ("Studies", "Series", "Instances") else normalised(item)
            for key, item in value.items()
            if key not in ADDED_LATER and not (key == "Details" and "OrthancStatus" in value)
        }
    if isinstance(value, list):
        return [normalised(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"\b\d{8}T\d{6}\b", "<date>", value)
        return re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>", value)
    return value


@contextmanager
def orthanc(folder: Path) -> Iterator[Client]:
    """A real Orthanc on a store of its own."""
    assert ORTHANC is not None
    port = free_port()
    folder.mkdir()
    settings = {
        "Name": "beside",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomPort": free_port(),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OrthancPeers": {"there": ["http://127.0.0.1:1/", "alice", "secret"]},
        "StableAge": 10_000,
        "Plugins": [],
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([ORTHANC, str(path)], stdout=log, stderr=log)
    try:
        client = Client(port)
        end = time.monotonic() + START_S
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            try:
                client.ask("GET", "/system")
                break
            except OSError:
                time.sleep(0.05)  # waiting for another process to listen
        yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """A real Orthanc and ours, which have been given the same files."""
    folder = tmp_path_factory.mktemp("beside")
    config = {
        "Name": "beside",
        "StableAge": 10_000,
        "OrthancPeers": {"there": ["http://127.0.0.1:1/", "alice", "secret"]},
    }
    with orthanc(folder / "theirs") as theirs, running(Server(folder / "ours", config)) as server:
        ours = Client(server.port)
        samples = [Path(str(pydicom.data.get_testdata_file(name))).read_bytes() for name in SAMPLES]
        for data in [*FILES, *samples]:
            same(theirs.ask("POST", "/instances", data), ours.ask("POST", "/instances", data))
        yield theirs, ours


def differences(theirs: Any, ours: Any, place: str = "") -> Iterator[str]:
    """Where two answers differ, in words."""
    if isinstance(theirs, Answer):
        for name in ("status", "content_type", "headers", "body"):
            yield from differences(getattr(theirs, name), getattr(ours, name), name)
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            missing = "(none)"
            yield from differences(
                theirs.get(key, missing), ours.get(key, missing), f"{place}/{key}"
            )
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(their, our, f"{place}/{number}")
    elif theirs != ours:
        yield f"{place}: {str(ours)[:100]!r} instead of {str(theirs)[:100]!r}"


def same(theirs: Answer, ours: Answer, *, unordered: bool = False) -> None:
    if unordered and isinstance(theirs.body, list):
        theirs.body.sort(key=json.dumps)
        ours.body.sort(key=json.dumps)
    found = list(differences(theirs, ours))
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def compare(
    both: tuple[Client, Client], method: str, target: str, body: bytes | None = None
) -> None:
    same(*(client.ask(method, target, body) for client in both))


def ids(client: Client, level: str) -> list[str]:
    found: list[str] = client.ask("GET", f"/{level}").body
    return sorted(found)


LEVELS = ("patients", "studies", "series", "instances")


@pytest.mark.parametrize("level", LEVELS)
def test_lists(both: tuple[Client, Client], level: str) -> None:
    theirs, ours = both
    assert ids(theirs, level) == ids(ours, level)
    for query in ("since=0&limit=3", "since=2&limit=2", "since=100&limit=1", "since=0&limit=0"):
        compare(both, "GET", f"/{level}?{query}")
        compare(both, "GET", f"/{level}?expand&{query}")
    compare(both, "GET", f"/{level}?since=a&limit=1")
    compare(both, "GET", f"/{level}?expand&short&since=0&limit=100")
    compare(both, "GET", f"/{level}?expand&full&since=0&limit=100")


@pytest.mark.parametrize("level", LEVELS)
def test_each_resource(both: tuple[Client, Client], level: str) -> None:
    for one in ids(both[0], level):
        compare(both, "GET", f"/{level}/{one}")
        compare(both, "GET", f"/{level}/{one}?short")
        compare(both, "GET", f"/{level}/{one}?full")
        compare(both, "GET", f"/{level}/{one}/statistics")
        for kin in ("patient", "study", "series", "studies", "instances"):
            target = f"/{level}/{one}/{kin}"
            same(*(client.ask("GET", target) for client in both), unordered=True)


def test_each_instance(both: tuple[Client, Client]) -> None:
    for one in ids(both[0], "instances"):
        path = f"/instances/{one}"
        for what in ("file", "metadata?expand"):
            compare(both, "GET", f"{path}/{what}")
        for name in ("TransferSyntax", "9", "nope", "4001", "CalledAET", "RemoteIP"):
            compare(both, "GET", f"{path}/metadata/{name}")


def test_the_log_of_changes(both: tuple[Client, Client]) -> None:
    for query in ("", "?limit=4", "?since=5&limit=3", "?since=100000", "?last", "?limit=0"):
        compare(both, "GET", f"/changes{query}")
    for query in ("?limit=1000", "?since=abc", "?limit=-1", "?limit=1.5", "?since=3&limit=0"):
        compare(both, "GET", f"/changes{query}")
    for query in ("", "?limit=0", "?limit=-1&since=abc", "?last"):
        compare(both, "GET", f"/exports{query}")


def test_protection(both: tuple[Client, Client]) -> None:
    path = f"/patients/{ids(both[0], 'patients')[0]}/protected"
    for body in (b"1", b"maybe", b"", b"True", b" false\n", b"true", b"2", b"0"):
        compare(both, "PUT", path, body)
        compare(both, "GET", path)


def test_statistics(both: tuple[Client, Client]) -> None:
    compare(both, "GET", "/statistics")


SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("Study", {}),
    ("Patient", {"PatientID": "PATIENT1"}),
    ("Patient", {"PatientID": "patient1"}),
    ("Patient", {"PatientName": "ZOÉ^X"}),
    ("Patient", {"PatientName": "Zoe^X"}),
    ("Patient", {"PatientSex": "*"}),
    ("Patient", {"PatientBirthDate": ""}),
    ("Study", {"PatientName": "doe*"}),
    ("Study", {"PatientName": "d?e^jane"}),
    ("Study", {"PatientName": "do"}),
    ("Study", {"AccessionNumber": "ACC1\\ACC3"}),
    ("Study", {"StudyDate": "20260101-20260103"}),
    ("Study", {"StudyDate": "20260103-"}),
    ("Study", {"StudyTime": "100000-110000"}),
    ("Study", {"StudyDescription": "ÉMILE"}),
    ("Study", {"StudyDescription": "EMILE"}),
    ("Study", {"ModalitiesInStudy": "MR"}),
    ("Study", {"ModalitiesInStudy": "MR\\OT"}),
    ("Study", {"Modality": "CT"}),
    ("Series", {"Modality": "CT", "PatientID": "PATIENT1"}),
    ("Series", {"0008-103e": "series 1"}),
    ("Series", {"SeriesDescription": "*1"}),
    ("Instance", {"InstanceNumber": "1", "PatientName": "Doe*"}),
    ("Study", {"PatientName": "now*"}),
    ("Series", {"PatientName": "*jane"}),
    ("Study", {"PatientSex": "*"}),
    ("Study", {"StudyDate": "-20260102"}),
    ("Instance", {"Rows": "8"}),
    ("Series", {"KVP": "120", "PatientID": "PATIENT1"}),
    ("Study", {"KVP": "120"}),
    ("Patient", {"KVP": "120"}),
    ("Study", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}),
    ("Instance", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4\\1.2"}),
    ("Instance", {"ContentDate": "2000-2010"}),
    ("Study", {"ManufacturerModelName": "genesis*"}),
    ("Instance", {"00080018": "1.2.826.0.1.3680043.10.1234.1.1.2"}),
]


@pytest.mark.parametrize(("level", "query"), SEARCHES)
def test_searches(both: tuple[Client, Client], level: str, query: dict[str, Any]) -> None:
    for more in ({}, {"Expand": True}, {"CaseSensitive": True}):
        body = json.dumps({"Level": level, "Query": query, **more}).encode()
        same(*(c.ask("POST", "/tools/find", body) for c in both), unordered=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"Query":{}}',
        b'{"Level":5,"Query":{}}',
        b'{"Level":"Study"}',
        b'{"Level":"Nope","Query":{}}',
        b'{"Level":"Study","Query":{"Nope":"x"}}',
        b'{"Level":"Study","Query":{"PatientName":5}}',
        b'{"Level":"Study","Query":{},"Limit":-1}',
    ],
)
def test_searches_that_are_refused(both: tuple[Client, Client], body: bytes) -> None:
    compare(both, "POST", "/tools/find", body)


@pytest.mark.parametrize("text", ["PATIENT1", " patient1\n", "nope", "", "CT1"])
def test_lookups(both: tuple[Client, Client], text: str) -> None:
    same(*(c.ask("POST", "/tools/lookup", text.encode()) for c in both), unordered=True)


def test_lookups_of_uids(both: tuple[Client, Client]) -> None:
    root = "1.2.826.0.1.3680043.10.1234"
    for uid in (f"{root}.1", f"{root}.1.1", f"{root}.1.1.1"):
        compare(both, "POST", "/tools/lookup", uid.encode())


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/nope"),
        ("GET", "/STATISTICS"),
        ("GET", "//statistics/"),
        ("GET", "/changes/../statistics"),
        ("PUT", "/instances"),
        ("DELETE", "/system"),
        ("DELETE", "/instances"),
        ("POST", "/studies"),
        ("GET", "/tools/find"),
        ("GET", "/tools/lookup"),
        ("HEAD", "/system"),
        ("OPTIONS", "/system"),
        ("PATCH", "/system"),
        ("GET", "/patients/nope"),
        ("DELETE", "/studies/nope"),
        ("GET", "/studies/nope/series"),
        ("GET", "/series/nope/patient"),
        ("GET", "/patients/nope/statistics"),
        ("GET", "/instances/nope/file"),
        ("GET", "/instances/nope/tags"),
        ("GET", "/instances/nope/metadata"),
        ("GET", "/instances/nope/metadata/9"),
        ("GET", "/instances/nope/nope"),
        ("GET", "/jobs"),
        ("GET", "/jobs?expand"),
        ("GET", "/jobs/nope"),
        ("POST", "/jobs/nope/cancel"),
        ("POST", "/jobs/nope/resubmit"),
        ("GET", "/jobs/nope/archive"),
        ("GET", "/peers"),
        ("GET", "/peers?expand"),
        ("GET", "/peers/nope"),
        ("GET", "/peers/there/configuration"),
        ("GET", "/peers/nope/configuration"),
        ("GET", "/peers/nope/system"),
        ("GET", "/peers/there/system"),
        ("DELETE", "/peers/nope"),
        ("GET", "/plugins/nope"),
        ("GET", "/plugins/explorer.js"),
        ("GET", "/tools/now"),
        ("GET", "/tools/now-local"),
    ],
)
def test_surface(both: tuple[Client, Client], method: str, target: str) -> None:
    compare(both, method, target)


def test_peers_that_are_declared(both: tuple[Client, Client]) -> None:
    for entry in (
        {"URL": "http://127.0.0.1:2/", "Username": "u", "Password": "p", "HttpHeaders": {"X": "y"}},
        {"Url": "http://127.0.0.1:3"},
        ["http://127.0.0.1:4/", "alice", "secret"],
        ["http://127.0.0.1:4/"],
        {},
        {"Url": "ftp://x/"},
        [],
    ):
        compare(both, "PUT", "/peers/new", json.dumps(entry).encode())
        compare(both, "GET", "/peers/new/configuration")
    compare(both, "DELETE", "/peers/new")
    compare(both, "GET", "/peers")


def zipped(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"folder/{number}", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{}",
        b"PK",
        bytes(5000),
        b"\x89PNG" + b"\x01\xfe" * 300,
        FILES[0],
        FILES[0][132:],
        FILES[0][:-1],
        FILES[0][:300],
        gzip.compress(FILES[0]),
        zipped(b"text", FILES[0], b"", FILES[1], zipped(FILES[2])),
        zipped(b"text"),
        zipped(FILES[5], FILES[5]),
    ],
    ids=range(14),
)
def test_uploads(both: tuple[Client, Client], body: bytes) -> None:
    compare(both, "POST", "/instances", body)


def test_gzip_uploads(both: tuple[Client, Client]) -> None:
    body, headers = gzip.compress(FILES[0]), {"Content-Encoding": "gzip"}
    same(*(client.ask("POST", "/instances", body, headers) for client in both))


def test_deletions(both: tuple[Client, Client]) -> None:
    """The last test: it takes everything away."""
    theirs, _ = both
    first = theirs.ask("POST", "/instances", FILES[0]).body
    compare(both, "DELETE", first["Path"])
    compare(both, "GET", f"/series/{first['ParentSeries']}")
    compare(both, "DELETE", f"/series/{first['ParentSeries']}")
    compare(both, "DELETE", f"/studies/{first['ParentStudy']}")
    for patient in ids(theirs, "patients"):
        compare(both, "DELETE", f"/patients/{patient}")
        compare(both, "DELETE", f"/patients/{patient}")
    compare(both, "GET", "/statistics")
    compare(both, "GET", "/changes")
    compare(both, "GET", "/changes?last")
