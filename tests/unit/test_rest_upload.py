from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.support.asgi import Reply, http_scope
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.dicom.identifiers import identifiers

ROOT = "1.2.826.0.1.3680043.10.1234"


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as found:
        yield found


def zipped(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"folder/{number}", content)
    return buffer.getvalue()


def refused(face: Face, reply: Reply, status: int = 400, code: int = 15) -> Any:
    assert reply.status == status, reply.body
    error = reply.json()
    assert error["OrthancStatus"] == code
    assert face.json("/statistics")["CountInstances"] == 0
    assert face.files() == []
    return error


def test_one_instance(face: Face) -> None:
    ids = identifiers("PATIENT1", f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1")
    data = make_instance()
    expected = {
        "ID": ids.instance,
        "ParentPatient": ids.patient,
        "ParentSeries": ids.series,
        "ParentStudy": ids.study,
        "Path": f"/instances/{ids.instance}",
        "Status": "Success",
    }
    assert face.upload(data) == expected
    assert face.upload(data) == {**expected, "Status": "AlreadyStored"}
    assert face.get(f"/instances/{ids.instance}/file").body == data
    assert len(face.files()) == 1


def test_the_origin_is_noted(face: Face) -> None:
    path = face.upload(make_instance())["Path"]
    noted = face.json(f"{path}/metadata?expand")
    assert noted["Origin"] == "RestApi"
    assert noted["RemoteIP"] == "127.0.0.1"


def test_a_large_body_is_streamed(face: Face) -> None:
    big = make_large()
    pieces = [big[start : start + 70_000] for start in range(0, len(big), 70_000)]
    answer = face.upload(pieces)
    assert answer["Status"] == "Success"
    assert face.get(answer["Path"] + "/file").body == big


def make_large() -> bytes:
    """Three pieces of a body."""
    size = 3 * limits.BODY_CHUNK_BYTES
    small = make_instance(number=77, pixel_bytes=2048)
    at = small.rindex(b"OW\0\0") + 4
    return small[:at] + size.to_bytes(4, "little") + bytes(range(256)) * (size // 256)


def test_gzip(face: Face) -> None:
    data = make_large()
    packed = gzip.compress(data)
    assert face.upload(packed, Content_Encoding="gzip")["Status"] == "Success"
    assert face.upload(gzip.compress(make_instance()), Content_Encoding="gzip")
    assert face.json("/statistics")["CountInstances"] == 2


def test_zip(face: Face) -> None:
    first, second = make_instance(number=1), make_instance(number=2)
    answer = face.upload(zipped(b"text", first, b"", second, zipped(first)))
    assert [one["Status"] for one in answer] == ["Success", "Success"]
    assert face.get(answer[1]["Path"] + "/file").body == second
    assert face.upload(zipped(b"only text")) == []
    assert face.upload(zipped()) == []
    assert len(face.files()) == 2


def test_zip_in_gzip_and_zip_that_names_an_instance_twice(face: Face) -> None:
    packed = gzip.compress(zipped(make_instance(), make_instance()))
    answer = face.upload(packed, Content_Encoding="gzip")
    assert [one["Status"] for one in answer] == ["Success", "AlreadyStored"]
    assert len(face.files()) == 1


def test_a_zip_is_stored_wholly_or_not_at_all(face: Face) -> None:
    damaged = make_instance(number=2)[:-10]
    reply = face.request("POST", "/instances", zipped(make_instance(), damaged))
    assert "Entry 2 of the ZIP" in refused(face, reply)["Details"]


def test_a_damaged_zip(face: Face) -> None:
    data = bytearray(zipped(make_instance(number=1), make_instance(number=2)))
    data[300] ^= 1
    refused(face, face.request("POST", "/instances", bytes(data)))
    refused(face, face.request("POST", "/instances", zipped(make_instance())[:-5]))


def test_a_dicomdir_in_a_zip_is_no_instance(face: Face) -> None:
    data = bytearray(make_instance())
    at = data.index(b"\x20\x00\x0d\x00UI")
    data[at : at + 4] = b"\x20\x00\x0c\x00"  # there is no StudyInstanceUID now
    assert face.upload(zipped(bytes(data))) == []
    refused(face, face.request("POST", "/instances", bytes(data)), 404, 21)


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"{}", b"PK", b"\x89PNG" + bytes(1000), b"DICM" * 99]
)
def test_what_is_not_dicom(face: Face, body: bytes) -> None:
    refused(face, face.request("POST", "/instances", body))


def test_zeros(face: Face) -> None:
    """Zeros read as elements without meaning; Orthanc misses a tag, and so do we."""
    refused(face, face.request("POST", "/instances", bytes(20_000)), 404, 21)
    refused(face, face.request("POST", "/instances", [bytes(limits.BODY_CHUNK_BYTES)] * 3))


@pytest.mark.parametrize("cut", [131, 140, 400, -1000, -1])
def test_truncated(face: Face, cut: int) -> None:
    refused(face, face.request("POST", "/instances", make_instance()[:cut]))


def test_undeclared_or_damaged_gzip(face: Face) -> None:
    packed = gzip.compress(make_instance())
    refused(face, face.request("POST", "/instances", packed))
    declared = {"Content-Encoding": "gzip"}
    refused(face, face.request("POST", "/instances", packed[:-3], declared))
    refused(face, face.request("POST", "/instances", b"no gzip", declared))


def test_garbage_is_refused_before_it_is_all_there(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER_BYTES", 0)
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 100_000
        return {"type": "http.request", "body": b"\xff" * 100_000, "more_body": True}

    statuses: list[int] = []

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = http_scope("POST", "/instances", {"Transfer-Encoding": "chunked"})
    asyncio.run(face.app(scope, receive, send))
    assert statuses == [400]
    assert taken < 4 * limits.BODY_CHUNK_BYTES
    assert face.files() == []


def test_lengths_that_are_refused_at_once(face: Face) -> None:
    reply = face.request("POST", "/instances", [b"x", b""], {"Content-Length": str(1 << 40)})
    refused(face, reply, 413, 8)


def test_a_body_larger_than_the_disk(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face.rooms.storage, "free_bytes", lambda: limits.FREE_DISK_BYTES + 10**6)
    data = make_large()
    reply = face.request("POST", "/instances", data, {"Content-Length": str(len(data))})
    refused(face, reply, 507, 19)


def test_overwriting(tmp_path: Path) -> None:
    with serving(tmp_path, overwrite_instances=True) as face:
        path = face.upload(make_instance(pixel_bytes=512))["Path"]
        again = make_instance(pixel_bytes=1024)
        assert face.upload(again)["Status"] == "Success"
        assert face.get(path + "/file").body == again


def test_the_largest_instance_is_configurable(tmp_path: Path) -> None:
    from wherry.config import WherryConfig

    with serving(tmp_path, wherry=WherryConfig(maximum_instance_bytes=2000)) as face:
        assert face.request("POST", "/instances", make_instance()).status == 413
        assert face.request("POST", "/instances", zipped(make_instance())).status == 413
        assert face.files() == []


def test_a_large_file_that_lacks_its_identifiers(face: Face) -> None:
    """Read by pydicom in the end, whose traceback holds on to the mapped file."""
    strange = Path(str(get_testdata_file("JPEGLSNearLossless_08.dcm", download=False))).read_bytes()
    reply = face.request("POST", "/instances", pieces(strange + bytes(2 * limits.MIB)))
    assert reply.status in (400, 404), reply.body
    assert face.files() == []


def pieces(data: bytes) -> list[bytes]:
    return [data[start : start + limits.MIB] for start in range(0, len(data), limits.MIB)]


def form(*files: bytes) -> tuple[bytes, dict[str, str]]:
    """A form as browsers send it."""
    body = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="f"; filename="%d.dcm"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%s\r\n" % (number, data)
        for number, data in enumerate(files)
    )
    return body + b"--edge--\r\n", {"content-type": "multipart/form-data; boundary=edge"}


def test_a_form_of_a_web_page(face: Face) -> None:
    body, headers = form(make_instance(number=1), make_large(), make_instance(number=2))
    for sent in (body, pieces(body)):
        reply = face.request("POST", "/instances", sent, headers)
        assert (reply.status, reply.body) == (200, b"")
        assert face.json("/statistics")["CountInstances"] == 3
    assert len(face.files()) == 3


@pytest.mark.parametrize("wrong", [b"text", b"", make_instance(number=3)[:-10]])
def test_a_form_with_a_part_that_is_no_dicom_is_refused_whole(face: Face, wrong: bytes) -> None:
    body, headers = form(make_instance(number=1), wrong)
    reply = face.request("POST", "/instances", body, headers)
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    assert face.json("/statistics")["CountInstances"] == 0
    assert face.files() == []


def test_a_form_that_is_cut_off_or_malformed(face: Face) -> None:
    body, headers = form(make_instance(number=1))
    for wrong in (body[:-20], body[:-8], b"nonsense", b"", body.replace(b"\r\n", b"\n")):
        reply = face.request("POST", "/instances", wrong, headers)
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15), wrong[-30:]
    long_head = body.replace(b"filename=", b"x" * 100_000 + b"filename=")
    assert face.request("POST", "/instances", long_head, headers).status == 400
    assert face.json("/statistics")["CountInstances"] == 0
    assert face.files() == []
