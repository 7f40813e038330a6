"""Speaking to peers that behave in every way a server can."""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from wherry import clock, limits
from wherry.errors import ConfigurationError, CorruptedFile, NetworkProtocol, PeerUnavailable
from wherry.ingest.names import name_in, new_prefix
from wherry.jobs.crew import Crew
from wherry.model import DICOM_CONTENT, Attachment, Peer
from wherry.peers.bodies import BytesBody
from wherry.peers.client import PeerClient, Request
from wherry.peers.patience import Patience
from wherry.peers.proxy import Proxy, read_proxy
from wherry.peers.refusal import PeerRefusal
from wherry.peers.tls import Tls
from wherry.storage.base import type_read
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.outgoing import FileRange
from wherry.transfers.bodies import bucket_body
from wherry.transfers.encoding import parse_encoding

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
GET = Request("GET", "/x", "look")


class Script:
    """A server that answers the n-th request with the n-th entry of its script.

    An entry is what to send; ``None`` = close without a word; an entry that ends in ``CLOSE`` is
    sent and the connection closed. The last entry is repeated.
    """

    CLOSE = b"(close)"

    def __init__(self, script: Sequence[bytes | None], context: ssl.SSLContext | None = None):
        self.script = list(script)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._context = context
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as file:
                while self._one(connection, file):
                    pass

    def _one(self, connection: socket.socket, file: object) -> bool:
        line = file.readline()  # type: ignore[attr-defined]
        if not line:
            return False
        headers = {}
        while (header := file.readline().strip()) != b"":  # type: ignore[attr-defined]
            name, _, value = header.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        body = self._body(file, headers)
        with self._lock:
            self.requests.append((line.decode().strip(), headers, body))
            number = min(len(self.requests), len(self.script)) - 1
        answer = self.script[number]
        if answer is None:
            return False
        if answer.endswith(self.CLOSE):
            connection.sendall(answer.removesuffix(self.CLOSE))
            return False
        connection.sendall(answer)
        return True

    @staticmethod
    def _body(file: object, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(file.readline(), 16):  # type: ignore[attr-defined]
                parts.append(file.read(size))  # type: ignore[attr-defined]
                file.readline()  # type: ignore[attr-defined]
            file.readline()  # type: ignore[attr-defined]
            return b"".join(parts)
        return file.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]


type_serve = Callable[..., Script]


@pytest.fixture
def serve() -> Iterator[type_serve]:
    servers = []

    def start(*script: bytes | None, context: ssl.SSLContext | None = None) -> Script:
        servers.append(Script(script, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client_of(server: Script, **entry: object) -> PeerClient:
    return PeerClient(Peer("there", server.url, **entry), timeout_s=20, tls=Tls())  # type: ignore[arg-type]


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- requests ------------------------------------------------------------------------------
def test_a_request_carries_what_the_entry_says_and_reuses_its_connection(
    serve: type_serve,
) -> None:
    server = serve(answer(200, b"{}", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2"), OK)
    entry = {"username": "me", "password": "secret", "http_headers": {"X-Key": "7"}}
    with client_of(server, **entry) as client:
        first = client.ask(Request("POST", "/a", "x", BytesBody(b"data", "text/plain")))
        assert (first.body, first.cookies, first.sent_bytes) == (b"{}", ("a=1", "b=2"), 4)
        assert client.ask(GET).body == b"{}"
    line, headers, body = server.requests[0]
    assert (line, body) == ("POST /a HTTP/1.1", b"data")
    assert headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert headers["x-key"] == "7"
    assert headers["content-type"] == "text/plain"
    assert "accept-encoding" not in headers
    assert "expect" not in headers
    assert server.connections == 1


def test_the_path_of_the_peer_is_kept(serve: type_serve) -> None:
    server = serve(OK)
    peer = Peer("there", server.url + "orthanc/a/")
    with PeerClient(peer, timeout_s=20, tls=Tls()) as client:
        client.ask(GET)
    assert server.requests[0][0] == "GET /orthanc/a/x HTTP/1.1"


@pytest.mark.parametrize("status", [201, 204, 400, 404, 405, 500, 503])
def test_only_200_is_success(serve: type_serve, status: int) -> None:
    body = b'{"OrthancStatus":20,"Details":"Instance x"}' if status != 204 else b""
    server = serve(answer(status, body, "Retry-After: 7"))
    with client_of(server) as client, pytest.raises(PeerRefusal) as error:
        client.ask(GET)
    assert error.value.status == status
    assert error.value.retry_after_s == 7
    if body:
        assert error.value.peer_code == 20
        assert "Instance x" in error.value.details
    assert "look" in error.value.details
    assert "there" in error.value.details


def test_redirects_are_not_followed(serve: type_serve) -> None:
    elsewhere = serve(OK)
    server = serve(answer(302, b"", f"Location: {elsewhere.url}"))
    with client_of(server) as client, pytest.raises(PeerRefusal, match="redirect"):
        client.ask(GET)
    assert elsewhere.requests == []


def test_an_answer_has_a_bound(serve: type_serve) -> None:
    server = serve(answer(200, bytes(1000)))
    with client_of(server) as client:
        with pytest.raises(NetworkProtocol, match="longer"):
            client.ask(Request("GET", "/", "look", limit=999))
        assert len(client.ask(Request("GET", "/", "look", limit=1000)).body) == 1000


@pytest.mark.parametrize(
    "said",
    [
        None,
        Script.CLOSE,
        b"nonsense\r\n\r\n" + Script.CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" + Script.CLOSE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal" + Script.CLOSE,
    ],
)
def test_what_breaks_off_is_unavailable(serve: type_serve, said: bytes | None) -> None:
    with client_of(serve(said)) as client, pytest.raises(PeerUnavailable):
        client.ask(GET)


def test_nobody_there() -> None:
    peer = Peer("there", "http://127.0.0.1:1/")
    client = PeerClient(peer, timeout_s=5, tls=Tls())
    with pytest.raises(PeerUnavailable, match="refused"):
        client.ask(GET)


def test_silence_ends(serve: type_serve) -> None:
    server = serve(b"")
    request = Request("GET", "/", "look", timeout_s=0.05)
    with client_of(server) as client, pytest.raises(PeerUnavailable, match="timed out"):
        client.ask(request)


def test_a_connection_closed_while_idle_is_not_used(serve: type_serve) -> None:
    server = serve(OK + Script.CLOSE, OK)
    with client_of(server) as client:
        client.ask(GET)
        client.ask(GET)
    assert len(server.requests) == 2
    assert server.connections == 2


def test_a_closed_connection_is_noticed_before_it_is_used(serve: type_serve) -> None:
    server = serve(OK + Script.CLOSE, OK)
    with client_of(server) as client:
        client.ask(GET)
        idle = client._idle[0].http.sock
        assert select.select([idle], [], [], 20)[0], "the server has closed it"
        client.ask(Request("POST", "/commit", "commit", resend=False))
    assert server.connections == 2


def test_an_idle_connection_grows_old(serve: type_serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(OK)
    with client_of(server) as client:
        client.ask(GET)
        later = clock.monotonic() + limits.PEER_IDLE_CONNECTION_S + 1
        monkeypatch.setattr(clock, "monotonic", lambda: later)
        client.ask(GET)
    assert server.connections == 2


@pytest.mark.parametrize("resend", [True, False])
def test_a_connection_closed_at_the_wrong_moment(serve: type_serve, resend: bool) -> None:
    """The peer closes after it has read our request: only some requests may be sent again."""
    server = serve(OK, None, OK)
    with client_of(server) as client:
        client.ask(GET)
        request = Request("POST", "/commit", "commit", resend=resend)
        if resend:
            assert client.ask(request).body == b"{}"
        else:
            with pytest.raises(PeerUnavailable):
                client.ask(request)
    assert len(server.requests) == (3 if resend else 2)


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_refusal_before_the_end_of_the_body_is_heard(reads_on: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer(413, b'{"Details":"too big"}', "Connection: close"))
            connection.shutdown(socket.SHUT_WR)
            while reads_on and connection.recv(100_000):
                pass

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    peer = Peer("there", f"http://127.0.0.1:{listener.getsockname()[1]}/")
    client = PeerClient(peer, timeout_s=20, tls=Tls())
    with pytest.raises(PeerRefusal, match="too big"):
        client.ask(Request("PUT", "/", "bucket", BytesBody(bytes(20_000_000))))
    client.close()
    thread.join()
    listener.close()


def _stored(uuid: str) -> Attachment:
    return Attachment(uuid, DICOM_CONTENT, 0, "", 0, "")


# --- through a proxy -----------------------------------------------------------------------
def test_a_proxy_is_asked_for_the_whole_address(serve: type_serve) -> None:
    server = serve(OK)
    proxy = read_proxy(f"us%65r:p%40ss@{server.url.removeprefix('http://')}")
    peer = Peer("there", "http://elsewhere.example:8042/a/", http_headers={"X": "y"})
    with PeerClient(peer, timeout_s=20, tls=Tls(), proxy=proxy) as client:
        for _ in range(2):
            client.ask(GET)
    line, headers, _ = server.requests[0]
    assert line == "GET http://elsewhere.example:8042/a/x HTTP/1.1"
    assert headers["host"] == "elsewhere.example:8042"
    assert headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert headers["x"] == "y"
    assert server.connections == 1


def test_a_proxy_makes_a_tunnel_for_tls_and_hears_no_secret_of_the_peer(serve: type_serve) -> None:
    server = serve(answer(403))
    proxy = read_proxy(f"user:pw@{server.url.removeprefix('http://')}")
    peer = Peer("there", "https://elsewhere.example/", "me", "secret")
    with (
        PeerClient(peer, timeout_s=20, tls=Tls(), proxy=proxy) as client,
        pytest.raises(PeerUnavailable),
    ):
        client.ask(GET)
    line, headers, _ = server.requests[0]
    assert line.startswith("CONNECT elsewhere.example:443 HTTP/1.")
    assert headers["proxy-authorization"] == "Basic dXNlcjpwdw=="
    assert "authorization" not in headers


@pytest.mark.parametrize("text", ["https://a:1", "a:b:c", "http://", "a:99999", "a/b", "@"])
def test_an_unusable_proxy_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="HttpProxy"):
        read_proxy(text)


def test_no_proxy_and_one_without_a_port() -> None:
    assert read_proxy("") is None
    assert read_proxy("http://proxy.example/") == Proxy("proxy.example", 3128)


# --- bodies --------------------------------------------------------------------------------
class Files:
    def __init__(self, folder: Path) -> None:
        self.storage = FilesystemStorage(folder)
        self.ranges: list[FileRange] = []
        self.data = b""

    def add(self, data: bytes, offset: int, size: int) -> FileRange:
        uuid = name_in(new_prefix())
        writer = self.storage.create(uuid)
        writer.write(data)
        writer.sync()
        writer.close()
        self.ranges.append(FileRange(f"instance-{len(self.ranges)}", _stored(uuid), offset, size))
        self.data += data[offset : offset + size]
        return self.ranges[-1]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path / "storage")
    files.add(os.urandom(3_000_000), 100, 2_500_000)
    files.add(b"small", 0, 5)
    files.add(os.urandom(700_000), 0, 700_000)
    return files


@pytest.mark.parametrize("compression", ["none", "gzip", "gzip as it goes"])
def test_a_bucket_is_sent_as_it_is_stored(
    serve: type_serve, files: Files, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compression == "gzip as it goes":
        monkeypatch.setattr(limits, "BUCKET_BUFFER_BYTES", 0)
    server = serve(OK)
    body = bucket_body(files.storage, files.ranges, parse_encoding(compression.split()[0]))
    with client_of(server) as client:
        for _ in range(2):
            sent = client.ask(Request("PUT", "/", "bucket", body)).sent_bytes
    for _, headers, received in server.requests:
        assert headers["content-type"] == "application/octet-stream"
        assert ("transfer-encoding" in headers) == (compression == "gzip as it goes")
        if compression == "none":
            assert received == files.data
            assert sent == len(received)
        else:
            assert __import__("gzip").decompress(received) == files.data
            assert received[3:8] == bytes(5)  # no name, no time


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_file_that_is_gone_or_short_is_named(
    serve: type_serve, files: Files, compression: str
) -> None:
    short = files.add(b"abc", 0, 4)
    server = serve(OK)
    with client_of(server) as client, pytest.raises(CorruptedFile, match=short.orthanc_id):
        body = bucket_body(files.storage, files.ranges, parse_encoding(compression))
        client.ask(Request("PUT", "/", "bucket", body))


# --- fetching ------------------------------------------------------------------------------
def fetch(client: PeerClient) -> tuple[int, bytes]:
    got = bytearray()

    def take(read: type_read) -> int:
        buffer = memoryview(bytearray(1000))
        while size := read(buffer):
            got.extend(buffer[:size])
        return len(got)

    return client.fetch(GET, take), bytes(got)


def test_a_body_comes_through_one_buffer(serve: type_serve) -> None:
    data = os.urandom(10_500)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"
    server = serve(answer(200, data), chunked, answer(200, b""), OK)
    with client_of(server) as client:
        assert fetch(client) == (len(data), data)
        assert fetch(client) == (len(data), data)
        assert fetch(client) == (0, b"")
        assert client.ask(GET).body == b"{}"
    assert server.connections == 1


def test_an_encoded_body_is_refused(serve: type_serve) -> None:
    client = client_of(serve(answer(200, b"x", "Content-Encoding: gzip")))
    with pytest.raises(NetworkProtocol, match="encoded"):
        fetch(client)


def test_what_the_taker_raises_comes_out_and_costs_the_connection(serve: type_serve) -> None:
    server = serve(answer(200, bytes(5000)), OK)

    def refuse(read: type_read) -> None:
        read(memoryview(bytearray(1000)))
        raise CorruptedFile("no")

    with client_of(server) as client:
        with pytest.raises(CorruptedFile):
            client.fetch(GET, refuse)
        client.ask(GET)
    assert server.connections == 2


# --- interruption --------------------------------------------------------------------------
@pytest.mark.timeout(60)
def test_abort_cuts_what_is_under_way(serve: type_serve) -> None:
    server = serve(b"")  # never answers
    with PeerClient(Peer("there", server.url), timeout_s=1000, tls=Tls()) as client:
        crew = Crew(3, lambda: None, client.abort)
        waiting = threading.Event()

        def work(item: int) -> None:
            if item == 2:
                waiting.wait(20)
                raise CorruptedFile("the first error")
            if item == 1:
                waiting.set()
            client.ask(GET)

        with pytest.raises(CorruptedFile, match="the first error"):
            crew.work(range(100), work)
        assert len(server.requests) <= 2
        with pytest.raises(PeerUnavailable):
            client.ask(GET)
        client.reopen()
        server.script = [OK]
        assert client.ask(GET).body == b"{}"


@pytest.mark.timeout(60)
def test_abort_while_a_connection_is_made(
    serve: type_serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(b"")
    connect = http.client.HTTPConnection.connect
    with PeerClient(Peer("there", server.url), timeout_s=1000, tls=Tls()) as client:

        def aborted(connection: http.client.HTTPConnection) -> None:
            client.abort()
            connect(connection)

        monkeypatch.setattr(http.client.HTTPConnection, "connect", aborted)
        with pytest.raises(PeerUnavailable, match="cut"):
            client.ask(GET)


class Halt(Exception):
    pass


def test_a_crew_obeys_an_interruption(serve: type_serve) -> None:
    server = serve(b"")
    with client_of(server) as client:

        def check() -> None:
            if server.requests:
                raise Halt

        with pytest.raises(Halt):
            Crew(2, check, client.abort).work([1, 2], lambda _: client.ask(GET) and None)


def test_a_crew_does_everything_once() -> None:
    done: list[int] = []
    Crew(4, lambda: None, lambda: None).work(range(500), done.append)
    assert sorted(done) == list(range(500))


# --- patience ------------------------------------------------------------------------------
class Waits:
    def __init__(self) -> None:
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)


def refusal(status: int, after: float | None = None, code: int | None = None) -> PeerRefusal:
    return PeerRefusal("no", status=status, peer_code=code, retry_after_s=after)


def attempts(*errors: Exception, retries: int = 3) -> tuple[int, list[float], Exception | None]:
    """How often a work that fails with ``errors`` in turn is tried, and the last error."""
    left = list(errors)
    tried = 0
    waits = Waits()

    def work() -> None:
        nonlocal tried
        tried += 1
        if left:
            raise left.pop(0)

    try:
        Patience(waits, retries)(work, also=(CorruptedFile,))
    except Exception as error:
        return tried, waits.waited, error
    return tried, waits.waited, None


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "random_share", lambda: 0.5)
    broken = PeerUnavailable("x")
    assert attempts(broken, refusal(500), CorruptedFile("x"))[::2] == (4, None)
    assert attempts(broken, broken, broken)[1] == [0.2, 0.4, 0.8]
    assert attempts(*[broken] * 4)[::2] == (4, broken)
    assert attempts(*[broken] * 9, retries=9)[1][-1] == limits.PEER_RETRY_LONGEST_S
    for error in (refusal(404), refusal(403), refusal(409), refusal(302)):
        assert attempts(error)[0] == 1
    for status in (400, 401, 405, 413, 204, 300):  # something may have arrived damaged
        assert attempts(refusal(status))[::2] == (2, None)
        assert attempts(refusal(status), refusal(status))[0] == 2
    assert attempts(ConfigurationError("x"))[0] == 1
    assert attempts(NetworkProtocol("x"))[0] == 1


def test_patience_with_a_busy_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "random_share", lambda: 0.5)
    tried, waited, error = attempts(*[refusal(503, 2.0)] * 50, refusal(429))
    assert (tried, waited, error) == (52, [2.0] * 50 + [1.0], None)
    tried, waited, error = attempts(*[refusal(503, 60.0)] * 50)
    assert isinstance(error, PeerRefusal)
    assert sum(waited) <= limits.PEER_BUSY_S


# --- TLS -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def test_tls(serve: type_serve, certificate: Path, files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    server = serve(OK, context=context)
    mine = Peer("there", server.url, certificate_file=str(certificate))
    body = bucket_body(files.storage, files.ranges, parse_encoding("none"))
    for tls in (Tls(True, certificate), Tls(False)):
        with PeerClient(mine, timeout_s=20, tls=tls) as client:
            client.ask(Request("PUT", "/", "bucket", body))
            assert server.requests[-1][2] == files.data
    with pytest.raises(PeerUnavailable, match="CERTIFICATE"):
        PeerClient(mine, timeout_s=20, tls=Tls()).ask(GET)
    with pytest.raises(ConfigurationError, match="there"):
        PeerClient(Peer("there", server.url, certificate_file="/nowhere"), timeout_s=1, tls=Tls())
