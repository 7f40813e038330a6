"""Archives of a real server: read by other people's programs, beside those of a genuine Orthanc,
fetched by clients that go away, and within bounded memory."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from tests.support.archives import members, noisy
from tests.support.dicom_bytes import data_set, even, explicit, meta, pixels, type_element
from tests.support.dicom_files import make_instance
from tests.support.dicomdirs import file_set, leaves
from tests.support.genuine import Orthanc, running_orthanc
from tests.support.jobs import eventually
from tests.support.pydicom_files import ROOT
from tests.support.server import Server, running
from wherry import limits
from wherry.archives.zipstream import COMMENT

MIB = limits.MIB


def tool(name: str, package: str) -> str:
    """A program of others; skips the test when there is none."""
    if (path := shutil.which(name)) is None:
        pytest.skip(f"there is no {name}: apt-get install {package}")
    return path


def run(*command: str | Path, folder: Path) -> str:
    """What the program says; it must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr)
    return done.stdout.decode()


def upload(server: Server, data: bytes) -> dict[str, str]:
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    found: dict[str, str] = json.loads(answer)
    return found


# --- read by others ----------------------------------------------------------------------------
FILES = {
    "P1 Müller Jürgen/A1 Schädel/CT/CT000001.dcm": noisy(
        1,
        300_000,
        study=1,
        SpecificCharacterSet="ISO_IR 192",
        PatientID="P1",
        PatientName="Müller^Jürgen",
        AccessionNumber="A1",
        StudyDescription="Schädel",
        SeriesDescription="",
    ),
    "P2 山田 太郎/Unknown Study/MR T2/MR000007.dcm": make_instance(
        2,
        number=7,
        SpecificCharacterSet="ISO_IR 192",
        PatientID="P2",
        PatientName="山田^太郎",
        AccessionNumber="",
        StudyDescription="",
        Modality="MR",
        SeriesDescription="T2",
    ),
    "P3 Doe/ACC3 A study/CT Series 1/CT000001.dcm": make_instance(
        3, PatientID="P3", PatientName="Doe"
    ),
    "P3 Doe/ACC3 A study/CT Series 1/CT000002.dcm": make_instance(
        3, number=2, PatientID="P3", PatientName="Doe"
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as server:
        for data in FILES.values():
            upload(server, data)
        yield server


def fetched(server: Server, kind: str, folder: Path, how: str) -> Path:
    """The archive of everything, as a file."""
    everything = {"Resources": server.json("GET", "/patients")}
    if how == "job":
        job = server.json("POST", f"/tools/create-{kind}", everything | {"Asynchronous": True})
        assert server.wait_for_job(job["ID"])["State"] == "Success"
        status, data = server.get(f"/jobs/{job['ID']}/archive")
    else:
        body = json.dumps(everything).encode()
        status, data = server.request("POST", f"/tools/create-{kind}", body)
    assert status == 200
    path = folder / "archive.zip"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["stream", "job"])
def test_an_archive_is_read_by_others(server: Server, tmp_path: Path, how: str) -> None:
    path = fetched(server, "archive", tmp_path, how)
    assert members(path.read_bytes()) == FILES
    unzip = tool("unzip", "unzip")
    assert "No errors detected" in run(unzip, "-tq", path, folder=tmp_path)
    assert set(run(unzip, "-Z1", path, folder=tmp_path).splitlines()) == FILES.keys()
    shown = run(unzip, "-Zv", path, folder=tmp_path)
    assert COMMENT.decode() in shown
    assert shown.count("compression method:                             deflated") == len(FILES)
    run(unzip, "-q", path, "-d", "out", folder=tmp_path)
    out = tmp_path / "out"
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == FILES
    assert {p.stat().st_mode & 0o777 for p in out.rglob("*.dcm")} <= {0o644, 0o640, 0o600}


@pytest.mark.parametrize("how", ["stream", "job"])
def test_zipinfo_finds_nothing_odd(server: Server, tmp_path: Path, how: str) -> None:
    zipinfo = tool("zipinfo", "unzip")
    path = fetched(server, "archive", tmp_path, how)
    shown = run(zipinfo, "-v", path, folder=tmp_path)
    assert not re.search("warning|error|extra bytes|caution", shown, re.I)


@pytest.mark.parametrize("how", ["stream", "job"])
@pytest.mark.parametrize("kind", ["media", "media-extended"])
def test_a_medium_is_read_by_others(server: Server, tmp_path: Path, kind: str, how: str) -> None:
    with zipfile.ZipFile(fetched(server, kind, tmp_path, how)) as opened:
        opened.extractall(tmp_path)
    assert len(leaves((tmp_path / "DICOMDIR").read_bytes())) == len(FILES)
    with file_set(tmp_path / "DICOMDIR") as loaded:
        found = [Path(one.path).read_bytes() for one in loaded]
        patients = {str(one.PatientName) for one in loaded}
    assert sorted(found) == sorted(FILES.values())
    assert patients == {"Müller^Jürgen", "山田^太郎", "Doe"}
    shown = run(tool("dcmdump", "dcmtk"), "+L", "DICOMDIR", folder=tmp_path)
    assert shown.count("refFileID=") == len(FILES)
    run(tool("dcmftest", "dcmtk"), "DICOMDIR", *tmp_path.glob("IMAGES/*"), folder=tmp_path)


def test_files_of_every_kind(tmp_path: Path) -> None:
    """Real files come back as they were, plain or packed, also those that are no images."""
    names = ["CT_small", "MR_small", "JPEG2000", "reportsi", "rtplan", "test-SR", "waveform_ecg"]
    files = [(ROOT / f"test_files/{name}.dcm").read_bytes() for name in names]
    for compress in (False, True):
        config = {"StorageCompression": compress, "OverwriteInstances": False}
        with running(Server(tmp_path / str(compress), config)) as server:
            for data in files:
                upload(server, data)
            for kind in ("archive", "media"):
                found = members(fetched(server, kind, tmp_path, "stream").read_bytes())
                found.pop("DICOMDIR", None)
                assert sorted(found.values()) == sorted(files)


# --- beside Orthanc ----------------------------------------------------------------------------
VALUES = (
    *("Doe^Jane", "a^b", "a b", "a-b", "a - b", "a^^b", "^a^", "Head", "HEAD", "../../etc/passwd"),
    *(
        "Müller",
        "Yamada^Tarou=山田^太郎",
        "x_y.z",
        "a\\b",
        "50% & more?",
        "CON",
        "  a  b ",
        "a\tb",
        "",
    ),
)
MODALITIES = ("CT", "MR", "RTSTRUCT", "M", "", "a-b", "ä", "mr", "O ")


def tagged(uids: tuple[str, str, str], number: int, values: Mapping[int, tuple[str, str]]) -> bytes:
    """An instance without InstanceNumber; ``uids``: the ends of those of study, series, itself."""
    study, series, sop = (even(b"1.2.9." + part.encode(), b"\0") for part in uids)
    elements: list[type_element] = [
        (0x00080005, "CS", even(b"ISO_IR 192")),
        (0x00080018, "UI", sop),
        (0x0020000D, "UI", study),
        (0x0020000E, "UI", series),
        *((tag, vr, even(text.encode())) for tag, (vr, text) in values.items()),
    ]
    return meta() + data_set(*elements) + pixels(100 + 2 * number)


def odd_files() -> list[bytes]:
    """Patients of one to three studies of one to three series of one to three files, in no
    particular order; names that come again, and such as must be changed."""
    random = Random(11)
    files, number = [], 0
    for patient in range(25):
        own = {
            0x00100020: ("LO", f"{random.choice(['P', 'Q'])}{patient % 20}"),
            0x00100010: ("PN", random.choice(VALUES)),
        }
        for study in range(random.randint(1, 3)):
            own_study = {
                0x00080050: ("SH", random.choice(["A", "", "B^"])),
                0x00081030: ("LO", random.choice(VALUES)),
            }
            for series in range(random.randint(1, 3)):
                own_series = {
                    0x00080060: ("CS", random.choice(MODALITIES)),
                    0x0008103E: ("LO", random.choice(VALUES)),
                }
                for _ in range(random.randint(1, 3)):
                    number += 1
                    uid = f"{patient}.{study}"
                    uids = (uid, f"{uid}.{series}", f"{uid}.{series}.{number}")
                    files.append(tagged(uids, number, own | own_study | own_series))
    random.shuffle(files)
    return files


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Orthanc]]:
    """A Wherry and an Orthanc with the same files."""
    folder = tmp_path_factory.mktemp("both")
    with (
        running_orthanc(folder) as theirs,
        running(Server(folder / "ours", {"ZipUseUtf8": False})) as ours,
    ):
        for data in odd_files():
            assert ours.request("POST", "/instances", data)[0] == 200
            assert theirs.raw("POST", "/instances", data)[0] == 200
        yield ours, theirs


UNKNOWN = ("Unknown Patient", "Unknown Study", "Unknown Series")


def corrected(name: str) -> str:
    """A name of Orthanc's with ours in the place of those that are none. Such a folder may get
    another number than there; the files of these tests have none of the same name beside it."""
    *folders, file = name.split("/")
    sound = [
        unknown if folder in ("", ".", "..") else folder
        for folder, unknown in zip(folders, UNKNOWN, strict=True)
    ]
    return "/".join([*sound, file])


def test_archives_beside_those_of_orthanc(both: tuple[Server, Orthanc]) -> None:
    ours, theirs = both
    compared = set[str]()
    for level in ("patients", "studies", "series"):
        ids = ours.json("GET", f"/{level}")
        assert sorted(ids) == sorted(theirs.get(f"/{level}"))
        for one in ids:
            status, mine = ours.get(f"/{level}/{one}/archive")
            other_status, other = theirs.raw("GET", f"/{level}/{one}/archive")
            assert (status, other_status) == (200, 200)
            here, there = members(mine), members(other)
            assert [*here] == [corrected(name) for name in there]
            assert [*here.values()] == [*there.values()]
            compared.update(here)
    assert len(compared) > 100


@pytest.mark.parametrize("level", ["patients", "studies", "series"])
def test_large_archives_beside_those_of_orthanc(both: tuple[Server, Orthanc], level: str) -> None:
    """All in one: many folders of the same names. In another order of request, the same."""
    ours, theirs = both
    ids = ours.json("GET", f"/{level}")
    for chosen in (ids, ids[::-2], [*ids[3:9], *ours.json("GET", "/patients")[:2]]):
        body = json.dumps(chosen).encode()
        here = members(ours.request("POST", "/tools/create-archive", body)[1])
        there = members(theirs.raw("POST", "/tools/create-archive", body)[1])
        assert [*here] == [corrected(name) for name in there]
        assert [*here.values()] == [*there.values()]


def test_media_beside_those_of_orthanc(both: tuple[Server, Orthanc]) -> None:
    ours, theirs = both
    for chosen in (ours.json("GET", "/patients"), ours.json("GET", "/series")[:5]):
        body = json.dumps(chosen).encode()
        here = members(ours.request("POST", "/tools/create-media", body)[1])
        there = members(theirs.raw("POST", "/tools/create-media", body)[1])
        assert [*here] == [*there]
        del here["DICOMDIR"], there["DICOMDIR"]
        assert here == there


def test_numbered_files_beside_those_of_orthanc(both: tuple[Server, Orthanc]) -> None:
    """The same files in the same folders; 1.10.1 counts them, since 1.12.6 they bear their own
    number."""
    ours, theirs = both
    series = ""
    for number in (30, 4, 17):
        data = make_instance(50, 1, number)
        series = upload(ours, data)["ParentSeries"]
        assert theirs.raw("POST", "/instances", data)[0] == 200
    here = members(ours.get(f"/series/{series}/archive")[1])
    there = members(theirs.raw("GET", f"/series/{series}/archive")[1])
    assert sorted(here.values()) == sorted(there.values())
    assert {name.rpartition("/")[0] for name in here} == {name.rpartition("/")[0] for name in there}
    assert [name[-12:] for name in here] == ["CT000004.dcm", "CT000017.dcm", "CT000030.dcm"]
    assert [name[-12:] for name in there] == ["CT000000.dcm", "CT000001.dcm", "CT000002.dcm"]


# --- large archives ----------------------------------------------------------------------------
LARGE_BYTES, LARGE_COUNT = 55 * MIB, 4


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with a study of 220 MiB that does not get smaller, and its identifier."""
    study = ""
    with running(Server(tmp_path_factory.mktemp("large"))) as server:
        for number in range(LARGE_COUNT):
            data = data_set(
                (0x00080018, "UI", even(b"1.2.3.%d" % (10 + number), b"\0")),
                (0x00200013, "IS", b"%d " % number),
            )
            noise = explicit(0x7FE00010, "OW", os.urandom(LARGE_BYTES))
            study = upload(server, meta() + data + noise)["ParentStudy"]
        yield server, study


def figure(server: Server, name: str) -> int:
    """A number out of the process's ``/proc/…/status``."""
    text = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+)", text, re.M)
    assert found is not None
    return int(found[1])


def descriptors(server: Server) -> Iterator[str]:
    """What the process has open."""
    for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            yield os.readlink(descriptor)
        except FileNotFoundError:  # closed meanwhile
            continue


def stored_files_open(server: Server) -> list[str]:
    """Files in the storage area that are open or mapped."""
    maps = Path(f"/proc/{server.pid}/maps").read_text()
    name = re.compile(f"{re.escape(str(server.storage))}/../../[-0-9a-f]{{36}}")
    return name.findall("\n".join([*descriptors(server), maps]))


def sockets(server: Server) -> int:
    return sum(target.startswith("socket:") for target in descriptors(server))


def downloaded(server: Server, path: str) -> tuple[int, bytes]:
    """Bytes of an answer, and the last of them; taken more slowly than they come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        size, tail = 0, b""
        while piece := answer.read(256 * 1024):
            size += len(piece)
            tail = (tail + piece)[-100:]
            for _ in range(2):
                hashlib.sha512(piece).digest()
        return size, tail
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["archive", "media"])
def test_the_memory_of_a_stream_is_bounded(large: tuple[Server, str], name: str) -> None:
    server, study = large
    assert server.get("/system")[0] == 200
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = figure(server, "VmRSS")
    size, tail = downloaded(server, f"/studies/{study}/{name}")
    assert size > LARGE_COUNT * LARGE_BYTES
    assert tail.endswith(COMMENT)
    grown_kib = figure(server, "VmHWM") - before
    assert grown_kib < 40 * 1024, f"{grown_kib} KiB more"


def test_the_memory_of_a_job_is_bounded(large: tuple[Server, str]) -> None:
    server, study = large
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before = figure(server, "VmRSS")
    job = server.json("POST", f"/studies/{study}/archive", {"Asynchronous": True})
    assert server.wait_for_job(job["ID"])["State"] == "Success"
    size, tail = downloaded(server, f"/jobs/{job['ID']}/archive")
    assert size > LARGE_COUNT * LARGE_BYTES
    assert tail.endswith(COMMENT)
    grown_kib = figure(server, "VmHWM") - before
    assert grown_kib < 40 * 1024, f"{grown_kib} KiB more"
    assert server.request("DELETE", f"/jobs/{job['ID']}")[0] == 200
    eventually(lambda: len(server.files()) == LARGE_COUNT, "the janitor")


def leave(server: Server, path: str, *, reset: bool) -> None:
    """Ask for an archive, take its first bytes, and go; ``reset``: without a good-bye."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        data = connection.recv(65_536)
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("name", ["archive", "media"])
def test_a_client_that_goes_away_leaves_nothing(large: tuple[Server, str], name: str) -> None:
    """Again and again, more often than there are places for streams."""
    server, study = large
    path = f"/studies/{study}/{name}"
    connections, threads = sockets(server), figure(server, "Threads")
    for number in range(limits.ARCHIVE_STREAMS + 2):
        leave(server, path, reset=number % 2 == 0)
        eventually(lambda: not stored_files_open(server), "closed files")
    eventually(lambda: figure(server, "Threads") <= threads, "the end of the threads")
    eventually(lambda: sockets(server) <= connections, "closed connections")
    assert len(server.files()) == LARGE_COUNT
    assert downloaded(server, path)[1].endswith(COMMENT)
    assert not stored_files_open(server)


def test_clients_that_go_away_at_once(large: tuple[Server, str]) -> None:
    """All places are taken, the next one hears so, and all are given back."""
    server, study = large
    path = f"/studies/{study}/archive"
    threads = figure(server, "Threads")
    held = []
    for _ in range(limits.ARCHIVE_STREAMS):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        held.append(connection)
    status, answer = server.get(path)
    assert status == 503
    assert json.loads(answer)["Details"] == "Too many archives are being made already"
    assert server.get("/system")[0] == 200, "who reads slowly holds nobody else up"
    assert stored_files_open(server), "else this test sees nothing"
    for connection in held:
        connection.close()
    eventually(lambda: not stored_files_open(server), "closed files")
    eventually(lambda: figure(server, "Threads") <= threads, "the end of the threads")
    assert server.get(f"/series/{server.json('GET', '/series')[0]}/archive")[0] == 200


def test_a_client_that_does_not_wait_for_a_whole_archive(tmp_path: Path) -> None:
    """``SynchronousZipStream`` false: the job runs on, what it made is given back."""
    config = {"SynchronousZipStream": False}
    with running(Server(tmp_path / "server", config)) as server:
        for number in (1, 2, 3):
            study = upload(server, noisy(number, 8 * MIB))["ParentStudy"]
        files = server.files()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            request = f"GET /studies/{study}/archive HTTP/1.1\r\nHost: a\r\n\r\n"
            connection.sendall(request.encode())
            eventually(lambda: server.json("GET", "/jobs"), "the job")
        (job,) = server.json("GET", "/jobs")
        assert server.wait_for_job(job)["State"] == "Success"
        eventually(lambda: server.files() == files, "what nobody takes is given back")
        status, data = server.get(f"/studies/{study}/archive")
        assert (status, len(members(data))) == (200, 3)


def test_a_broken_file_breaks_the_connection(tmp_path: Path) -> None:
    """Whoever reads it sees that it is not whole."""
    with running(Server(tmp_path / "server")) as server:
        uuid = study = ""
        for number in (1, 2, 3, 4):
            found = upload(server, noisy(number, 4 * MIB))
            study = found["ParentStudy"]
            if number == 3:
                uuid = server.json("GET", found["Path"])["FileUuid"]
        (server.storage / uuid[:2] / uuid[2:4] / uuid).unlink()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", f"/studies/{study}/archive")
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as broken:
            answer.read()
        connection.close()
        assert len(broken.value.partial) > 4 * MIB
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(broken.value.partial))
        assert server.get("/system")[0] == 200
