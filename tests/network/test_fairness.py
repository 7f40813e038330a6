"""Fifty senders and four slots: all are served, and none waits much longer than the others.

The senders are jobs of a Wherry, which come again after ``Retry-After``, and stock senders as those
with ``MaxHttpRetries`` are: every second, on a new connection each time. Those of version 1.4 do
not say who they are, and share the place of their address.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.link import Line
from tests.support.dicom_files import make_instance
from tests.support.link import BadLine, Turn, bad_line, type_fault
from tests.support.server import Server, running
from wherry.dicom.scan import scan

SENDERS = 50
STOCK_17, STOCK_14 = 10, 5
"""Of the senders; the rest are jobs of one Wherry."""
SLOTS = 4
RATE_BYTES_PER_S = 1e6
"""Of the line that all share: all studies together take some seconds, so that slots are scarce."""
_PIXEL_BYTES = 50_000


def study(number: int) -> list[bytes]:
    """Three instances that do not get smaller."""
    noise = Random(number)
    return [
        make_instance(
            study=number,
            number=n,
            patient_id=f"P{number}",
            pixel_bytes=_PIXEL_BYTES,
            PixelData=noise.randbytes(_PIXEL_BYTES),
        )
        for n in range(1, 4)
    ]


# --- stock senders -----------------------------------------------------------------------------
@dataclass
class StockSender:
    """Pushes as the stock plugin does: one connection for each request, a second between two
    attempts."""

    port: int
    files: Sequence[bytes]
    name: str
    """``sender-transfer-id`` of its requests; of 1.4, of all but the first."""
    says_who_it_is: bool
    waited_s: float = 0.0

    def run(self) -> None:
        """Raises ``AssertionError`` when an attempt is refused for another reason than slots."""
        instances = [
            {
                "ID": scan(data).identifiers.instance,
                "Size": str(len(data)),
                "MD5": hashlib.md5(data).hexdigest(),
            }
            for data in self.files
        ]
        buckets = [[{"ID": i["ID"], "Offset": "0", "Size": i["Size"]}] for i in instances]
        body = json.dumps({"Instances": instances, "Buckets": buckets, "Compression": "none"})
        begin = time.monotonic()
        headers = {"sender-transfer-id": self.name} if self.says_who_it_is else {}
        answer = self._until_200("POST", "/transfers/push", body.encode(), headers)
        self.waited_s = time.monotonic() - begin
        path = json.loads(answer)["Path"]
        headers = {"sender-transfer-id": self.name}
        for position, data in enumerate(self.files):
            self._until_200("PUT", f"{path}/{position}", data, headers)
        self._until_200("POST", f"{path}/commit", b"", headers)

    def _until_200(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        pause = threading.Event()
        for _ in range(120):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
            finally:
                connection.close()
            if answer.status == 200:
                return text
            assert answer.status == 503, (method, path, answer.status, text)
            pause.wait(1.0)
        raise AssertionError(f"{self.name} was refused too often")


# --- the jobs of a Wherry ----------------------------------------------------------------------
@dataclass
class Waits:
    """Looks at the line: how long each job waited from its first request to open a push until one
    was granted."""

    asked: dict[str, float] = field(default_factory=dict)
    granted: dict[str, float] = field(default_factory=dict)
    _of_connection: dict[int, str] = field(default_factory=dict)

    def __call__(self, turn: Turn) -> Sequence[type_fault]:
        if turn.request == "POST /transfers/push":
            if turn.direction == "up":
                name = self._name(turn)
                self._of_connection[turn.connection] = name
                self.asked.setdefault(name, time.monotonic())
            elif turn.start.startswith(b"HTTP/1.1 200 "):
                self.granted[self._of_connection[turn.connection]] = time.monotonic()
        return ()

    @staticmethod
    def _name(turn: Turn) -> str:
        for line in turn.start.split(b"\r\n"):
            if line.startswith(b"sender-transfer-id: "):
                return line.split(b" ", 1)[1].decode()
        return ""

    def of(self, name: str) -> float:
        return self.granted[name] - self.asked[name]


def submit(server: Server, number: int, study_id: str) -> str:
    order = {
        "Resources": [{"Level": "Study", "ID": study_id}],
        "Peer": "there",
        "Compression": "none",
        "SenderTransferID": f"job {number}",
    }
    return str(server.json("POST", "/transfers/send", order)["ID"])


@pytest.fixture
def receiver(tmp_path: Path) -> Any:
    config = {"Transfers": {"MaxPushTransactions": SLOTS}}
    with running(Server(tmp_path / "receiver", config=config)) as server:
        yield server


@pytest.fixture
def line(receiver: Server) -> Any:
    with bad_line(receiver.port, Line(0.005, RATE_BYTES_PER_S), Line(0.005)) as line:
        yield line


def test_fifty_senders_on_four_slots(tmp_path: Path, receiver: Server, line: BadLine) -> None:
    jobs_count = SENDERS - STOCK_17 - STOCK_14
    config = {
        "ConcurrentJobs": jobs_count,
        "JobsHistorySize": SENDERS,
        "Transfers": {"Threads": 1, "BucketSize": 64},
        "OrthancPeers": {"there": {"Url": line.url}},
    }
    studies = [study(number) for number in range(1, SENDERS + 1)]
    stock = [
        StockSender(line.port, files, f"stock {number}", number >= STOCK_14)
        for number, files in enumerate(studies[jobs_count:])
    ]
    line.choose = waits = Waits()
    with running(Server(tmp_path / "sender", config=config)) as sender:
        for files in studies[:jobs_count]:
            for data in files:
                assert sender.request("POST", "/instances", data)[0] == 200
        with ThreadPoolExecutor(len(stock)) as pool:
            running_stock = [pool.submit(one.run) for one in stock]
            jobs = [
                submit(sender, number, name)
                for number, name in enumerate(sender.json("GET", "/studies"))
            ]
            for one in running_stock:
                one.result()
        ended = [sender.wait_for_job(job, 120) for job in jobs]
    assert [job["State"] for job in ended] == ["Success"] * jobs_count
    stored = {
        hashlib.md5(receiver.get(f"/instances/{name}/file")[1]).hexdigest()
        for name in receiver.json("GET", "/instances")
    }
    assert stored == {hashlib.md5(data).hexdigest() for files in studies for data in files}
    waited = [one.waited_s for one in stock]
    waited += [waits.of(f"job {number}") for number in range(jobs_count)]
    assert len(waited) == SENDERS
    assert max(waited) <= 3 * statistics.median(waited), sorted(waited)
