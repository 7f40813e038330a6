"""What a transfer job says of itself: bytes, speed, time left, what was skipped and retried."""

from __future__ import annotations

from typing import Any

import pytest

from wherry import clock
from wherry.errors import PeerUnavailable
from wherry.model import Bucket, Chunk, ManifestInstance
from wherry.peers.patience import Patience
from wherry.transfers.orders import TransferRequest, parse_transfer
from wherry.transfers.progress import Progress, Retries
from wherry.transfers.stages import Stage

REQUEST: TransferRequest = parse_transfer(b'{"Resources":[],"Peer":"x","Compression":"gzip"}')


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def progress(*sizes: int, skipped: int = 0, retries: Retries | None = None) -> Progress:
    instances = [ManifestInstance(f"i{n}", size, "") for n, size in enumerate(sizes)]
    buckets = [Bucket((Chunk(one.orthanc_id, 0, one.size),)) for one in instances[skipped:]]
    return Progress(REQUEST, instances, buckets, "UploadedSizeMB", instances[:skipped], retries)


def test_every_member_of_the_original_and_more(time: Clock) -> None:
    mib = 1024 * 1024
    one = progress(5 * mib, 1 * mib, 3 * mib, skipped=1)
    one.start([])
    time.now += 2
    one.finished(0, mib // 2)
    assert one.content() == {
        "Resources": [],
        "Peer": "x",
        "Compression": "gzip",
        "TotalInstances": 3,
        "TotalSizeMB": 9,
        "UploadedSizeMB": 1,
        "CompletedHttpQueries": 1,
        "NetworkSpeedKBs": 256,
        "TotalBytes": str(9 * mib),
        "CompletedBytes": str(6 * mib),
        "NetworkBytes": str(mib // 2),
        "TotalHttpQueries": 2,
        "ResumedHttpQueries": 0,
        "SkippedInstances": 1,
        "SkippedBytes": str(5 * mib),
        "RetriedHttpQueries": 0,
        "TimeLeftS": 6,
    }


def test_what_goes_on_behind_the_last_byte() -> None:
    one = progress(100)
    one.stage = Stage("Verifying", 1, 2)
    assert one.content().items() >= {"Stage": "Verifying", "StageDone": 1, "StageTotal": 2}.items()
    one.stage = Stage("Committing")  # of a peer that does not say more
    content = one.content()
    assert content["Stage"] == "Committing"
    assert content.keys().isdisjoint({"StageDone", "StageTotal"})


def left(one: Progress) -> Any:
    return one.content().get("TimeLeftS")


def test_the_time_left_is_absent_until_it_is_known_and_0_in_the_end(time: Clock) -> None:
    one = progress(100, 100, 300)
    assert left(one) is None
    one.start([])
    assert left(one) is None
    one.finished(0, 10)
    assert left(one) is None, "no time has passed"
    time.now += 10
    one.finished(1, 10)
    assert left(one) == 15
    time.now += 1
    one.finished(2, 10)
    assert left(one) == 0


def test_what_an_earlier_run_did_says_nothing_of_the_speed(time: Clock) -> None:
    one = progress(1000, 100, 100)
    one.start([0])
    time.now += 4
    assert left(one) is None
    one.finished(1, 10)
    assert left(one) == 4
    one.finished(0, 10)  # sent again
    assert left(one) == 4


def test_nothing_to_send_takes_no_time(time: Clock) -> None:
    assert left(progress(100, skipped=1)) == 0


def test_retries_are_counted(time: Clock) -> None:
    retries = Retries()
    broken = [PeerUnavailable("x"), PeerUnavailable("x")]

    def work() -> None:
        if broken:
            raise broken.pop()

    Patience(lambda _: None, again=retries.more)(work)
    assert progress(1, retries=retries).content()["RetriedHttpQueries"] == 2
    Patience(lambda _: None, again=retries.more)(work)
    assert retries.count == 2
    broken += [PeerUnavailable("x")] * 9
    with pytest.raises(PeerUnavailable):
        Patience(lambda _: None, 3, again=retries.more)(work)
    assert retries.count == 5
