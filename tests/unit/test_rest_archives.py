"""Archives and media over REST: routes, bodies, names, jobs and their outputs, broken files."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.archives import members, noisy
from tests.support.asgi import Reply, http_scope, receiver
from tests.support.dicom_files import make_instance, make_series
from tests.support.dicomdirs import leaves, walk
from tests.support.face import Face, serving
from tests.support.jobs import DEADLINE_S, eventually
from wherry import limits
from wherry.archives.zipstream import COMMENT
from wherry.rest import archives

FILES = make_series(4)
FOLDER = "PATIENT1 Doe Jane/ACC1 A study/CT Series 1"
NAMES = [f"{FOLDER}/CT{number:06d}.dcm" for number in (1, 2, 3, 4)]
MEDIA_NAMES = ["IMAGES/IM0", "IMAGES/IM1", "IMAGES/IM2", "IMAGES/IM3", "DICOMDIR"]
UNKNOWN = "-".join(["00000000"] * 5)
LEVELS = ("patients", "studies", "series")
TOOLS = ("create-archive", "create-media", "create-media-extended")
ROUTES = [
    *(f"/{level}/{{}}/{name}" for level in LEVELS for name in ("archive", "media")),
    *(f"/tools/{name}" for name in TOOLS),
]
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as face:
        for data in FILES:
            face.upload(data)
        yield face


def resource(face: Face, level: str = "studies") -> str:
    found: str = face.json(f"/{level}")[0]
    return found


def level_of(route: str) -> str:
    level = route.split("/")[1]
    return level if level in LEVELS else "studies"


def post(face: Face, route: str, **options: Any) -> Reply:
    """The order of everything over this route."""
    name = resource(face, level_of(route))
    if route.startswith("/tools"):
        options = {"Resources": [name]} | options
    return face.post_json(route.format(name), options)


def get(face: Face, route: str, query: str = "") -> Reply:
    name = resource(face, level_of(route))
    if route.startswith("/tools"):
        query = f"resources={name}&{query}"
    return face.get(f"{route.format(name)}?{query}")


def is_media(route: str) -> bool:
    return "media" in route


def check(reply: Reply, route: str) -> None:
    """It is an archive of all files."""
    assert reply.status == 200, reply.body
    found = members(reply.body)
    assert [*found] == (MEDIA_NAMES if is_media(route) else NAMES)
    assert [*found.values()][:4] == FILES
    if is_media(route):
        assert len(leaves(found["DICOMDIR"])) == 4


def ended(face: Face, job: str) -> Any:
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    return face.json(f"/jobs/{job}")


def start(face: Face, route: str = "/studies/{}/archive", **options: Any) -> str:
    reply = post(face, route, Asynchronous=True, **options)
    assert reply.status == 200, reply.body
    job: str = reply.json()["ID"]
    assert reply.json() == {"ID": job, "Path": f"/jobs/{job}"}
    return job


def stored_file(face: Face, number: int) -> Path:
    """The file of the instance with this number."""
    for one in face.json("/instances?expand"):
        if one["MainDicomTags"]["InstanceNumber"] == str(number):
            uuid: str = one["FileUuid"]
            return face.folder / "storage" / uuid[:2] / uuid[2:4] / uuid
    raise AssertionError(number)


def instance(face: Face, number: int) -> str:
    (found,) = (
        one["ID"]
        for one in face.json("/instances?expand")
        if one["MainDicomTags"]["InstanceNumber"] == str(number)
    )
    return str(found)


# --- every route -------------------------------------------------------------------------------
@pytest.mark.parametrize("route", ROUTES)
def test_an_archive_over_get(face: Face, route: str) -> None:
    reply = get(face, route)
    check(reply, route)
    name = "Archive" if route.startswith("/tools") else resource(face, level_of(route))
    assert reply.headers["content-type"] == "application/zip"
    assert reply.headers["content-disposition"] == f'filename="{name}.zip"'
    assert face.json("/jobs") == []


@pytest.mark.parametrize("route", ROUTES)
def test_an_archive_over_post(face: Face, route: str) -> None:
    reply = post(face, route)
    check(reply, route)
    assert reply.headers == get(face, route).headers | {
        "content-length": reply.headers["content-length"]
    }
    assert face.json("/jobs") == []


@pytest.mark.parametrize("route", ROUTES)
def test_an_archive_as_a_job(face: Face, route: str) -> None:
    job = start(face, route, Priority=-3, UserData={"a": [1]})
    found = ended(face, job)
    reply = face.get(f"/jobs/{job}/archive")
    check(reply, route)
    assert (found["State"], found["Progress"], found["Priority"]) == ("Success", 100, -3)
    assert found["Type"] == ("Media" if is_media(route) else "Archive")
    assert found["UserData"] == {"a": [1]}
    size = sum(map(len, FILES))
    assert found["Content"] == {
        "ArchiveSize": str(len(reply.body)),
        "ArchiveSizeMB": 0,
        "Description": "REST API",
        "InstancesCount": 4,
        "UncompressedSize": str(size),
        "UncompressedSizeMB": 0,
    }
    assert reply.headers["content-disposition"] == 'filename="archive.zip"'
    assert reply.headers["content-type"] == "application/zip"
    assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize("route", ROUTES)
def test_other_methods(face: Face, route: str) -> None:
    path = route.format(resource(face, level_of(route)))
    for method in ("PUT", "DELETE"):
        reply = face.request(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, "GET,POST")
    reply = face.request("HEAD", path)
    assert (reply.status, reply.body) == (404, b"")


def test_instances_are_no_folders(face: Face) -> None:
    for name in ("archive", "media"):
        for method in ("GET", "POST"):
            reply = face.request(method, f"/instances/{instance(face, 1)}/{name}", b"{}")
            assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)


def test_an_instance_in_an_archive(face: Face) -> None:
    reply = face.post_json("/tools/create-archive", [instance(face, 3)])
    assert members(reply.body) == {NAMES[2]: FILES[2]}


# --- bodies ------------------------------------------------------------------------------------
def answer_of(face: Face, path: str, body: bytes) -> str:
    """``ZIP``, ``job``, or the status, the code and the details of an error."""
    reply = face.request("POST", path, body)
    if reply.status == 200:
        if reply.headers["content-type"] == "application/zip":
            members(reply.body)
            return "ZIP"
        assert set(reply.json()) == {"ID", "Path"}
        return "job"
    error = reply.json()
    assert error["HttpStatus"] == reply.status
    return f"{reply.status}/{error['OrthancStatus']} {error.get('Details', '')}".rstrip()


ANY_BODY = [
    ({}, "ZIP"),
    ({"unknown": 1, "asynchronous": True}, "ZIP"),
    ({"Synchronous": True}, "ZIP"),
    ({"Asynchronous": False}, "ZIP"),
    ({"Synchronous": False}, "job"),
    ({"Asynchronous": True}, "job"),
    ({"Synchronous": True, "Asynchronous": True}, "ZIP"),
    ({"Synchronous": False, "Asynchronous": False}, "job"),
    *(
        ({name: value}, f"400/15 Boolean value expected in field: {name}")
        for name in ("Asynchronous", "Synchronous", "Extended")
        for value in ("yes", 1, None)
    ),
    *(
        ({"Priority": value}, "400/15 Integer value expected in field: Priority")
        for value in ("x", 1.5, None)
    ),
    ({"Priority": -1}, "ZIP"),
    ({"Priority": 2**31}, "400/3 The priority of a job has 32 bits"),
    ({"Priority": 7, "Asynchronous": True}, "job"),
    ({"Transcode": 1}, "400/15 String value expected in field: Transcode"),
    ({"Transcode": ""}, "400/3 Unknown transfer syntax:"),
    ({"Transcode": "nope"}, "400/3 Unknown transfer syntax: nope"),
    ({"Transcode": EXPLICIT}, "ZIP"),
    ({"Extended": True}, "ZIP"),
    ({"Filename": 1}, "400/15 String value expected in field: Filename"),
]


@pytest.mark.parametrize("route", [*ROUTES[2:4], *ROUTES[6:]])
def test_options(face: Face, route: str) -> None:
    study = resource(face)
    for options, expected in ANY_BODY:
        body = {"Resources": [study], **options} if route.startswith("/tools") else options
        found = answer_of(face, route.format(study), json.dumps(body).encode())
        assert found == expected, options


BODIES = [
    *((body, "ZIP") for body in (b"[]", b"[1]", b'"text"', b"5", b"null", b"true", b" {} ")),
    *((body, "400/15") for body in (b"", b"{", b"nope", b"{'a':1}", b"\xff")),
    # Orthanc takes these, as if they were JSON
    *((body, "400/15") for body in (b"{} x", b"{/* a */}", b'{"Extended":true,}')),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_bodies_for_one_resource(face: Face, body: bytes, expected: str) -> None:
    study = resource(face)
    for name in ("archive", "media"):
        assert answer_of(face, f"/studies/{study}/{name}", body) == expected
        if expected != "ZIP":
            unknown = answer_of(face, f"/studies/{UNKNOWN}/{name}", body)
            assert unknown == expected, "a bad body is told before the unknown name"


NO_LIST = "400/15 Expected a list of strings (Orthanc identifiers)"
NO_BODY = "400/15 Expected a list of resources to archive in the body"
SEVERAL = [
    ('["ID"]', "ZIP"),
    ('{"Resources":["ID"]}', "ZIP"),
    ('["ID","ID"]', "ZIP"),
    ("[]", "ZIP"),
    ('{"Resources":[]}', "ZIP"),
    ('{"Resources":[],"Asynchronous":true}', "job"),
    ("{}", "400/15 Missing field Resources in the JSON body"),
    ('{"resources":["ID"]}', "400/15 Missing field Resources in the JSON body"),
    *(
        (f'{{"Resources":{value}}}', NO_LIST)
        for value in ('"ID"', "[1]", "[null]", "null", "{}", '[["ID"]]')
    ),
    ('["ID",1]', NO_LIST),
    *((body, "400/15") for body in ('"ID"', "null", "5", "true")),
    *((body, NO_BODY) for body in ("", "{", "[", "ID")),
    ('["ID","nope"]', "404/17"),
    (f'["{UNKNOWN}"]', "404/17"),
    ('["PATIENT1"]', "404/17"),
    ('[""]', "404/17"),
    ('[" ID"]', "404/17"),
    ('{"Resources":["nope"],"Asynchronous":true}', "404/17"),
    ('{"Resources":["nope"],"Priority":"x"}', "400/15 Integer value expected in field: Priority"),
]


@pytest.mark.parametrize("name", TOOLS)
def test_bodies_for_several_resources(face: Face, name: str) -> None:
    study = resource(face)
    for body, expected in SEVERAL:
        found = answer_of(face, f"/tools/{name}", body.replace("ID", study).encode())
        assert found == expected, body
    assert answer_of(face, f"/tools/{name}", f'["{study.upper()}"]'.encode()) == "404/17"


def test_an_archive_of_nothing(face: Face) -> None:
    for name in TOOLS:
        for reply in (face.post_json(f"/tools/{name}", []), face.get(f"/tools/{name}?resources=")):
            found = members(reply.body)
            assert [*found] == (["DICOMDIR"] if "media" in name else [])
    assert reply.headers["content-disposition"] == 'filename="Archive.zip"'
    empty = face.post_json("/tools/create-archive", []).body
    assert empty == b"PK\5\6" + bytes(16) + len(COMMENT).to_bytes(2, "little") + COMMENT
    job = face.post_json("/tools/create-archive", {"Resources": [], "Asynchronous": True}).json()
    assert ended(face, job["ID"])["State"] == "Success"
    assert face.get(f"/jobs/{job['ID']}/archive").body == empty


def test_resources_in_the_address(face: Face) -> None:
    names = [instance(face, 4), instance(face, 2), instance(face, 4)]
    reply = face.get(f"/tools/create-archive?resources={','.join(names)}")
    assert members(reply.body) == {NAMES[1]: FILES[1], NAMES[3]: FILES[3]}
    reply = face.get("/tools/create-archive")
    assert (reply.status, reply.json()["Details"]) == (400, "Missing argument: resources")
    assert face.get(f"/tools/create-media?resources={names[0]},nope").status == 404


def test_unknown_resources_make_no_job(face: Face) -> None:
    study, series = resource(face), resource(face, "series")
    for path in (
        f"/patients/{study}",
        f"/series/{study}",
        f"/studies/{series}",
        f"/studies/{UNKNOWN}",
        f"/studies/{study.upper()}",
        "/studies/PATIENT1",
    ):
        for name in ("archive", "media"):
            assert face.get(f"{path}/{name}").json()["OrthancStatus"] == 17
            for body in (b"{}", b'{"Asynchronous":true}'):
                assert answer_of(face, f"{path}/{name}", body) == "404/17"
    assert face.json("/jobs") == []


def test_bounds(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    study, ids = resource(face), face.json("/instances")
    monkeypatch.setattr(limits, "SENT_RESOURCES", 3)
    assert face.post_json("/tools/create-archive", ids[:3]).status == 200
    assert face.post_json("/tools/create-archive", ids).status == 413
    assert face.get(f"/tools/create-archive?resources={','.join(ids)}").status == 413
    monkeypatch.setattr(limits, "ARCHIVE_INSTANCES", 3)
    assert face.get(f"/studies/{study}/archive").status == 413
    reply = face.post_json(f"/studies/{study}/archive", {"Asynchronous": True})
    assert (reply.status, reply.json()["Details"]) == (413, "An archive may hold 3 instances")
    assert face.json("/jobs") == []


def test_transcoding_where_nothing_is_to_do_and_to_nothing(face: Face) -> None:
    for route in ROUTES:
        check(get(face, route, f"transcode={EXPLICIT}"), route)
        reply = get(face, route, "transcode=nope")
        assert (reply.status, reply.json()["Details"]) == (400, "Unknown transfer syntax: nope")
        assert get(face, route, "transcode=").json()["OrthancStatus"] == 3
    assert face.json("/jobs") == []
    job = start(face, Transcode=EXPLICIT)
    assert ended(face, job)["Content"]["Transcode"] == EXPLICIT


def described_series(data: bytes) -> bool:
    """Whether the DICOMDIR has descriptions of series."""
    records = [one.record for patient in walk(members(data)["DICOMDIR"]) for one in patient.all()]
    return any("SeriesDescription" in record for record in records)


def test_extended_media(face: Face) -> None:
    for route in ("/studies/{}/media", "/series/{}/media", "/patients/{}/media"):
        assert not described_series(get(face, route).body)
        assert described_series(get(face, route, "extended").body)
        assert not described_series(post(face, route).body)
        assert described_series(post(face, route, Extended=True).body)
    assert not described_series(get(face, "/tools/create-media").body)
    assert described_series(get(face, "/tools/create-media-extended").body)
    assert described_series(post(face, "/tools/create-media", Extended=True).body)
    assert described_series(post(face, "/tools/create-media-extended", Extended=False).body)
    job = start(face, "/tools/create-media-extended")
    ended(face, job)
    assert described_series(face.get(f"/jobs/{job}/archive").body)


# --- names -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("My study.zip", "My study.zip"),
        ("Müller.zip", "Müller.zip"),
        ("山.zip", "?.zip"),
        ('a"; b="c\\d/e', "a__ b=_c_d_e"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie: b"),
        ("a\0b", "a_b"),
        ("x" * 1000, "x" * 255),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_the_name_for_who_saves_it(tmp_path: Path, asked: str, shown: str, stream: bool) -> None:
    with serving(tmp_path, synchronous_zip_stream=stream) as face:
        face.upload(FILES[0])
        for route in ROUTES:
            for reply in (
                get(face, route, f"filename={quote(asked)}"),
                post(face, route, Filename=asked),
            ):
                assert reply.status == 200, reply.body
                assert reply.headers["content-disposition"] == f'filename="{shown}"'
        job = start(face, Filename=asked)
        ended(face, job)
        reply = face.get(f"/jobs/{job}/archive")
        assert reply.headers["content-disposition"] == f'filename="{shown}"'
        with face.rooms.index.read() as tx:
            kept = [json.loads(row[0]) for row in tx.all("SELECT parameters FROM jobs")]
        assert all(one["FileName"].isprintable() for one in kept), "a database must hold it"


def test_an_empty_name_is_none(face: Face) -> None:
    study = resource(face)
    for reply in (
        face.get(f"/studies/{study}/archive?filename="),
        face.post_json(f"/studies/{study}/archive", {"Filename": ""}),
    ):
        assert reply.headers["content-disposition"] == f'filename="{study}.zip"'


@pytest.mark.parametrize("utf8", [True, False])
def test_letters_beyond_ascii(tmp_path: Path, utf8: bool) -> None:
    name = "PATIENT1 Müller 山" if utf8 else "PATIENT1 Mller"
    data = make_instance(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^山")
    with serving(tmp_path, zip_use_utf8=utf8) as face:
        face.upload(data)
        job = start(face)
        ended(face, job)
        for reply in (get(face, "/studies/{}/archive"), face.get(f"/jobs/{job}/archive")):
            assert members(reply.body) == {f"{name}/ACC1 A study/CT Series 1/CT000001.dcm": data}


# --- the output of a job -----------------------------------------------------------------------
def test_a_part_of_an_output(face: Face) -> None:
    job = start(face)
    ended(face, job)
    path = f"/jobs/{job}/archive"
    whole = face.get(path)
    tag, data = whole.headers["etag"], whole.body

    def ask(**headers: str) -> Reply:
        return face.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    part = ask(Range="bytes=100-199")
    assert (part.status, part.body) == (206, data[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(data)}"
    assert part.headers["etag"] == tag
    rest = ask(Range="bytes=1000-", If_Range=tag)
    assert (rest.status, rest.body) == (206, data[1000:])
    other = ask(Range="bytes=1000-", If_Range='"other"')
    assert (other.status, other.body) == (200, data)
    beyond = ask(Range=f"bytes={len(data)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    same = ask(If_None_Match=tag)
    assert (same.status, same.body) == (304, b"")


def test_an_output_is_given_back(face: Face) -> None:
    before = face.files()
    job = start(face)
    ended(face, job)
    path = f"/jobs/{job}/archive"
    assert len(face.files()) == len(before) + 1
    assert face.request("PUT", path).status == 405
    assert face.request("DELETE", f"/jobs/{job}/other").json()["OrthancStatus"] == 7
    reply = face.request("DELETE", path)
    assert (reply.status, reply.body) == (200, b"")
    for method in ("GET", "DELETE"):
        reply = face.request(method, path)
        assert (reply.status, reply.json()["OrthancStatus"]) == (404, 7)
        assert reply.json()["Details"] == "Job has no such output: archive"
    eventually(lambda: face.files() == before, "the janitor")
    assert face.json(f"/jobs/{job}")["State"] == "Success"


def test_outputs_that_are_not_there(face: Face) -> None:
    stored_file(face, 3).unlink()
    job = start(face)
    found = ended(face, job)
    assert (found["State"], found["ErrorCode"]) == ("Failure", 2006)
    missing = f"Instance {instance(face, 3)}: its file is missing here"
    assert found["ErrorDetails"] == missing
    for path in (f"/jobs/{job}/archive", f"/jobs/{UNKNOWN}/archive", f"/jobs/{job}/other"):
        reply = face.get(path)
        assert (reply.status, reply.json()["OrthancStatus"]) == (404, 7)
        assert reply.json()["Details"] == f"Job has no such output: {path.rpartition('/')[2]}"


def test_the_newest_outputs_stay(tmp_path: Path) -> None:
    with serving(tmp_path, media_archive_size=2) as face:
        face.upload(FILES[0])
        jobs = [start(face, route) for route in ROUTES[:4]]
        for job in jobs:
            ended(face, job)
        statuses = [face.get(f"/jobs/{job}/archive").status for job in jobs]
        assert sorted(statuses) == [200, 200, 404, 404]


def test_an_output_goes_with_its_job(face: Face) -> None:
    before = face.files()
    job = start(face)
    ended(face, job)
    assert face.request("DELETE", f"/jobs/{job}").status == 200
    assert face.get(f"/jobs/{job}/archive").status == 404
    eventually(lambda: face.files() == before, "the janitor")


def test_an_archive_is_made_again(face: Face) -> None:
    path = stored_file(face, 3)
    data = path.read_bytes()
    path.unlink()
    job = start(face)
    assert ended(face, job)["State"] == "Failure"
    path.write_bytes(data)
    assert face.request("POST", f"/jobs/{job}/resubmit").status == 200
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Success")
    check(face.get(f"/jobs/{job}/archive"), "")


# --- not streamed ------------------------------------------------------------------------------
@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Face]:
    """``SynchronousZipStream`` false."""
    with serving(tmp_path, synchronous_zip_stream=False) as face:
        for data in FILES:
            face.upload(data)
        yield face


@pytest.mark.parametrize("route", ROUTES)
def test_an_archive_that_is_made_before_it_is_sent(whole: Face, route: str) -> None:
    before = whole.files()
    for reply in (get(whole, route), post(whole, route, Priority=4, UserData="u")):
        check(reply, route)
        name = "Archive" if route.startswith("/tools") else resource(whole, level_of(route))
        assert reply.headers == {
            "content-type": "application/zip",
            "content-disposition": f'filename="{name}.zip"',
            "content-length": str(len(reply.body)),
        }
    jobs = whole.json("/jobs?expand")
    assert {job["Type"] for job in jobs} == {"Media" if is_media(route) else "Archive"}
    assert sorted((job["Priority"], job.get("UserData")) for job in jobs) == [(0, None), (4, "u")]
    assert {job["State"] for job in jobs} == {"Success"}
    eventually(lambda: whole.files() == before, "what was sent is given back")
    for job in jobs:
        assert whole.get(f"/jobs/{job['ID']}/archive").status == 404


def test_no_part_of_an_archive_that_will_be_another_one(whole: Face) -> None:
    path = f"/studies/{resource(whole)}/archive"
    reply = whole.request("GET", path, headers={"Range": "bytes=100-"})
    check(reply, path)
    assert "etag" not in reply.headers


def test_it_displaces_no_output(whole: Face) -> None:
    job = start(whole)
    ended(whole, job)
    check(get(whole, "/studies/{}/archive"), "")
    check(get(whole, "/studies/{}/media"), "media")
    check(whole.get(f"/jobs/{job}/archive"), "")


def test_a_broken_file_is_an_error(whole: Face) -> None:
    before = whole.files()
    path = stored_file(whole, 3)
    bad = instance(whole, 3)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    for route in ROUTES:
        for reply in (get(whole, route), post(whole, route)):
            assert (reply.status, reply.json()["OrthancStatus"]) == (500, 20)
            assert reply.json()["Details"] == f"Instance {bad}: its file here is damaged"
    reply = whole.get(f"/studies/{UNKNOWN}/archive")
    assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)
    eventually(lambda: whole.files() == before, "what was written is given back")


def test_several_who_wait_at_once(whole: Face) -> None:
    """Each gets its own, however few outputs are kept."""
    before = whole.files()
    replies: list[Reply] = []
    paths = [f"/studies/{resource(whole)}/archive", f"/series/{resource(whole, 'series')}/media"]
    threads = [
        threading.Thread(target=lambda path=path: replies.append(whole.get(path)))
        for path in paths * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert [reply.status for reply in replies] == [200] * 6
    assert sorted(len(members(reply.body)) for reply in replies) == [4] * 3 + [5] * 3
    eventually(lambda: whole.files() == before, "what was sent is given back")


# --- files as they are stored ------------------------------------------------------------------
def test_compressed_files_are_plain_in_archives(tmp_path: Path) -> None:
    with serving(tmp_path, storage_compression=True) as face:
        for data in FILES:
            face.upload(data)
        assert stored_file(face, 1).read_bytes() != FILES[0]
        for route in ROUTES:
            check(get(face, route), route)
        job = start(face)
        ended(face, job)
        check(face.get(f"/jobs/{job}/archive"), "")


LARGE = [noisy(number, 200_000) for number in range(1, 9)]


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    """Archives that are sent in pieces, and longer than what is read ahead."""
    monkeypatch.setattr(limits, "READ_CHUNK_BYTES", 65_536)
    with serving(tmp_path) as face:
        for data in LARGE:
            face.upload(data)
        yield face


def sent(
    face: Face, target: str, *, leaves_after: int | None = None
) -> tuple[Reply, BaseException | None]:
    """What was sent, and the error that ended it. ``leaves_after``: so many pieces, the client
    is gone."""
    reply, gone = Reply(), threading.Event()
    pieces = 0

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal pieces
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
            return
        reply.body += message.get("body", b"")
        reply.ended = not message.get("more_body", False)
        pieces += 1
        if pieces == leaves_after:
            gone.set()

    listening = receiver([])

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"} if gone.is_set() else await listening()

    try:
        asyncio.run(face.app(http_scope("GET", target), receive, send))
    except Exception as error:
        return reply, error
    return reply, None


def quiet() -> bool:
    """No thread reads for an archive any more."""
    return not [one for one in threading.enumerate() if one.name == "archive-reader"]


def test_a_large_archive_is_sent_in_pieces(large: Face) -> None:
    reply, error = sent(large, f"/studies/{resource(large)}/archive")
    assert (error, reply.status, reply.ended) == (None, 200, True)
    assert "content-length" not in reply.headers
    assert [*members(reply.body).values()] == LARGE
    assert quiet()


@pytest.mark.parametrize("harm", ["missing", "damaged", "short"])
@pytest.mark.parametrize("name", ["archive", "media"])
def test_a_broken_file_in_the_middle_breaks_the_answer(large: Face, harm: str, name: str) -> None:
    path = stored_file(large, 5)
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] + (b"?" if harm == "damaged" else b""))
    reply, error = sent(large, f"/studies/{resource(large)}/{name}")
    assert error is not None
    assert instance(large, 5) in str(error)
    assert (reply.status, reply.ended) == (200, False)
    assert len(reply.body) > 0
    with pytest.raises(zipfile.BadZipFile):
        members(reply.body)
    assert quiet()


def test_a_broken_first_file_is_an_error(large: Face) -> None:
    stored_file(large, 1).unlink()
    for name in ("archive", "media"):
        reply = large.get(f"/studies/{resource(large)}/{name}")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2006)
        assert instance(large, 1) in reply.json()["Details"]
    assert quiet()


# --- places ------------------------------------------------------------------------------------
@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """One stream at a time."""
    places = asyncio.Semaphore(1)
    monkeypatch.setattr(archives, "_STREAMS", places)
    return places


def test_streams_at_once_are_bounded(large: Face, places: asyncio.Semaphore) -> None:
    study = resource(large)
    asyncio.run(places.acquire())  # type: ignore[arg-type]  it does not wait
    for method, path in (
        ("GET", f"/studies/{study}/archive"),
        ("POST", f"/studies/{study}/media"),
        ("GET", f"/tools/create-archive?resources={study}"),
    ):
        reply = large.request(method, path, b"{}")
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert reply.json()["Details"] == "Too many archives are being made already"
    job = start(large)
    assert ended(large, job)["State"] == "Success", "jobs have their own bound"
    places.release()
    assert large.get(f"/studies/{study}/archive").status == 200


def test_places_are_given_back(large: Face, places: asyncio.Semaphore) -> None:
    path = f"/studies/{resource(large)}/archive"

    def is_free() -> bool:
        return not places.locked()

    assert large.get(f"/studies/{UNKNOWN}/archive").status == 404
    assert is_free()
    reply, error = sent(large, path)
    assert (error, reply.ended, is_free()) == (None, True, True)
    reply, error = sent(large, path, leaves_after=2)
    assert (error, reply.ended, is_free()) == (None, False, True)
    assert len(reply.body) < sum(map(len, LARGE)) / 2
    stored_file(large, 5).unlink()
    reply, error = sent(large, path)
    assert error is not None
    assert is_free()
    stored_file(large, 1).unlink()
    assert large.get(path).status == 500
    assert is_free()
    assert quiet()
