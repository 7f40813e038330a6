"""What a genuine Orthanc was recorded to answer about queries, with a genuine Orthanc as the one
that is asked: the records of ``tests.golden`` from the first query on.

The whole section is replayed against two Wherry by ``test_golden``; here the other end is no part
of the question.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.golden.bodies import Samples
from tests.golden.compare import load_reasons
from tests.golden.playing import Player
from tests.golden.setups import configuration
from tests.interop.test_golden import WITH_SAMPLES, records, replay, sample_names
from tests.support.dicom_files import make_instance
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, free_port, running

SAMPLES = os.environ.get("WHERRY_GOLDEN_SAMPLES", "")
FIRST, LAST = "query", "find-patient (deprecated)"
AT_B = ("ct", "epi1", "epi2", "epi3", "flair1", "pdf")
"""What the records before these have brought to the other server."""


def mine() -> list[dict[str, Any]]:
    """The records of queries, and what they presuppose: the same files at A."""
    section = [r for r in records(WITH_SAMPLES) if r["section"] == "modalities and DICOM network"]
    names = [r["name"] for r in section]
    return section[names.index(FIRST) : names.index(LAST) + 1]


@needs_orthanc
@pytest.mark.skipif(
    not SAMPLES,
    reason="WHERRY_GOLDEN_SAMPLES names no folder with the files of the recording",
)
def test_queries(tmp_path: Path) -> None:
    samples = Samples(Path(SAMPLES))
    names = sample_names()
    constants = samples.constants(names)
    ports = {"A": free_port(), "B": free_port()}
    dicom_ports = {"A": free_port(), "B": free_port()}
    known = {**ports, "silent": 1}
    with ExitStack() as stack:
        for name, kind in (("A", Server), ("B", Orthanc)):
            config = configuration("main", name, known, dicom_ports)
            config["DicomServerEnabled"] = True
            server = kind(tmp_path / name, config, port=ports[name])
            stack.enter_context(running(server))
            for one in AT_B:
                assert server.request("POST", "/instances", samples.read(names[one]))[0] == 200
            if name == "A":
                other = make_instance(9, 1, 1, patient_id=constants["EPI1_PATIENTID"])
                assert server.request("POST", "/instances", other)[0] == 200
        player = Player(samples, constants, ports)
        found = replay(WITH_SAMPLES, player, mine(), load_reasons())
    assert not found, "\n".join(found)
