"""What the archive benchmark relies on: the client's count of bytes, and the check of a ZIP."""

from __future__ import annotations

import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import archive_check
from bench.api import ServerError
from bench.fetch import Chunked, Client


@given(chunks=st.lists(st.binary(min_size=1, max_size=40)), step=st.integers(1, 60))
def test_a_chunked_body_in_any_pieces(chunks: list[bytes], step: int) -> None:
    sent = b"".join(b"%x;a=b\r\n%b\r\n" % (len(one), one) for one in chunks)
    sent += b"0\r\nTrailer: 1\r\n\r\n"
    taken = bytearray()
    frames = Chunked(taken.extend)
    for at in range(0, len(sent), step):
        assert not frames.done
        frames.feed(memoryview(sent[at : at + step]))
    assert frames.done
    assert bytes(taken) == b"".join(chunks)
    assert frames.size == len(taken)


@contextmanager
def answering(*answers: bytes) -> Iterator[Client]:
    """A client of a server that gives these answers, over one connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with Client("127.0.0.1", listening.getsockname()[1]) as client:
            yield client
        thread.join()


def test_one_connection_for_several_answers() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    plain = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    with answering(chunked, plain) as client:
        assert client.ask("GET", "/a").size == 3
        assert client.json("POST", "/b", {})[0] == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "closed after 5 of 9 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", "after 3 bytes"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone", "404 b'gone'"),
    ],
)
def test_half_an_answer_is_none(answer: bytes, complaint: str) -> None:
    with answering(answer) as client, pytest.raises(ServerError, match=complaint):
        client.ask("GET", "/")


@pytest.fixture
def uploaded(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number * 5000)
    return paths


def packed(archive: Path, paths: list[Path], **more: bytes) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in paths:
            opened.write(path, f"folder/{path.name}")
        for name, content in more.items():
            opened.writestr(name, content)
    return archive


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_an_archive_is_right_or_its_faults_are_told(tmp_path: Path, uploaded: list[Path]) -> None:
    place = tmp_path / "a.zip"
    faults = archive_check.faults
    assert faults(packed(place, uploaded), uploaded) == []
    assert faults(packed(place, uploaded, DICOMDIR=b"x"), uploaded, media=True) == []
    assert faults(place, uploaded) == ["1 files foreign"]
    assert faults(packed(place, uploaded), uploaded, media=True) == ["no DICOMDIR"]
    assert faults(packed(place, uploaded[1:]), uploaded) == ["1 files missing"]
    whole = packed(place, uploaded).read_bytes()
    place.write_bytes(whole[:-30])
    assert faults(place, uploaded)[0].startswith("zipfile: ")
    place.write_bytes(b"something before" + whole)
    assert [fault.split(":")[0] for fault in faults(place, uploaded)] == ["unzip", "zipinfo"]
