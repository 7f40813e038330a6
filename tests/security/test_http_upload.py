"""Uploads that nobody should be able to hurt a server with."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import json
import random
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running
from wherry import limits

SLACK_KIB = 40 * 1024
"""Memory that a refusal may cost: a few pieces of the body in several threads."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as found:
        found.request("POST", "/instances", make_instance(number=999))
        empty(found)
        yield found


def empty(server: Server) -> None:
    """Delete everything, and wait until the janitor has removed the files."""
    for patient in server.json("GET", "/patients"):
        assert server.request("DELETE", f"/patients/{patient}")[0] == 200
    while server.files():
        server.get("/system")


def peak_kib(server: Server) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def sockets(server: Server) -> int:
    """Open ones, once those of answered requests are gone."""
    links = []
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(entry.readlink()))
    return sum(link.startswith("socket:") for link in links)


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """Nothing is stored, nothing left on disk, memory did not grow."""
    memory, files = peak_kib(server), open_files(server)
    yield
    assert server.json("GET", "/statistics")["CountInstances"] == 0
    assert server.files() == set()
    assert peak_kib(server) - memory < SLACK_KIB
    assert open_files(server) <= files + 8  # pooled connections to the index


def refused(
    server: Server, body: bytes, status: int, code: int, headers: dict[str, str] | None = None
) -> None:
    with unharmed(server):
        got, answer = server.request("POST", "/instances", body, headers)
        assert got == status, answer
        assert json.loads(answer)["OrthancStatus"] == code


def zipped(entries: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "body",
    [b"", b"text", b"<html>" * 1000, b"\x00\x01" * 5000, make_instance()[:-1], b"\xff" * 5_000_000],
    ids=["nothing", "text", "html", "noise", "cut", "much"],
)
def test_what_is_not_dicom(server: Server, body: bytes) -> None:
    refused(server, body, 400, 15)


def test_mutated_dicom(server: Server) -> None:
    """Every damaged file is either refused for what it is, or stored and served as it came."""
    chance = random.Random(20260102)
    whole = make_instance()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    memory = peak_kib(server)
    for _ in range(400):
        data = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.choice([1, 1, 2, 8])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        connection.request("POST", "/instances", bytes(data))
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 200:
            connection.request("GET", f"{answer['Path']}/file")
            assert connection.getresponse().read() == data or answer["Status"] == "AlreadyStored"
        else:
            assert (response.status, answer["OrthancStatus"]) in ((400, 15), (404, 21))
    connection.close()
    stored = server.json("GET", "/instances")
    assert len(server.files()) == len(stored)
    empty(server)
    assert peak_kib(server) - memory < SLACK_KIB


@pytest.mark.parametrize("first", [b"", b"x" * 1000, make_instance()])
def test_a_terabyte_declared(server: Server, first: bytes) -> None:
    """The refusal comes before the body, and although the body does not come."""
    head = b"POST /instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n"
    with unharmed(server), socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(60)
        connection.sendall(head + first)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_garbage_without_end(server: Server) -> None:
    """A body that can never be DICOM is refused while it is still coming."""
    head = b"POST /instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    heard = b""
    with unharmed(server), socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head)
        connection.setblocking(False)
        sent = 0
        while not heard.startswith(b"HTTP/1.1 400 "):
            with contextlib.suppress(BlockingIOError):
                sent += connection.send(b"garbage!" * 8192)
            with contextlib.suppress(BlockingIOError):
                heard += connection.recv(65536)
            assert sent < limits.LINGER_BYTES


def test_a_sender_that_goes_away(server: Server) -> None:
    head = b"POST /instances HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
    with unharmed(server):
        idle = sockets(server)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + make_instance(pixel_bytes=60_000) + bytes(5_000_000))
        # once it has closed the connection it makes no file any more, and removes the one it made
        while sockets(server) > idle or server.files():
            server.get("/system")


def gzip_bomb(head: bytes, zeros: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(head)
    for _ in range(zeros // limits.MIB):
        packed += packer.compress(bytes(limits.MIB))
    return packed + packer.flush()


def huge_instance_head() -> bytes:
    """A DICOM file up to the pixel data, which claim to have nearly 4 GiB."""
    small = make_instance()
    at = small.rindex(b"OW\0\0") + 4
    return small[:at] + (0xFFFFFF00).to_bytes(4, "little")


def test_a_gzip_bomb(server: Server) -> None:
    bomb = gzip_bomb(huge_instance_head(), 300 * limits.MIB)
    assert 300 * limits.MIB / len(bomb) > 900
    refused(server, bomb, 413, 8, {"Content-Encoding": "gzip"})
    refused(server, bomb, 400, 15)


def test_a_zip_bomb(server: Server) -> None:
    refused(server, zipped([("a.dcm", huge_instance_head() + bytes(50 * limits.MIB))]), 413, 8)


def test_a_zip_whose_entries_are_all_the_same_bytes(server: Server) -> None:
    """A small file of overlapping entries, each of which inflates to megabytes."""
    content = huge_instance_head() + bytes(4 * limits.MIB)
    data = zipped([("a", content)])
    start = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    count = 5000
    directory = data[start:end] * count
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    refused(server, data[:start] + directory + tail, 413, 8)


def test_a_zip_of_100_000_entries(server: Server) -> None:
    refused(server, zipped([(f"{number}", b"x") for number in range(100_000)]), 413, 8)


def test_a_zip_that_hides_its_100_000_entries(server: Server) -> None:
    data = bytearray(zipped([(f"{number}", b"x") for number in range(100_000)]))
    end = data.rindex(b"PK\x05\x06")
    locator = data.find(b"PK\x06\x07")
    if locator > 0:  # more than 65,535 entries need the 64-bit record: without it, a lie
        data[locator : locator + 4] = b"XXXX"
    struct.pack_into("<2H", data, end + 8, 1, 1)
    with unharmed(server):
        status, answer = server.request("POST", "/instances", bytes(data))
        assert status in (400, 413), answer


def test_names_of_a_zip_lead_nowhere(server: Server, tmp_path: Path) -> None:
    names = ["../../../../tmp/evil", "/etc/evil", "..\\evil", "x\0evil", "evil\r\n", "é" * 3000]
    with unharmed(server):
        before = set(server.folder.rglob("*")) - set(server.storage.rglob("*"))
        body = zipped([(name, make_instance(number=n)) for n, name in enumerate(names, 1)])
        status, answer = server.request("POST", "/instances", body)
        assert status == 200
        assert len(json.loads(answer)) == len(names)
        assert all(len(name) == 36 for name in server.files())
        assert set(server.folder.rglob("*")) - set(server.storage.rglob("*")) == before
        empty(server)


def test_a_zip_that_is_cut_in_transit(server: Server) -> None:
    body = zipped([("a", make_instance(number=1)), ("b", make_instance(number=2))])
    refused(server, body[:-30], 400, 15)
    refused(server, body[:1000], 400, 15)
    refused(server, b"PK\x03\x04" + bytes(3_000_000), 400, 15)


WRONG = [None, True, 5, -1, 1.5, "x", [], {}, [5], {"Level": []}, {"Url": {}}, "x" * 70_000]


@pytest.mark.parametrize("path", ["/tools/find", "/peers/x", "/transfers/pull", "/transfers/send"])
def test_wrong_types_in_json(server: Server, path: str) -> None:
    method = "PUT" if path.startswith("/peers") else "POST"
    bodies = [json.dumps(value).encode() for value in WRONG]
    bodies += [b"", b"{", b"[" * 100_000, b"nan", b"\xff\xfe", b'{"a":1e999}', b'"\\ud800"']
    with unharmed(server):
        for body in bodies:
            status, answer = server.request(method, path, body)
            assert 400 <= status < 500, (body[:50], status, answer)
            assert json.loads(answer)["HttpStatus"] == status


def test_wrong_types_inside_a_search(server: Server) -> None:
    for value in WRONG:
        for key in ("Level", "Query", "Expand", "Limit", "Since", "CaseSensitive", "Short"):
            body = {"Level": "Study", "Query": {"PatientID": "x"}, "Limit": 1, key: value}
            status, answer = server.request("POST", "/tools/find", json.dumps(body).encode())
            assert status in (200, 400) or (status, key) == (500, "Query"), (key, value, answer)
            if status == 500:
                assert json.loads(answer)["OrthancStatus"] == 27  # an unknown tag, as in Orthanc


def test_a_json_body_without_end(server: Server) -> None:
    body = b'{"a":"' + b"x" * (limits.JSON_BODY_BYTES + 1)
    for path in ("/tools/find", "/transfers/pull"):
        assert server.request("POST", path, body)[0] == 413
    packed = gzip.compress(b" " * (limits.JSON_BODY_BYTES + 1))
    with unharmed(server):
        status, _ = server.request("POST", "/tools/find", packed, {"Content-Encoding": "gzip"})
        assert status == 413


@pytest.mark.parametrize("name", ["nope", "..%2f..%2fetc%2fpasswd", "%00", "'%20OR%201=1--", "%"])
def test_unknown_identifiers(server: Server, name: str) -> None:
    for level in ("patients", "studies", "series", "instances"):
        assert server.get(f"/{level}/{name}")[0] == 404
        assert server.request("DELETE", f"/{level}/{name}")[0] == 404
        assert server.get(f"/{level}/{name}/statistics")[0] == 404
    for path in ("file", "tags", "simplified-tags", "metadata"):
        assert server.get(f"/instances/{name}/{path}")[0] == 404
    assert server.get(f"/jobs/{name}")[0] == 404
    assert server.get(f"/peers/{name}")[0] == 404
    assert server.get(f"/plugins/{name}")[0] == 404
    assert server.request("POST", f"/jobs/{name}/cancel")[0] in (400, 404)
