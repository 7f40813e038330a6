"""Conversations with the stock plugin, byte for byte: what versions 1.4 and 1.7 say to a Wherry and
what it answers, and what a Wherry says to a stock server.

The requests are written down as they travel; ``{…}`` stands for what differs between runs. Nothing
is said through a library of HTTP here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_series
from tests.support.server import Server, running
from tests.support.transfers import wait_until
from wherry.dicom.scan import scan
from wherry.digests import content_digest

FILES = {scan(data).identifiers.instance: data for data in make_series(2, pixel_bytes=256)}
A, B = sorted(FILES)
STUDY = scan(FILES[A]).identifiers.study
UNKNOWN = "00000000-11111111-22222222-33333333-44444444"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BUCKET = FILES[A] + FILES[B]


def instance(name: str) -> dict[str, str]:
    data = FILES[name]
    return {"ID": name, "Size": str(len(data)), "MD5": hashlib.md5(data).hexdigest()}


def declaration(compression: str) -> bytes:
    """As JsonCpp writes it: members in order of the alphabet."""
    chunks = ",".join(f'{{"ID":"{n}","Offset":"0","Size":"{len(FILES[n])}"}}' for n in (A, B))
    instances = ",".join(
        '{{"ID":"{ID}","MD5":"{MD5}","Size":"{Size}"}}'.format(**instance(n)) for n in (A, B)
    )
    return (
        f'{{"Buckets":[[{chunks}]],"Compression":"{compression}","Instances":[{instances}]}}\n'
    ).encode()


@dataclass
class Reply:
    status: str
    headers: dict[str, str]
    body: bytes

    def masked(self) -> Any:
        """Its JSON, with ``{uuid}`` for each."""
        return json.loads(UUID.sub("{uuid}", self.body.decode()))


def say(server: Server, head: str, body: bytes = b"", **words: str) -> Reply:
    """Send a literal request on a connection of its own. In ``head`` lines end as in Python."""
    text = head.strip("\n").format(length=len(body), port=server.port, **words)
    data = text.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as opened:
        opened.sendall(data)
        answer = HTTPResponse(opened)
        answer.begin()
        headers = {name: value for name, value in answer.getheaders() if name != "Date"}
        return Reply(f"{answer.status} {answer.reason}", headers, answer.read())


# What follows the first line, as libcurl inside the stock servers writes it.
FROM_14 = """
Host: 127.0.0.1:{port}
Accept: */*
"""
FROM_17 = """
Host: 127.0.0.1:{port}
User-Agent: Orthanc/1.12.10
Accept: */*
"""
FORM = "Content-Type: application/x-www-form-urlencoded\n"
ME = "sender-transfer-id: 5e2b8f60-6f5a-4a51-8c36-b1f3c1f0a001\n"


@dataclass(frozen=True)
class Version:
    """How one version writes requests."""

    name: str
    slash: str
    common: str
    lookup: str
    push: str
    bucket: str
    end: str

    def head(self, method: str, path: str, extra: str = "", length: bool = True) -> str:
        size = "Content-Length: {length}\n" if length else ""
        return f"{method} {self.slash}{path} HTTP/1.1{self.common}{extra}{size}"


VERSIONS = [
    Version("1.4", "//", FROM_14, ME + FORM, FORM, ME + FORM, ME + FORM),
    Version(
        "1.7",
        "/",
        FROM_17,
        "Content-Type: application/json\n" + ME,
        "Content-Type: application/json\n" + ME,
        "Content-Type: application/octet-stream\nCookie: node=a1\n" + ME,
        "Cookie: node=a1\n" + ME + FORM,
    ),
]
OURS = re.compile("Wherry-.*|Content-Digest")
"""What an answer says to another Wherry; a stock client does not look at it."""
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {
        "OrthancPeers": {"us": {"Url": "http://127.0.0.1:1/"}},
        "Transfers": {"MaxPushTransactions": 100},
    }
    with running(Server(tmp_path_factory.mktemp("here"), config=config)) as started:
        yield started


@pytest.fixture(params=[True, False], ids=["stored", "empty"])
def stored(server: Server, request: pytest.FixtureRequest) -> bool:
    """Whether the server has the study."""
    for name in server.json("GET", "/patients"):
        server.request("DELETE", f"/patients/{name}")
    if request.param:
        fill(server)
    return bool(request.param)


def fill(server: Server) -> None:
    for data in FILES.values():
        assert server.request("POST", "/instances", data)[0] == 200


def check_json(reply: Reply, value: Any) -> None:
    length = {"Content-Length": str(len(reply.body))}
    stock = {name: text for name, text in reply.headers.items() if not OURS.fullmatch(name)}
    assert (reply.status, stock) == ("200 OK", JSON | length)
    assert reply.masked() == value


def check_error(reply: Reply, status: str, **members: Any) -> None:
    assert reply.status == status
    assert reply.headers == {
        "Content-Length": str(len(reply.body)),
        "X-Content-Type-Options": "nosniff",
    }
    number, _, words = status.partition(" ")
    expected = {"HttpError": words, "HttpStatus": int(number)} | members
    assert {name: value for name, value in reply.masked().items() if name in expected} == expected


def of_version(test: Any) -> Any:
    return pytest.mark.parametrize("version", VERSIONS, ids=[v.name for v in VERSIONS])(test)


# --- what stock pullers say --------------------------------------------------------------------
@of_version
def test_lookup(server: Server, version: Version) -> None:
    fill(server)
    question = f'[{{"ID":"{STUDY}","Level":"Study"}}]\n'.encode()
    reply = say(server, version.head("POST", "transfers/lookup", version.lookup), question)
    total = len(FILES[A]) + len(FILES[B])
    check_json(
        reply,
        {
            "Instances": [instance(A), instance(B)],
            "Originator": "{uuid}",
            "CountInstances": 2,
            "TotalSize": str(total),
            "TotalSizeMB": 0,
        },
    )
    assert b"\n" not in reply.body
    unknown = f'[{{"ID":"{UNKNOWN}","Level":"Study"}}]\n'.encode()
    check_error(
        say(server, version.head("POST", "transfers/lookup", version.lookup), unknown),
        "404 Not Found",
        Method="POST",
        OrthancError="Unknown resource",
        OrthancStatus=17,
        Uri="/transfers/lookup",
    )


@of_version
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_chunks(server: Server, version: Version, compression: str) -> None:
    fill(server)
    path = f"transfers/chunks/{A}.{B}?offset=0&size={len(BUCKET)}&compression={compression}"
    reply = say(server, version.head("GET", path, length=False))
    assert reply.status == "200 OK"
    assert "Content-Encoding" not in reply.headers
    if compression == "none":
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert reply.headers["Content-Length"] == str(len(BUCKET))
        assert reply.body == BUCKET
    else:
        assert reply.headers["Content-Type"] == "application/gzip"
        assert reply.body[:4] == b"\x1f\x8b\x08\x00"
        assert gzip.decompress(reply.body) == BUCKET


# --- what stock senders say --------------------------------------------------------------------
@of_version
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_push(server: Server, version: Version, compression: str, stored: bool) -> None:
    reply = say(
        server, version.head("POST", "transfers/push", version.push), declaration(compression)
    )
    check_json(reply, {"ID": "{uuid}", "Path": "/transfers/push/{uuid}"})
    path = json.loads(reply.body)["Path"].removeprefix("/")
    body = gzip.compress(BUCKET, 6, mtime=0) if compression == "gzip" else BUCKET
    for _ in range(2):  # nobody knows whether the first one arrived
        check_json(say(server, version.head("PUT", f"{path}/0", version.bucket), body), {})
    assert set(server.json("GET", "/instances")) == (set(FILES) if stored else set())
    check_json(say(server, version.head("POST", f"{path}/commit", version.end)), {})
    assert set(server.json("GET", "/instances")) == set(FILES)
    for name, data in FILES.items():
        assert server.get(f"/instances/{name}/file") == (200, data)
    check_error(
        say(server, version.head("PUT", f"{path}/0", version.bucket), body),
        "404 Not Found",
        Method="PUT",
        OrthancStatus=17,
        Uri="/transfers/push/{uuid}/0",
    )


@of_version
def test_a_push_that_is_given_up(server: Server, version: Version) -> None:
    reply = say(server, version.head("POST", "transfers/push", version.push), declaration("none"))
    path = json.loads(reply.body)["Path"].removeprefix("/")
    check_json(say(server, version.head("DELETE", path, version.end, length=False)), {})
    check_error(
        say(server, version.head("DELETE", path, version.end, length=False)),
        "404 Not Found",
        Method="DELETE",
        OrthancStatus=17,
        Uri="/transfers/push/{uuid}",
    )


@of_version
def test_a_bucket_in_chunks_and_with_expect(server: Server, version: Version) -> None:
    reply = say(server, version.head("POST", "transfers/push", version.push), declaration("none"))
    path = json.loads(reply.body)["Path"].removeprefix("/")
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BUCKET[:7], BUCKET[7:]))
    head = version.head("PUT", f"{path}/0/", version.bucket, length=False)
    check_json(say(server, f"{head}Transfer-Encoding: chunked\n", chunked + b"0\r\n\r\n"), {})
    expecting = version.head("PUT", f"{path}/0", f"{version.bucket}Expect: 100-continue\n")
    check_json(say(server, expecting, BUCKET), {})


@of_version
def test_the_peer_is_asked_to_pull(server: Server, version: Version) -> None:
    order = (
        f'{{"Compression":"gzip","Originator":"{"0" * 8}-0000-4000-8000-{"0" * 12}","Peer":"us",'
        f'"Resources":[{{"ID":"{STUDY}","Level":"Study"}}]}}\n'
    ).encode()
    check_json(
        say(server, version.head("POST", "transfers/pull", version.end), order),
        {"ID": "{uuid}", "Path": "/jobs/{uuid}"},
    )


@of_version
def test_the_plugins_are_listed(server: Server, version: Version) -> None:
    reply = say(server, version.head("GET", "plugins", length=False))
    assert reply.status == "200 OK"
    assert "transfers" in json.loads(reply.body)


@of_version
def test_a_wrong_method(server: Server, version: Version) -> None:
    reply = say(server, version.head("PUT", "transfers/lookup", version.lookup), b"[]")
    assert (reply.status, reply.body) == ("405 Method Not Allowed", b"")
    assert reply.headers["Allow"] == "POST"


# --- what a Wherry says to a stock server ------------------------------------------------------
@dataclass
class Stock:
    """A stock server with plugin 1.7 that follows a script, and writes down what it hears."""

    answer: Callable[[str, bytes], bytes]
    """From "METHOD path" and body to the answer."""
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    """Heads, as they came, and bodies."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def listen(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as spoken:
            while head := b"".join(takewhile(lambda line: line not in (b"", b"\r\n"), spoken)):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = spoken.read(int(length[1])) if length else b""
                with self.lock:
                    self.heard.append((head.decode(), body))
                    reply = self.answer(" ".join(head.decode().split(" ", 2)[:2]), body)
                client.sendall(reply)

    def masked(self) -> list[tuple[str, bytes]]:
        """What was heard, with ``{port}`` and ``{uuid}``."""
        return [
            (head.replace(f":{self.port}\r", ":{port}\r").replace("\r\n", "\n"), body)
            for head, body in self.heard
        ]


def answer_json(text: str, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, "Content-Type: application/json"]
    lines += [f"Content-Length: {len(text)}", "", text]
    return "\r\n".join(lines).encode()


def refuse(method: str, path: str) -> bytes:
    """A route or a resource that does not exist, in the shape of core 1.12."""
    text = (
        '{\n\t"HttpError" : "Not Found",\n\t"HttpStatus" : 404,\n'
        f'\t"Message" : "Unknown resource",\n\t"Method" : "{method}",\n'
        f'\t"OrthancError" : "Unknown resource",\n\t"OrthancStatus" : 17,\n\t"Uri" : "{path}"\n}}\n'
    )
    return (
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


@contextmanager
def stock(answer: Callable[[str, bytes], bytes]) -> Iterator[Stock]:
    made = Stock(answer)
    threading.Thread(target=made.listen, daemon=True).start()
    try:
        yield made
    finally:
        made.listener.shutdown(socket.SHUT_RDWR)
        made.listener.close()


PUSH_ID = "7d5c8f5e-13c2-4f29-9c0e-0b6f1a2b3c4d"


def receive(request: str, _: bytes) -> bytes:
    """A receiver."""
    method, path = request.split(" ")
    if request == "POST /transfers/push":
        text = f'{{\n\t"ID" : "{PUSH_ID}",\n\t"Path" : "/transfers/push/{PUSH_ID}"\n}}\n'
        cookies = "Set-Cookie: lb=first; Path=/", "Set-Cookie: node=a1; HttpOnly"
        return answer_json(text, *cookies)
    if path.startswith(f"/transfers/push/{PUSH_ID}") and method != "GET":
        return answer_json("{}\n")
    return refuse(method, path)


def give(request: str, _: bytes) -> bytes:
    """A source."""
    method, path = request.split(" ")
    if request == "POST /transfers/lookup":
        answer = {
            "CountInstances": 2,
            "Instances": [instance(A), instance(B)],
            "Originator": PUSH_ID,
            "TotalSize": str(len(BUCKET)),
            "TotalSizeMB": 0,
        }
        return answer_json(json.dumps(answer))
    if path.startswith("/transfers/chunks/"):
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        return f"{head}Content-Length: {len(BUCKET)}\r\n\r\n".encode() + BUCKET
    if request == "GET /plugins":
        return answer_json('[\n\t"explorer.js",\n\t"transfers"\n]\n')
    if request == "POST /transfers/pull":
        return answer_json(f'{{\n\t"ID" : "{PUSH_ID}",\n\t"Path" : "/jobs/{PUSH_ID}"\n}}\n')
    return refuse(method, path)


def talking_to(other: Stock, folder: Path, **entry: str) -> Server:
    peers = {"there": {"Url": f"http://127.0.0.1:{other.port}/", **entry}}
    return Server(folder, config={"OrthancPeers": peers, "Transfers": {"Threads": 1}})


def order(**changes: Any) -> dict[str, Any]:
    return {
        "Resources": [{"Level": "Study", "ID": STUDY}],
        "Peer": "there",
        "Compression": "none",
        "SenderTransferID": "me",
    } | changes


def test_our_push(tmp_path: Path) -> None:
    """All cookies come back, the instances go in the order of their ids, ``Path`` as it was given.
    Only the first two questions are not those of a stock sender; it answers them with 404."""
    with stock(receive) as other, running(talking_to(other, tmp_path)) as sender:
        fill(sender)
        job = sender.json("POST", "/transfers/send", order())["ID"]
        assert sender.wait_for_job(job)["State"] == "Success"
        heads = [head for head, _ in other.masked()]
        bodies = [body for _, body in other.masked()]
        chunks = [{"ID": n, "Offset": "0", "Size": str(len(FILES[n]))} for n in (A, B)]
        cookie = "Cookie: lb=first; node=a1\n"
        assert heads == [
            "POST /transfers/inventory HTTP/1.1\nHost: 127.0.0.1:{port}\nsender-transfer-id: me\n"
            f"Content-Length: {len(bodies[0])}\nContent-Type: application/json\n"
            f"Content-Digest: {content_digest(bodies[0])}\n",
            "POST /transfers/lookup HTTP/1.1\nHost: 127.0.0.1:{port}\nsender-transfer-id: me\n"
            f"Content-Length: {len(bodies[1])}\nContent-Type: application/json\n",
            "POST /transfers/push HTTP/1.1\nHost: 127.0.0.1:{port}\nsender-transfer-id: me\n"
            f"Content-Length: {len(bodies[2])}\nContent-Type: application/json\n",
            f"PUT /transfers/push/{PUSH_ID}/0 HTTP/1.1\nHost: 127.0.0.1:{{port}}\n"
            f"sender-transfer-id: me\n{cookie}Content-Type: application/octet-stream\n"
            f"Content-Length: {len(BUCKET)}\n",
            f"POST /transfers/push/{PUSH_ID}/commit HTTP/1.1\nHost: 127.0.0.1:{{port}}\n"
            f"sender-transfer-id: me\n{cookie}Content-Length: 0\n",
        ]
        assert json.loads(bodies[1]) == [{"Level": "Study", "ID": STUDY}]
        assert json.loads(bodies[2]) == {
            "Instances": [instance(A), instance(B)],
            "Buckets": [chunks],
            "Compression": "none",
        }
        assert bodies[3:] == [BUCKET, b""]


def test_our_pull(tmp_path: Path) -> None:
    with stock(give) as other, running(talking_to(other, tmp_path)) as puller:
        job = puller.json("POST", "/transfers/pull", order())["ID"]
        assert puller.wait_for_job(job)["State"] == "Success"
        assert set(puller.json("GET", "/instances")) == set(FILES)
        (look, question), (fetch, nothing) = other.masked()
        assert look == (
            "POST /transfers/lookup HTTP/1.1\nHost: 127.0.0.1:{port}\nsender-transfer-id: me\n"
            "wherry-digests: blake3\n"  # means nothing to a stock peer
            f"Content-Length: {len(question)}\nContent-Type: application/json\n"
        )
        assert json.loads(question) == [{"Level": "Study", "ID": STUDY}]
        assert fetch == (
            f"GET /transfers/chunks/{A}.{B}?offset=0&size={len(BUCKET)}&compression=none HTTP/1.1\n"
            "Host: 127.0.0.1:{port}\n"
        )
        assert nothing == b""


def test_our_send_in_pull_mode(tmp_path: Path) -> None:
    with stock(give) as other, running(talking_to(other, tmp_path, RemoteSelf="us")) as sender:
        fill(sender)
        answer = sender.json("POST", "/transfers/send", order(Compression="gzip", Priority=3))
        url = f"http://127.0.0.1:{other.port}//jobs/{PUSH_ID}"
        assert answer == {"Peer": "there", "RemoteJob": PUSH_ID, "URL": url}
        ((head, body),) = other.masked()
        assert head.startswith(
            "POST /transfers/pull HTTP/1.1\nHost: 127.0.0.1:{port}\nsender-transfer-id: me\n"
            f"Content-Length: {len(body)}\n"
        )
        document = json.loads(body)
        assert UUID.fullmatch(document.pop("Originator"))
        expected = {"Peer": "us", "Compression": "gzip", "Resources": order()["Resources"]}
        assert expected.items() <= document.items()


def test_our_look_at_peers(tmp_path: Path) -> None:
    with stock(give) as other, running(talking_to(other, tmp_path)) as server:
        assert server.json("GET", "/transfers/peers") == {"there": "installed"}
        assert other.masked() == [("GET /plugins HTTP/1.1\nHost: 127.0.0.1:{port}\n", b"")]


def test_our_farewell(tmp_path: Path) -> None:
    """A stock server that finds a bucket wrong again and again is told that it is over."""

    def never(request: str, body: bytes) -> bytes:
        if request.startswith("PUT "):
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n" + (
                b'{"OrthancStatus":15}'
            )
        return receive(request, body)

    with stock(never) as other, running(talking_to(other, tmp_path)) as sender:
        fill(sender)
        job = sender.json("POST", "/transfers/send", order())["ID"]
        assert sender.wait_for_job(job)["State"] == "Failure"
        wait_until(lambda: other.masked()[-1][0].startswith("DELETE"))  # soon after the end
        farewell, _ = other.masked()[-1]
        assert farewell == (
            f"DELETE /transfers/push/{PUSH_ID} HTTP/1.1\nHost: 127.0.0.1:{{port}}\n"
            "sender-transfer-id: me\nCookie: lb=first; node=a1\n"
        )
