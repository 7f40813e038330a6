"""A study of 20,000 instances, and an instance of 5 GB, from one Wherry to another and back.

    python -m bench.extremes [many] [huge] [waits]

Prints time, rate and peak memory of both ends. While the 20,000 are committed, somebody else sends
small buckets: how long the slowest hundredth of them waits, beside a time without a commit.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import JPEGLSLossless, generate_uid

from bench import driver
from bench.lines import transfer
from bench.make_data import DEFAULT_FOLDER, PLANS, Manifest, files, make
from bench.meter import machine
from bench.run import RECEIVER, SOURCE, target
from bench.servers import Server, free_port

_FRAGMENT_BYTES = 10_000_000
_FRAGMENTS = 500


def main() -> None:
    """See the module."""
    wanted = sys.argv[1:] or ["many", "huge", "waits"]
    print(machine())
    print("| what | way | wall s | MB/s | instances/s | peak MB |")
    print("|---|---|---:|---:|---:|---:|")
    folder = Path(tempfile.mkdtemp(prefix="bench-extremes-", dir=DEFAULT_FOLDER))
    try:
        for name in ("many", "huge"):
            if name not in wanted:
                continue
            what, paths = _huge(folder) if name == "huge" else _many()
            for number, way in enumerate(("push-none", "push-auto", "pull-auto")):
                _one(folder / f"{name}-{number}", what, paths, way)
        if "waits" in wanted:
            print(_waits(folder / "waits"))
    finally:
        shutil.rmtree(folder)


def _many() -> tuple[Manifest, Sequence[Path]]:
    return make(PLANS["many"], DEFAULT_FOLDER), files(DEFAULT_FOLDER, "many")


def _huge(folder: Path) -> tuple[Manifest, Sequence[Path]]:
    """Noise in fragments: one element of native pixels ends at 4 GiB (PS3.5 §7.1)."""
    patient, study = "HUGE", generate_uid(entropy_srcs=["huge"])
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    data.SOPInstanceUID = generate_uid(entropy_srcs=["huge", "instance"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["huge", "series"])
    data.StudyInstanceUID, data.PatientID, data.Modality = study, patient, "SM"
    path = folder / "huge.dcm"
    data.save_as(path, enforce_file_format=True)
    noise = random.Random(1)
    blocks = [noise.randbytes(_FRAGMENT_BYTES) for _ in range(8)]
    with path.open("ab") as file:
        file.write(bytes.fromhex("e07f10004f420000fffffffffeff00e000000000"))
        for number in range(_FRAGMENTS):
            file.write(bytes.fromhex("feff00e0") + _FRAGMENT_BYTES.to_bytes(4, "little"))
            file.write(blocks[number % len(blocks)])
        file.write(bytes.fromhex("feffdde000000000"))
    size = path.stat().st_size
    return Manifest("huge", 1, 1, 1, size, patient, study), [path]


def _one(folder: Path, what: Manifest, paths: Sequence[Path], way: str) -> None:
    receiving, sending = free_port(), free_port()
    peers = {RECEIVER: f"http://127.0.0.1:{receiving}/"}
    with (
        Server("wherry", folder / "source", sending, peers) as source,
        Server(
            "wherry", folder / "receiver", receiving, {SOURCE: f"http://127.0.0.1:{sending}/"}
        ) as receiver,
    ):
        driver.ingest(target(source), paths, 4)
        found = transfer(way, source, receiver, what)
        peaks = " / ".join(f"{cost.peak_rss_bytes / 1e6:.0f}" for cost in found.costs.values())
        print(
            f"| {what.name} | {way} | {found.wall_s:.1f} | {found.megabytes_per_s:.0f} |"
            f" {found.instances_per_s:.0f} | {peaks} |",
            flush=True,
        )
    shutil.rmtree(folder)


# --- others while a big study is committed ----------------------------------------------------
def _waits(folder: Path) -> str:
    """What a sender of small buckets feels of the commit of 20,000."""
    what, paths = _many()
    receiving, sending = free_port(), free_port()
    peers = {RECEIVER: f"http://127.0.0.1:{receiving}/"}
    with (
        Server("wherry", folder / "source", sending, peers) as source,
        Server("wherry", folder / "receiver", receiving, {}) as receiver,
    ):
        driver.ingest(target(source), paths, 4)
        other = _Other(receiver.port)
        other.start()
        time.sleep(4)
        quiet = other.take()
        order = {
            "Resources": [{"Level": "Study", "ID": what.orthanc_study_id}],
            "Peer": RECEIVER,
            "Compression": "none",
        }
        job = source.api.post("/transfers/send", order)["ID"]
        began = time.monotonic()
        while source.api.get(f"/jobs/{job}")["State"] != "Success":
            time.sleep(0.01)
        ended = time.monotonic()
        during = other.take()
        other.stop()
        committing_s = _commit_seconds(receiver.port)
        return "\n".join(
            f"Bucket PUT of another sender, {name}: {_told(found)}"
            for name, found in (
                ("alone", [s for _, s in quiet]),
                ("while 20,000 arrive", [s for at, s in during if at + s < ended - committing_s]),
                ("and while they are committed", [s for at, s in during if at > began]),
                (
                    f"of these in the {committing_s:.1f} s of the commit",
                    [s for at, s in during if ended - committing_s <= at + s and at <= ended],
                ),
            )
        )


def _commit_seconds(port: int) -> float:
    """What a receiver says of its only commit."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/tools/metrics-prometheus")
    text = connection.getresponse().read().decode()
    found = re.search(r"^orthanc_transfers_push_total_time_spent_in_commit_ms (\S+)", text, re.M)
    assert found is not None
    return float(found[1]) / 1000


def _told(found: Sequence[float]) -> str:
    if len(found) < 2:
        return f"{len(found)} measured"
    cuts = quantiles(found, n=100)
    return (
        f"median {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms,"
        f" longest {max(found) * 1e3:.1f} ms of {len(found)}"
    )


class _Other(threading.Thread):
    """Sends buckets of one small instance, one after the other, in one transaction."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._over = threading.Event()
        self._found: list[tuple[float, float]] = []
        path = files(DEFAULT_FOLDER, "warm")[0]
        self._data = path.read_bytes()
        identifier = "0" * 8 + "-00000000" * 4
        count = 4000
        part = 10_000
        declared = {
            "Instances": [
                {
                    "ID": identifier,
                    "Size": str(part * count),
                    "MD5": hashlib.md5(b"").hexdigest(),
                }
            ],
            "Buckets": [
                [{"ID": identifier, "Offset": str(n * part), "Size": str(part)}]
                for n in range(count)
            ],
            "Compression": "none",
        }
        self._part = self._data[:part]
        self._connection.request("POST", "/transfers/push", json.dumps(declared))
        self._path = json.loads(self._connection.getresponse().read())["Path"]

    def run(self) -> None:
        for number in range(4000):
            if self._over.is_set():
                return
            began = time.monotonic()
            self._connection.request("PUT", f"{self._path}/{number}", self._part)
            answer = self._connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"a bucket was answered {answer.status}")
            self._found.append((began, time.monotonic() - began))
            time.sleep(0.005)

    def take(self) -> list[tuple[float, float]]:
        found, self._found = self._found, []
        return found

    def stop(self) -> None:
        self._over.set()
        self.join()


if __name__ == "__main__":
    main()
