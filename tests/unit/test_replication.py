"""Folders with links in circles, addresses with secrets, servers that are none."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.support.dicom_files import make_series
from tests.support.receiver import Receiver, receiving
from wherry import limits
from wherry.cli.filling import printable
from wherry.errors import ConfigurationError, NetworkProtocol, PeerUnavailable
from wherry.replication.folder import measure, walk
from wherry.replication.importing import FolderImport
from wherry.replication.remote import Remote
from wherry.replication.report import Report

FILES = make_series(3)


def names(root: Path) -> tuple[list[str], list[tuple[str, str]], list[tuple[str, str]]]:
    skipped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    found = walk(
        root,
        lambda name, reason: skipped.append((Path(name).name, reason)),
        lambda name, reason: failed.append((Path(name).name, reason)),
    )
    return [str(one.path.relative_to(root)) for one in found], skipped, failed


# --- folders -------------------------------------------------------------------------------
def test_a_folder_is_seen_once_whatever_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "deep").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "z").symlink_to(tmp_path / "b" / "c")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    found, skipped, failed = names(tmp_path)
    assert found == ["a", "b/c/deep"]
    assert skipped == [("pipe", "no regular file")]
    assert [name for name, _ in failed] == ["nowhere", "self"]
    assert all(reason.startswith("unreadable") for _, reason in failed)
    assert measure(tmp_path) == (2, 3)


def test_one_file_is_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    assert [one.size for one in walk(tmp_path / "a", pytest.fail, pytest.fail)] == [1]


# --- addresses -----------------------------------------------------------------------------
def test_secrets_of_an_address_are_heard_by_the_server_only() -> None:
    with Remote("http://me:p%40ss@127.0.0.1:1/a/", username="x", password="y") as remote:
        assert (remote.name, remote.url) == ("127.0.0.1:1", "http://127.0.0.1:1/a/")
        with pytest.raises(PeerUnavailable) as error:
            remote.count()
    assert "ss" not in str(error.value).replace("https", "")


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://host/", "http://", "http://host:port/", "http://h/?q", "file:///x"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Remote(url)


def test_a_server_that_is_no_orthanc() -> None:
    with (
        receiving() as receiver,
        Remote(receiver.url) as remote,
        pytest.raises(NetworkProtocol, match="is no Orthanc"),
    ):
        remote.count()


# --- importing -----------------------------------------------------------------------------
class Counting(Receiver):
    """A receiver that knows how many instances it has, and no digests."""

    def look(self, path: str) -> bytes | None:
        if path == "/statistics":
            return b'{"CountInstances":%d}' % len(self.stored)
        return None


def imported(receiver: Receiver, folder: Path) -> tuple[Report, list[int]]:
    steps: list[int] = []
    with Remote(receiver.url) as remote:
        work = FolderImport(remote, [folder])
        work.run(steps.append)
    return work.report, steps


def a_folder(folder: Path) -> None:
    for position, data in enumerate(FILES):
        (folder / str(position)).write_bytes(data)


def test_a_server_that_knows_no_digests(tmp_path: Path) -> None:
    a_folder(tmp_path)
    receiver = Counting()
    try:
        report, steps = imported(receiver, tmp_path)
    finally:
        receiver.close()
    assert (report.done, report.not_compared, report.failures) == (3, 3, 0)
    assert sum(steps) == report.done_bytes == sum(map(len, FILES))


class Mistaken(Counting):
    """Says of everything that it has other bytes."""

    def look(self, path: str) -> bytes | None:
        return b"0" * 32 if path.endswith("/md5") else super().look(path)


def test_a_server_that_stored_something_else(tmp_path: Path) -> None:
    a_folder(tmp_path)
    receiver = Mistaken()
    try:
        report, _ = imported(receiver, tmp_path)
        assert list(report.failed) == ["the server has stored something else"]
        assert (report.done, report.failures) == (0, 3)
        report, _ = imported(receiver, tmp_path)
        assert next(iter(report.failed)).startswith("the server has other bytes")
        assert (report.there, report.failures) == (0, 3)
    finally:
        receiver.close()


def test_what_is_packed_like_a_bomb_or_damaged_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INFLATE_FREE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2_000_000))
        archive.writestr("good", FILES[0])
        archive.writestr("zip", b"PK\x03\x04")
    broken = bytearray((tmp_path / "a.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("damaged", FILES[1])
    broken = bytearray((tmp_path / "b.zip").read_bytes())
    broken[400] ^= 1
    (tmp_path / "b.zip").write_bytes(broken)
    receiver = Counting()
    try:
        report, _ = imported(receiver, tmp_path)
        assert list(receiver.stored.values()) == [FILES[0]]
    finally:
        receiver.close()
    assert {reason: group.count for reason, group in report.failed.items()} == {
        "unpacks to more than makes sense": 1,
        "damaged or encrypted inside its ZIP": 1,
    }
    assert list(report.skipped) == ["a ZIP inside a ZIP"]


def test_a_directory_of_media_is_no_failure(tmp_path: Path) -> None:
    head = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
    (tmp_path / "DICOMDIR").write_bytes(head)
    receiver = Counting()
    try:
        report, _ = imported(receiver, tmp_path)
    finally:
        receiver.close()
    assert (list(report.skipped), report.failures) == (["a DICOMDIR"], 0)


# --- the report ----------------------------------------------------------------------------
def test_a_report_has_bounds() -> None:
    report = Report()
    for number in range(500):
        report.fail(f"file {number}", f"reason {number}")
        report.skip(f"file {number}", "not DICOM")
    assert len(report.failed) == limits.REPORT_REASONS + 1
    assert report.failures == 500
    assert len(report.skipped["not DICOM"].examples) == limits.REPORT_EXAMPLES


def test_nothing_steers_the_terminal() -> None:
    assert printable("a\x1b[31m\u202eb\ud800\n") == "a\ufffd[31m\ufffdb\ufffd\ufffd"
