"""Two servers with a bad line between them, and studies that must travel over it all the same.

Faults are drawn from a seed, the round, what is said and which attempt at it this is: threads may
meet in any order, the faults stay the same.

``WHERRY_NETWORK_STRIDE=n`` lets each test have an n-th of its faults only (CI); the default of 1 is
all of them (``make network-nightly``).
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench.link import Line
from tests.support.dicom_files import make_instance
from tests.support.link import BadLine, Turn, bad_line, no_faults, type_fault
from tests.support.server import Server, running

STRIDE = int(os.environ.get("WHERRY_NETWORK_STRIDE", "1"))
WAYS = [(way, compression) for way in ("push", "pull") for compression in ("none", "gzip", "auto")]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WITHIN_S = 120.0


def some(number: int) -> int:
    """So many faults, or an n-th of them. Not for tests that are known to fail: they end with the
    first that matters, which may be any of them."""
    return max(1, number // STRIDE)


def _noisy(number: int, pixel_bytes: int) -> bytes:
    """Half of the pixels are noise, so that gzip leaves more than half."""
    noise = Random(number).randbytes(pixel_bytes // 2)
    return make_instance(
        number=number, pixel_bytes=pixel_bytes, PixelData=noise + bytes(pixel_bytes - len(noise))
    )


STUDY = [
    *(_noisy(number, 4096) for number in range(1, 17)),
    *(_noisy(number, 9000) for number in range(21, 25)),
    *(_noisy(number, 30_000) for number in range(31, 34)),
    _noisy(41, 100_000),
]
"""With buckets of 8 KiB: small ones together, some alone, the others in two to seven parts."""


class TransferFailed(Exception):
    """The job says Failure; the receiver shows nothing, or all of it when nobody heard of the
    commit."""


@dataclass
class Pair:
    """A server that has the study, one that has nothing, and the lines between them."""

    sender: Server
    receiver: Server
    push_line: BadLine
    pull_line: BadLine
    study: str
    content: dict[str, str]
    """MD5 of each instance."""

    def line(self, way: str) -> BadLine:
        return self.push_line if way == "push" else self.pull_line

    def carry(self, way: str, compression: str) -> dict[str, Any]:
        """One transfer from the order to its end; the job. Whatever happens on the line, the
        receiver shows nothing or all of it."""
        return self.ended(way, self.start(way, compression))

    def start(self, way: str, compression: str) -> str:
        """Order a transfer; its job."""
        order = {
            "Resources": [{"Level": "Study", "ID": self.study}],
            "Peer": "other",
            "Compression": compression,
        }
        route = "send" if way == "push" else "pull"
        return str(self._runs(way).json("POST", f"/transfers/{route}", order)["ID"])

    def _runs(self, way: str) -> Server:
        return self.sender if way == "push" else self.receiver

    def ended(self, way: str, job: str, within_s: float = _WITHIN_S) -> dict[str, Any]:
        """The job when it has ended."""
        end = time.monotonic() + within_s
        while True:
            found: dict[str, Any] = self._runs(way).json("GET", f"/jobs/{job}")
            shown = len(self.receiver.json("GET", "/instances"))
            assert shown in (0, len(self.content)), "a part of the study is visible"
            if found["State"] in ("Success", "Failure"):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.02)  # polling other processes

    def received(self) -> dict[str, str]:
        """MD5 of each instance that the receiver gives out."""
        return {
            name: hashlib.md5(self.receiver.get(f"/instances/{name}/file")[1]).hexdigest()
            for name in self.receiver.json("GET", "/instances")
        }

    def empty(self) -> None:
        """The receiver forgets what it got."""
        for patient in self.receiver.json("GET", "/patients"):
            assert self.receiver.request("DELETE", f"/patients/{patient}")[0] == 200

    def carry_right(self, way: str, compression: str) -> dict[str, Any]:
        """A transfer that must end well and leave the right bytes; they are removed again. Raises
        ``TransferFailed``."""
        job = self.carry(way, compression)
        if job["State"] == "Failure":
            assert self.received() in ({}, self.content)
            self.empty()
            raise TransferFailed(job["ErrorDetails"])
        assert self.received() == self.content
        self.empty()
        return job


@contextmanager
def pair(
    folder: Path,
    line: Callable[[], Line] = Line,
    *,
    timeout_s: int = 3,
    slots: int = 4,
    bucket_kib: int = 8,
) -> Iterator[Pair]:
    """``line`` makes each direction of the lines; ``timeout_s`` is what peers are given; ``slots``
    are for pushes at once."""
    common: dict[str, Any] = {
        "Transfers": {
            "BucketSize": bucket_kib,
            "Threads": 3,
            "PeerCommitTimeout": timeout_s,
            "MaxPushTransactions": slots,
        },
        "Wherry": {"JobRetries": {"Default": {"FirstDelay": 1, "LongestDelay": 1}}},
    }
    servers = Server(folder / "sender"), Server(folder / "receiver")
    with ExitStack() as stack:
        lines = [stack.enter_context(bad_line(server.port, line(), line())) for server in servers]
        for server, way in zip(servers, reversed(lines), strict=True):
            server.config = common | {
                "OrthancPeers": {"other": {"Url": way.url, "Timeout": timeout_s}}
            }
        for server in servers:
            stack.enter_context(running(server))
        for data in STUDY:
            assert servers[0].request("POST", "/instances", data)[0] == 200
        made = Pair(*servers, lines[1], lines[0], servers[0].json("GET", "/studies")[0], {})
        made.content = {
            name: hashlib.md5(servers[0].get(f"/instances/{name}/file")[1]).hexdigest()
            for name in servers[0].json("GET", "/instances")
        }
        assert len(made.content) == len(STUDY)
        yield made


type_make = Callable[[Random, Turn], Sequence[type_fault]]


class Drawn:
    """Faults for one round: drawn for a share of all turns, until one was disturbed often."""

    def __init__(self, seed: str, make: type_make, *, share: float = 1.0, most: int = 1) -> None:
        """``most``: how many attempts at the same thing are disturbed, in each direction."""
        self._seed, self._make, self._share, self._most = seed, make, share, most
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, turn: Turn) -> Sequence[type_fault]:
        what = turn.direction, _UUID.sub("{id}", turn.request)
        attempt = self._seen[what]
        self._seen[what] += 1
        random = Random(f"{self._seed} {what} {attempt}")
        if attempt >= self._most or random.random() >= self._share:
            return ()
        return self._make(random, turn)


def until(
    pair: Pair, way: str, compression: str, faults: int, seed: str, make: type_make, **how: Any
) -> None:
    """Transfers, each on a line that is disturbed anew, until so many faults have happened. Raises
    ``TransferFailed``."""
    line = pair.line(way)
    line.applied.clear()
    rounds = 0
    try:
        while len(line.applied) < faults:
            assert rounds < 10 * faults, "hardly anything goes wrong"
            line.choose = Drawn(f"{seed} {rounds}", make, **how)
            pair.carry_right(way, compression)
            rounds += 1
    finally:
        line.choose = no_faults
