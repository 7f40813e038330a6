"""A study of many small instances, its files on a local disk and in an object storage 20 ms away.

    python -m bench.object_storage                    # 3 rounds, 6 minutes
    python -m bench.object_storage --delay-ms 50 --rounds 1

Each round has fresh servers and a fresh store: upload with 1 and with 8 clients, upload as one ZIP,
a push from another Wherry and a pull to it, and the archive of the study. A third server writes to
the disk first (``HybridMode``) and moves what is stable to the store (``MoveWhenStable``); ``away``
is how long that takes after the last of its phases. The store is ``object_stub``. Ratios are to
the local disk, of one round.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any, Final

from bench.dicomfile import dicom_file, uid
from bench.meter import resident_bytes
from bench.servers import Server, free_port

INSTANCES: Final = 1635
BYTES: Final = 200_000
PHASES: Final = ("clients-1", "clients-8", "zip", "push", "archive", "pull")
AWAY: Final = "away"
WAIT_S: Final = 300.0


def study(number: int) -> list[bytes]:
    """The files of one study; ``number`` tells studies apart."""
    return [_instance(number, one) for one in range(INSTANCES)]


def _instance(study: int, number: int) -> bytes:
    tags: dict[int, tuple[str, Any]] = {
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2"),
        0x00080018: ("UI", uid("o", study, number)),
        0x00080060: ("CS", "CT"),
        0x00100010: ("PN", "Object^Storage"),
        0x00100020: ("LO", f"OBJECT{study}"),
        0x0020000D: ("UI", uid("o", study)),
        0x0020000E: ("UI", uid("o", study, "series")),
        0x00200013: ("IS", str(number)),
    }
    return b"".join(dicom_file(tags, number.to_bytes(4, "little") * (BYTES // 4)))


@contextmanager
def stub(delay_ms: float) -> Iterator[int]:
    """Its port."""
    command = [sys.executable, "-m", "bench.object_stub", "--delay-ms", str(delay_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def upload(port: int, files: list[bytes], clients: int) -> None:
    """All of them; each must be stored."""
    waiting: SimpleQueue[bytes] = SimpleQueue()
    for data in files:
        waiting.put(data)
    troubles: list[object] = []

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while not troubles:
                connection.request("POST", "/instances", waiting.get_nowait())
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != 200:
                    troubles.append(said)
        except Empty:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles, troubles


def zipped(files: list[bytes]) -> bytes:
    """One ZIP of them, not packed."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.dcm", data)
    return whole.getvalue()


def one_round(overrides: dict[str, Any], studies: list[list[bytes]]) -> dict[str, float]:
    """Seconds of each phase, and MiB of memory in the end."""
    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="wherry-objects-") as folder,
        Server("wherry", Path(folder, "a"), free_port(), overrides=overrides) as server,
        Server("wherry", Path(folder, "b"), free_port(), {"there": server.url}) as other,
    ):
        body = zipped(studies[2])
        upload(other.port, [zipped(studies[3])], 1)
        (travels,) = other.api.get("/studies")

        def transfer(verb: str) -> None:
            order = {"Resources": [{"Level": "Study", "ID": travels}], "Peer": "there"}
            job = other.api.post(f"/transfers/{verb}", order | {"Compression": "none"})
            while (state := other.api.get(f"/jobs/{job['ID']}")["State"]) != "Success":
                assert state in ("Pending", "Running"), state
                time.sleep(0.01)

        steps: dict[str, Callable[[], object]] = {
            "clients-1": lambda: upload(server.port, studies[0], 1),
            "clients-8": lambda: upload(server.port, studies[1], 8),
            "zip": lambda: upload(server.port, [body], 1),
            "push": lambda: transfer("send"),
            "archive": lambda: _archive(server.port),
            "pull": lambda: transfer("pull"),
        }
        for name in PHASES:
            if name == "pull":
                other.api.call("DELETE", f"/studies/{travels}")
            started = time.monotonic()
            steps[name]()
            found[name] = time.monotonic() - started
        if "Wherry" in overrides:
            found[AWAY] = _until_away(server)
        found["memory"] = resident_bytes(server.pid) / 2**20
    return found


def _until_away(server: Server) -> float:
    """Seconds until no study has files on the disk."""
    started = time.monotonic()
    for study in server.api.get("/studies"):
        while any(
            one["Store"] == "file-system"
            for one in server.api.get(f"/studies/{study}/storage")["Stores"]
        ):
            assert time.monotonic() - started < WAIT_S
            time.sleep(0.2)
    return time.monotonic() - started


def _archive(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/studies")
    (first, *_) = json.loads(connection.getresponse().read())
    connection.request("GET", f"/studies/{first}/archive")
    answer = connection.getresponse()
    assert answer.status == 200
    with zipfile.ZipFile(io.BytesIO(answer.read())) as archive:
        assert len(archive.namelist()) == INSTANCES
    connection.close()


def section(port: int, **more: str) -> dict[str, Any]:
    """The configuration of a server whose files are in the stub."""
    return {
        "AwsS3Storage": {
            **more,
            "BucketName": "bench",
            "Region": "us-east-1",
            "AccessKey": "a",
            "SecretKey": "s",
            "Endpoint": f"http://127.0.0.1:{port}",
            "VirtualAddressing": False,
        }
    }


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    options = parser.parse_args()
    studies = [study(number) for number in range(4)]
    rounds = []
    for _ in range(options.rounds):
        found = [one_round({}, studies)]
        with stub(options.delay_ms) as port:
            found.append(one_round(section(port), studies))
        with stub(options.delay_ms) as port:
            later = {"StableAge": 1, "Wherry": {"StoragePolicy": {"MoveWhenStable": True}}}
            hybrid = section(port, HybridMode="WriteToFileSystem")
            found.append(one_round(hybrid | later, studies))
        rounds.append(found)
    print(f"{INSTANCES} instances of {BYTES / 1e6:.1f} MB, store {options.delay_ms:g} ms away")
    print("| phase | local | objects | ratio | disk first | ratio |\n|---|---|---|---|---|---|")
    for name in (*PHASES, "memory"):
        seconds = [median(one[place][name] for one in rounds) for place in range(3)]
        ratios = [median(one[place][name] / one[0][name] for one in rounds) for place in range(3)]
        print(
            f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | {ratios[1]:.2f}"
            f" | {seconds[2]:.2f} | {ratios[2]:.2f} |"
        )
    print(f"all moved {median(one[2][AWAY] for one in rounds):.1f} s after the last phase")
    return 0


if __name__ == "__main__":
    sys.exit(main())
