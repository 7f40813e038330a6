"""The recorded exchanges about modalities, with the real Orthanc as the modality.

Not here: queries and retrievals (their records are left out), everything else (``test_golden``).
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.golden.bodies import Samples
from tests.golden.compare import load_reasons
from tests.golden.playing import Player
from tests.golden.setups import configuration
from tests.interop.test_golden import SAMPLES, WITH_SAMPLES, records, replay, sample_names
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, free_port, running

SECTION = "modalities and DICOM network"
BOOK = re.compile(r"/modalities(\?expand|/b/configuration)?")
"""What the recording asks of a server that is empty yet."""
OURS = re.compile(
    r"/modalities(/[^/]+(/(configuration|echo|store|store-straight))?)?"
    r"|/tools/dicom-echo|/jobs/\$\{JOB_(STORE|FAIL)\}(/resubmit)?|/exports(\?.*)?"
    r"|/instances(/\$\{CT_I\}/metadata\?expand)?"
)
NEEDED = ("ct", "epi1", "epi2", "epi3", "pdf")


@needs_orthanc
@pytest.mark.skipif(not SAMPLES, reason="WHERRY_GOLDEN_SAMPLES names no folder")
def test_the_recorded_exchanges(tmp_path: Path) -> None:
    samples = Samples(Path(SAMPLES))
    names = sample_names()
    constants = samples.constants(names)
    ports = {name: free_port() for name in "AB"}
    dicom_ports = {name: free_port() for name in "AB"}
    known = {**ports, "silent": 1}
    with ExitStack() as stack:
        ours = Server(
            tmp_path / "A", configuration("main", "A", known, dicom_ports), port=ports["A"]
        )
        theirs = Orthanc(
            tmp_path / "B",
            {**configuration("main", "B", known, dicom_ports), "DicomServerEnabled": True},
            port=ports["B"],
        )
        for server in (ours, theirs):
            stack.enter_context(running(server))
        for name in NEEDED:
            assert ours.request("POST", "/instances", samples.read(names[name]))[0] == 200
        player = Player(samples, constants, ports)
        player.variables["B_DICOM"] = dicom_ports["B"]
        played = [one for one in records(WITH_SAMPLES) if is_ours(one)]
        found = replay(WITH_SAMPLES, player, played, load_reasons())
    assert len(played) > 45
    assert not found, "\n".join(found)


def is_ours(record: dict[str, Any]) -> bool:
    path = record["request"]["path"]
    if record["profile"] != "main":
        return False
    if record["section"] == SECTION:
        return OURS.fullmatch(path) is not None
    return record["section"] == "empty server" and BOOK.fullmatch(path) is not None
