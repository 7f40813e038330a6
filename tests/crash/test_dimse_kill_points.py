"""C-STORE and sudden death: of the receiver at each durable call, of senders at any moment.

What was acknowledged is there, byte for byte; what was cut is not; nothing else is left.
"""

from __future__ import annotations

import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.crash.killing import DEAD, STRIDE
from tests.crash.scenarios import check_files, visible
from tests.crash.test_kill_points import kill_everywhere, power
from tests.support.dicom_files import make_instance
from tests.support.dimse import dicom_server, store, target, travelling
from tests.support.jobs import eventually
from tests.support.server import Server, free_port
from wherry.dicom.preamble import read_preamble
from wherry.errors import NetworkProtocol
from wherry.modalities.associations.association import Association

pytestmark = pytest.mark.crash

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
SIZES = (2048, 200_192, 2048, 3_000_064, 2048, 2048)
"""By the handful, at once, in pieces."""


class Store:
    """Instances of all sizes are sent over one association, the first of them twice."""

    name = "C-STORE"

    def __init__(self) -> None:
        self._port = free_port()
        self.config = {"DicomServerEnabled": True, "DicomPort": self._port}
        files = [make_instance(number=n, pixel_bytes=size) for n, size in enumerate(SIZES)]
        self._files = [travelling(data) for data in files]
        self._acknowledged: list[str] = []

    def act(self, receiver: Server) -> None:
        self._acknowledged.clear()
        contexts = [(CT, [EXPLICIT])]
        with (
            suppress(*DEAD, NetworkProtocol),
            Association(target(self._port), contexts) as association,
        ):
            for file in [*self._files, self._files[0]]:
                assert file is not None
                assert store(association, file).status == 0
                self._acknowledged.append(file.sop_instance)

    def check(self, receiver: Server) -> None:
        sent = {file.sop_instance: file.data_set for file in self._files if file is not None}
        seen = data_sets(receiver)
        assert set(self._acknowledged) <= set(seen), "an acknowledged instance is lost"
        assert all(sent[uid] == data for uid, data in seen.items())
        check_files(receiver)


def data_sets(server: Server) -> dict[str, bytes]:
    """What is stored, by SOP instance."""
    found = {}
    for orthanc_id in visible(server):
        uid = server.json("GET", f"/instances/{orthanc_id}?simplify")["MainDicomTags"]
        data = server.get(f"/instances/{orthanc_id}/file")[1]
        found[uid["SOPInstanceUID"]] = data[read_preamble(data)[3] :]
    return found


@power
def test_receiver(
    tmp_path: Path, shim: Path, capsys: pytest.CaptureFixture[str], with_power: bool
) -> None:
    kill_everywhere(tmp_path, shim, Store, capsys, with_power=with_power)


def test_senders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """storescu is killed 200 times at random; another client sees whole instances only."""
    seeded = random.Random(6)
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(20):
        size = 1_000_064 if number % 4 == 0 else 60_032
        data = make_instance(number=number, pixel_bytes=size)
        (folder / f"{number:02}.dcm").write_bytes(data)
    whole = {
        dcmread(path, stop_before_pixels=True).SOPInstanceUID: path.read_bytes()
        for path in folder.iterdir()
    }
    acknowledged: set[str] = set()
    deaths = 0
    with dicom_server(tmp_path / "server") as (server, port):
        rounds = max(10, 200 // STRIDE)
        for _ in range(rounds):
            command: list[Any] = ["storescu", "-v", "+sd", "-pdu", 16384, "127.0.0.1", port, folder]
            with subprocess.Popen(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as sender:
                lines = int(seeded.expovariate(1 / 20))
                said = [line for _, line in zip(range(lines), sender.stdout or (), strict=False)]
                sender.kill()
                rest = sender.stdout.read().splitlines() if sender.stdout else []
            deaths += sender.returncode == -signal.SIGKILL
            acknowledged |= confirmed([*said, *rest], folder)
            if seeded.random() < 0.2:
                for patient in server.json("GET", "/patients"):
                    server.request("DELETE", f"/patients/{patient}")
                acknowledged.clear()
        seen = data_sets(server)
        assert acknowledged <= set(seen), "an acknowledged instance is lost"
        for uid, data in seen.items():
            assert whole[uid].endswith(data[-50_000:])
        names = set(visible(server).values())
        eventually(lambda: server.files() == names, "the files of what was cut are gone")
    with capsys.disabled():
        print(f"\nstorescu: {deaths} of {rounds} killed, {len(acknowledged)} acknowledged at last")


def confirmed(lines: list[bytes], folder: Path) -> set[str]:
    """The instances of which storescu said that they were stored."""
    found, sending = set(), None
    for line in lines:
        text = line.decode(errors="replace")
        if "Sending file:" in text:
            sending = text.split("Sending file:")[1].strip()
        elif "Received Store Response (Success)" in text and sending:
            found.add(str(dcmread(sending, stop_before_pixels=True).SOPInstanceUID))
    return found
