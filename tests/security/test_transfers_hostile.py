"""Transfers with somebody at the other end who means harm: nothing of it is ever seen, nothing is
left behind, and the server goes on."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.httpd import Httpd, QuietHandler
from tests.support.server import Server, running
from wherry import limits
from wherry.dicom.scan import scan

ALICE, MALLORY = (
    {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    for pair in (b"alice:a", b"mallory:m")
)
ONE_LIFE = {"JobRetries": {"Default": {"Attempts": 0}}}
DATA = make_instance(study=7, pixel_bytes=5000)
OTHER = make_instance(study=7, number=2, pixel_bytes=5000)
assert len(DATA) == len(OTHER)


def name_of(data: bytes) -> str:
    return scan(data).identifiers.instance


def listed(data: bytes, **lies: str) -> dict[str, str]:
    """An instance as a manifest or a lookup lists it."""
    digest = hashlib.md5(data).hexdigest()
    return {"ID": name_of(data), "Size": str(len(data)), "MD5": digest} | lies


def chunk(data: bytes, offset: int | str, size: int | str) -> dict[str, str]:
    return {"ID": name_of(data), "Offset": str(offset), "Size": str(size)}


ZEROS = "-00000000" * 4
LARGE = str(2**36)


def whole(data: bytes) -> dict[str, str]:
    return chunk(data, 0, len(data))


# --- a hostile sender ----------------------------------------------------------------------
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"alice": "a", "mallory": "m"},
        "Transfers": {"MaxPushTransactions": 100},
    }
    with running(Server(tmp_path_factory.mktemp("server"), config=config)) as server:
        yield server


class Sender:
    """One user at one server, who says what no honest sender does."""

    def __init__(self, server: Server, user: dict[str, str]) -> None:
        self.server = server
        self.user = user

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        status, answer = self.server.request(method, path, body, self.user)
        return status, json.loads(answer) if answer else None

    def declare(self, instances: list[Any], buckets: list[Any], compression: str = "none") -> Any:
        manifest = {"Instances": instances, "Buckets": buckets, "Compression": compression}
        return self.ask("POST", "/transfers/push", json.dumps(manifest).encode())

    def open(self, instances: list[Any], buckets: list[Any], compression: str = "none") -> str:
        status, answer = self.declare(instances, buckets, compression)
        assert status == 200, answer
        return str(answer["Path"])

    def put(self, path: str, bucket: int, body: bytes) -> tuple[int, int]:
        """Status and Orthanc's code."""
        status, answer = self.ask("PUT", f"{path}/{bucket}", body)
        return status, answer.get("OrthancStatus", 0)

    def commit(self, path: str) -> tuple[int, int]:
        status, answer = self.ask("POST", f"{path}/commit")
        return status, answer.get("OrthancStatus", 0)

    def metrics(self) -> dict[str, float]:
        text = self.server.request("GET", "/tools/metrics-prometheus", None, self.user)[1].decode()
        return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}

    def held(self) -> list[str]:
        found = self.ask("GET", "/instances")[1]
        assert isinstance(found, list)
        return found


@pytest.fixture
def sender(server: Server) -> Iterator[Sender]:
    """Whatever the test did: after its transfers were discarded there is nothing."""
    sender = Sender(server, ALICE)
    assert sender.held() == []
    opened: list[str] = []
    opening = sender.open

    def remember(*args: Any) -> str:
        opened.append(opening(*args))
        return opened[-1]

    sender.open = remember  # type: ignore[method-assign]
    yield sender
    assert sender.held() == []
    for path in opened:
        assert sender.ask("DELETE", path)[0] == 200
    assert server.files() == set()
    assert sender.metrics()["orthanc_transfers_available_push_count"] == 100
    assert sender.ask("GET", "/changes")[1]["Changes"] == []


@pytest.mark.parametrize("size", [str(2**63), str(2**64), "-1", "1e3", "0x10", " 1", "", "1" * 400])
@pytest.mark.parametrize("where", ["instance", "offset", "chunk"])
def test_a_size_that_is_no_size(sender: Sender, size: str, where: str) -> None:
    instance = listed(DATA, Size=size) if where == "instance" else listed(DATA)
    ranges = {"offset": chunk(DATA, size, 1), "chunk": chunk(DATA, 0, size)}
    status, answer = sender.declare([instance], [[ranges.get(where, whole(DATA))]])
    assert (status, answer["OrthancStatus"]) == (400, 15)


@pytest.mark.parametrize("size", [10**18 - 1, 2**40, limits.BUCKET_BYTES + 1])
def test_a_bucket_of_any_size_is_not_declared(sender: Sender, size: int) -> None:
    status, answer = sender.declare([listed(DATA)], [[chunk(DATA, 0, size)]])
    assert (status, answer["OrthancStatus"]) == (413, 8)
    path = sender.open([listed(DATA)], [[chunk(DATA, 10**18 - 1, 100)]])
    assert sender.put(path, 0, bytes(100)) == (400, 3)


@pytest.mark.parametrize("difference", [-1, 1, 1000])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_declared_size_that_is_not_the_real_one(
    sender: Sender, difference: int, compression: str
) -> None:
    """All bytes of the file are sent; or as many as were declared, which are not the file."""
    size = len(DATA) + difference
    pack = gzip.compress if compression == "gzip" else bytes
    instance = listed(DATA, Size=str(size))
    path = sender.open([instance], [[chunk(DATA, 0, size)]], compression)
    assert sender.put(path, 0, pack(DATA))[0] == 500
    fitting = DATA[:size] + bytes(max(0, difference))
    assert sender.put(path, 0, pack(fitting)) == (500, 20)
    assert sender.commit(path) == (500, 20)


def test_a_body_that_claims_to_be_larger_than_any_disk(sender: Sender) -> None:
    path = sender.open([listed(DATA)], [[whole(DATA)]])
    for length in (2**31, 2**62, 2**63 - 1):
        head = f"PUT {path}/0 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        head += f"Authorization: {ALICE['Authorization']}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", sender.server.port), timeout=30) as connection:
            connection.sendall(head.encode() + DATA)
            assert connection.recv(100).split(b" ")[1] in (b"400", b"413", b"500")
    assert sender.commit(path) == (500, 20)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_body_without_an_end(sender: Sender, compression: str) -> None:
    """Refused as soon as it has more bytes than the bucket; then it is heard for a moment more, so
    that its sender sees the answer, and cut off."""
    path = sender.open([listed(DATA)], [[whole(DATA)]], compression)
    connection = http.client.HTTPConnection("127.0.0.1", sender.server.port, timeout=60)
    piece = gzip.compress(b"", 0)[:10] + b"\x00\xff\xff\x00\x00" if compression == "gzip" else b"x"
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield piece
        for _ in range(4 * limits.LINGER_BYTES // limits.MIB):
            sent += limits.MIB
            yield bytes(limits.MIB)

    with suppress(OSError):
        connection.request("PUT", f"{path}/0", endless(), sender.user, encode_chunked=True)
    with suppress(OSError, http.client.HTTPException):
        assert connection.getresponse().status >= 400
    connection.close()
    assert sent < 2 * limits.LINGER_BYTES, "the server has read on"
    assert sender.commit(path) == (500, 20)


def test_bodies_that_drip_hold_nobody_up(sender: Sender) -> None:
    """They end when they have the size of the bucket, or when the transfer ends, whichever comes
    first; meanwhile the others go on."""
    path = sender.open([listed(DATA)], [[whole(DATA)]])
    other = sender.open([listed(OTHER)], [[whole(OTHER)]])
    head = f"PUT {path}/0 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n"
    head += f"Authorization: {ALICE['Authorization']}\r\n\r\n"
    drips = []
    for _ in range(40):
        drips.append(socket.create_connection(("127.0.0.1", sender.server.port), timeout=30))
        drips[-1].sendall(head.encode() + DATA[:1])
    for position in range(1, 20):
        for connection in drips:
            with suppress(OSError):  # those whose place a later attempt took
                connection.sendall(DATA[position : position + 1])
    assert sender.put(other, 0, OTHER) == (200, 0)
    assert sender.put(path, 0, DATA) == (200, 0)
    for connection in drips:
        connection.close()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_ranges_that_overlap_with_different_bytes(sender: Sender, order: tuple[int, int]) -> None:
    """Whichever comes last, the digest is that of the whole."""
    size = len(DATA)
    buckets = [[chunk(DATA, 0, 4000)], [chunk(DATA, 3000, size - 3000)]]
    bodies = [DATA[:3000] + OTHER[3000:4000], DATA[3000:]]
    bodies[1] = bytes([bodies[1][0] ^ 1]) + bodies[1][1:]
    path = sender.open([listed(DATA)], buckets)
    answers = [sender.put(path, position, bodies[position]) for position in order]
    assert answers == [(200, 0), (500, 20)]
    assert sender.commit(path) == (500, 20)


@pytest.mark.parametrize(
    "buckets",
    [
        [],
        [[]],
        [[chunk(DATA, 0, 100)]],
        [[chunk(DATA, 600, len(DATA) - 600)]],
        [[chunk(DATA, 0, 600)], [chunk(DATA, 601, len(DATA) - 601)]],
        [[chunk(DATA, 0, 0)]],
        [[chunk(DATA, 0, len(DATA) - 1)], [chunk(DATA, 0, len(DATA) - 1)]],
    ],
)
def test_ranges_that_are_missing(sender: Sender, buckets: list[list[dict[str, str]]]) -> None:
    """What lies in no bucket is said to be here: it is not. What lies in some is not whole."""
    path = sender.open([listed(DATA)], buckets)
    for position, bucket in enumerate(buckets):
        parts = [(int(one["Offset"]), int(one["Size"])) for one in bucket]
        body = b"".join(DATA[offset : offset + size] for offset, size in parts)
        assert sender.put(path, position, body)[0] in (200, 500)
    assert sender.commit(path)[0] in (404, 500)


def test_an_instance_that_is_declared_twice(sender: Sender) -> None:
    for lie in ({"Size": "1"}, {"MD5": "0" * 32}):
        status, answer = sender.declare([listed(DATA), listed(DATA, **lie)], [[whole(DATA)]])
        assert (status, answer["OrthancStatus"]) == (400, 15)


def twice(data: bytes, *, genuine_last: bool, cut: bool) -> tuple[list[dict[str, str]], bytes]:
    """A bucket that holds an instance as it is, and altered; its chunks and its bytes."""
    altered = data[:-1] + bytes([data[-1] ^ 1])
    half = len(data) // 2
    chunks = [chunk(data, 0, half), chunk(data, half, len(data) - half)] if cut else [whole(data)]
    return chunks * 2, altered + data if genuine_last else data + altered


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("cut", [False, True])
def test_one_instance_twice_in_a_bucket(sender: Sender, compression: str, cut: bool) -> None:
    """What would be stored is what is verified: the last one."""
    chunks, body = twice(DATA, genuine_last=False, cut=cut)
    path = sender.open([listed(DATA)], [chunks], compression)
    packed = gzip.compress(body) if compression == "gzip" else body
    assert sender.put(path, 0, packed) == (500, 20)
    assert sender.commit(path) == (500, 20)


def test_one_instance_twice_in_a_bucket_and_right_at_last(tmp_path: Path) -> None:
    with running(Server(tmp_path / "server")) as server:
        sender = Sender(server, {})
        for number, cut in enumerate((False, True)):
            data = make_instance(number=number, pixel_bytes=5000)
            chunks, body = twice(data, genuine_last=True, cut=cut)
            path = sender.open([listed(data)], [chunks])
            assert sender.put(path, 0, body) == (200, 0)
            altered = body[: len(data)] * 2
            assert sender.put(path, 0, altered)[0] in (200, 500), "sent again, it is not kept"
            assert sender.commit(path) == (200, 0)
            assert server.get(f"/instances/{name_of(data)}/file") == (200, data)


def test_the_content_of_another_instance_under_its_name(sender: Sender) -> None:
    """Two files that change their names: sizes and digests are right, identities are not."""
    swapped = [
        listed(DATA) | {"ID": name_of(OTHER)},
        listed(OTHER) | {"ID": name_of(DATA)},
    ]
    path = sender.open(swapped, [[whole(OTHER)], [whole(DATA)]])
    assert sender.put(path, 0, DATA) == (500, 20)
    assert sender.put(path, 1, OTHER) == (500, 20)
    assert sender.commit(path) == (500, 20)


@pytest.mark.parametrize("digest", ["0" * 32, "", "x" * 32, hashlib.md5(DATA).hexdigest().upper()])
def test_a_wrong_digest(sender: Sender, digest: str) -> None:
    path = sender.open([listed(DATA, MD5=digest)], [[whole(DATA)]])
    assert sender.put(path, 0, DATA) == (500, 20)
    assert sender.commit(path) == (500, 20)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "a/b", "", "%2e%2e", "x" * 64])
def test_a_name_that_is_none(sender: Sender, name: str) -> None:
    """Any short text may be declared, as with the original; but no file has it."""
    path = sender.open([listed(DATA, ID=name)], [[whole(DATA) | {"ID": name}]])
    assert sender.put(path, 0, DATA) == (500, 20)
    assert sender.commit(path) == (500, 20)


def test_the_transfer_of_somebody_else(sender: Sender) -> None:
    path = sender.open([listed(DATA)], [[whole(DATA)]])
    mallory = Sender(sender.server, MALLORY)
    stranger = Sender(sender.server, {})

    def all_refused() -> None:
        for who, status in ((mallory, 404), (stranger, 401)):
            assert who.ask("GET", path)[0] == status
            assert who.ask("PUT", f"{path}/0", DATA)[0] == status
            assert who.ask("POST", f"{path}/commit")[0] == status
            assert who.ask("DELETE", path)[0] == status

    all_refused()
    assert sender.ask("GET", path)[1]["Received"] == ""
    assert sender.put(path, 0, DATA) == (200, 0)
    all_refused()
    assert sender.ask("GET", path)[1]["Received"] == "0"
    own = mallory.open([listed(DATA)], [[whole(DATA)]])
    assert mallory.commit(own) == (500, 20), "what Alice sent does not count for Mallory"
    assert mallory.ask("DELETE", own)[0] == 200


# --- a redirecting peer, a hostile source --------------------------------------------------
class Source(Httpd):
    """A peer whose answers are those of ``rules``: path → what is sent, whole or in pieces."""

    def __init__(self, rules: dict[str, Callable[[BaseHTTPRequestHandler], None]]) -> None:
        self.rules = rules
        self.seen: list[tuple[str, str | None]] = []
        """Path and credentials of each request."""
        self.cut_off = 0
        """Answers that the client did not want to hear to the end."""
        super().__init__(self._handler())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        source = self

        class Handler(QuietHandler):
            def _handle(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                source.seen.append((self.path, self.headers.get("Authorization")))
                for begin, rule in source.rules.items():
                    if self.path.startswith(begin):
                        try:
                            rule(self)
                        except OSError:
                            source.cut_off += 1
                            self.close_connection = True
                        return
                self.send_error(404)

            do_GET = do_POST = do_PUT = do_DELETE = _handle

        return Handler


type_rule = Callable[[BaseHTTPRequestHandler], None]


def saying(body: bytes, **headers: str) -> type_rule:
    """An honest answer, but for what ``headers`` make of it."""

    def rule(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        told = {"Content-Length": str(len(body))}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in told.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        if int(told["Content-Length"]) > len(body):
            handler.close_connection = True

    return rule


def pieces(body: Iterable[bytes]) -> type_rule:
    """An answer without a length."""

    def rule(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in body:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return rule


def lookup(*instances: dict[str, str]) -> type_rule:
    answer = {"Instances": list(instances), "Originator": "x", "CountInstances": len(instances)}
    return saying(json.dumps(answer).encode())


@pytest.fixture(scope="module")
def puller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("puller"), config={"Wherry": ONE_LIFE})) as server:
        yield server


type_pull = Callable[..., tuple[dict[str, Any], Source]]


@pytest.fixture
def pull(puller: Server) -> Iterator[type_pull]:
    """Pulls from a source with these rules: the job when it has ended. Nothing is left of it."""
    sources: list[Source] = []

    def run(
        rules: dict[str, type_rule], compression: str = "none", route: str = "pull"
    ) -> tuple[dict[str, Any], Source]:
        source = Source(rules)
        sources.append(source)
        entry = {"Url": source.url, "Username": "me", "Password": "secret"}
        assert puller.request("PUT", "/peers/x", json.dumps(entry).encode())[0] == 200
        order = {
            "Resources": [{"Level": "Study", "ID": "0"}] if route == "pull" else [],
            "Peer": "x",
            "Compression": compression,
        }
        job = puller.json("POST", f"/transfers/{route}", order)["ID"]
        return puller.wait_for_job(job, 120), source

    yield run
    for source in sources:
        source.close()
    assert puller.json("GET", "/instances") == []
    assert puller.json("GET", "/changes")["Changes"] == []
    end = time.monotonic() + 60
    while puller.files():  # what a job leaves is removed after its end
        assert time.monotonic() < end
        time.sleep(0.02)  # polling another process


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(pull: type_pull, puller: Server, status: int) -> None:
    elsewhere = Source({"/": saying(b"[]")})

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", f"{elsewhere.url}{handler.path[1:]}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    for route in ("pull", "send"):
        job, source = pull({"/": redirect}, route=route)
        assert job["State"] == "Failure"
        assert "redirect" in job["ErrorDetails"]
        assert all(sent == "Basic bWU6c2VjcmV0" for _, sent in source.seen)
    half = {"/transfers/lookup": lookup(listed(DATA)), "/transfers/chunks": redirect}
    job, _ = pull(half)
    assert (job["State"], "redirect" in job["ErrorDetails"]) == ("Failure", True)
    assert puller.get("/peers/x/system")[0] >= 400
    assert puller.json("GET", "/transfers/peers") == {"x": "disabled"}
    assert elsewhere.seen == []
    elsewhere.close()


def many(count: int) -> bytes:
    item = '{"ID":"%08x-00000000-00000000-00000000-00000000","Size":"1","MD5":"%032x"}'
    items = ",".join(item % (n, n) for n in range(count))
    return f'{{"Instances":[{items}],"Originator":"x"}}'.encode()


MANY_LARGE = [listed(DATA, ID=f"{n:08x}{ZEROS}", Size=LARGE) for n in range(20)]
LOOKUPS = {
    "no JSON": saying(b"nonsense"),
    "no object": saying(b"[]"),
    "no list": saying(b'{"Instances":{},"Originator":"x"}'),
    "deep": saying(b'{"Instances":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
    "twice with two sizes": lookup(listed(DATA), listed(DATA, Size="1")),
    "twice with two digests": lookup(listed(DATA), listed(DATA, MD5="0" * 32)),
    "size 2^63": lookup(listed(DATA, Size=str(2**63))),
    "size -1": lookup(listed(DATA, Size="-1")),
    "size 10^18-1": lookup(listed(DATA, Size=str(10**18 - 1))),
    "more than a disk": lookup(*MANY_LARGE),
    "a path for a name": lookup(listed(DATA, ID="../../etc/passwd")),
    "a digest that is none": lookup(listed(DATA, MD5="x")),
    "200,000 instances": saying(many(200_000)),
    "1,000,000 instances": saying(many(1_000_000)),
    "short": saying(b'{"Instances":[', Content_Length="1000"),
    "endless": pieces([b" " * 100_000] * 2_000),
    "encoded": saying(gzip.compress(b"{}"), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("lie", LOOKUPS)
def test_a_lookup_that_lies(pull: type_pull, lie: str) -> None:
    job, source = pull({"/transfers/lookup": LOOKUPS[lie], "/transfers/chunks": saying(DATA)})
    assert job["State"] == "Failure", job
    assert job["ErrorDetails"]
    assert not any(path.startswith("/transfers/chunks") for path, _ in source.seen)
    if lie == "endless":
        assert source.cut_off


FILLER = [bytes(100_000)] * 2_000
CHUNKS = {
    "none: longer": ("none", saying(DATA + b"x")),
    "none: longer without a length": ("none", pieces([DATA, b"x"])),
    "none: shorter": ("none", saying(DATA[:-1])),
    "none: shorter without a length": ("none", pieces([DATA[:-1]])),
    "none: breaks off": ("none", saying(DATA[:3000], Content_Length=str(len(DATA)))),
    "none: empty": ("none", saying(b"")),
    "none: endless": ("none", pieces(FILLER)),
    "none: twice": ("none", saying(DATA * 2)),
    "none: another instance": ("none", saying(OTHER)),
    "none: altered": ("none", saying(DATA[:-1] + b"?")),
    "none: a page": ("none", saying(b"<html>Please log in</html>", Content_Type="text/html")),
    "none: gzip unasked": ("none", saying(gzip.compress(DATA), Content_Encoding="gzip")),
    "none: gzip": ("none", saying(gzip.compress(DATA))),
    "gzip: plain": ("gzip", saying(DATA)),
    "gzip: longer": ("gzip", saying(gzip.compress(DATA + b"x"))),
    "gzip: shorter": ("gzip", saying(gzip.compress(DATA[:-1]))),
    "gzip: breaks off": ("gzip", saying(gzip.compress(DATA)[:-9])),
    "gzip: a bomb": ("gzip", saying(gzip.compress(bytes(300_000_000)))),
    "gzip: without an end": ("gzip", pieces([gzip.compress(DATA)[:-8], *FILLER])),
    "gzip: two members": ("gzip", saying(gzip.compress(DATA[:100]) + gzip.compress(DATA[100:]))),
}


@pytest.mark.parametrize("lie", CHUNKS)
def test_a_bucket_that_lies(pull: type_pull, lie: str) -> None:
    compression, rule = CHUNKS[lie]
    rules = {"/transfers/lookup": lookup(listed(DATA)), "/transfers/chunks": rule}
    job, source = pull(rules, compression)
    assert job["State"] == "Failure", job
    assert "bucket" in job["ErrorDetails"] or name_of(DATA) in job["ErrorDetails"]
    if "end" in lie:
        assert source.cut_off


@pytest.mark.parametrize("name", [name_of(OTHER), f"00000000{ZEROS}"])
def test_a_source_that_sends_one_instance_for_another(pull: type_pull, name: str) -> None:
    """Size and digest are those of what is sent; its identity is not the one that was listed."""
    rules = {
        "/transfers/lookup": lookup(listed(DATA, ID=name)),
        "/transfers/chunks": saying(DATA),
    }
    job, _ = pull(rules)
    assert (job["State"], job["ErrorCode"]) == ("Failure", 20)
    assert name in job["ErrorDetails"]


def test_an_honest_source_is_believed(tmp_path: Path) -> None:
    """Else the tests above say nothing."""
    with running(Server(tmp_path / "honest", config={"Wherry": ONE_LIFE})) as server:
        rules = {"/transfers/lookup": lookup(listed(DATA)), "/transfers/chunks": saying(DATA)}
        source = Source(rules)
        server.request("PUT", "/peers/x", json.dumps({"Url": source.url}).encode())
        order = {
            "Resources": [{"Level": "Study", "ID": "0"}],
            "Peer": "x",
            "Compression": "none",
        }
        job = server.wait_for_job(server.json("POST", "/transfers/pull", order)["ID"])
        assert job["State"] == "Success", job
        assert server.json("GET", "/instances") == [name_of(DATA)]
        source.close()
