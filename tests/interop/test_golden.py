"""Replays recordings of a genuine Orthanc 1.10.1; see ``tests.golden``.

What differs must be explained in ``tests/golden/differences.json``, and every reason there must be
needed.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.golden import scenario
from tests.golden.bodies import Samples
from tests.golden.compare import Reason, load_reasons, unexplained
from tests.golden.playing import Player
from tests.golden.setups import configuration
from tests.support.server import Server, free_port, running

FOLDER = Path(__file__).parents[1] / "golden"
MADE_HERE = "made-here-1.10.1.jsonl"
WITH_SAMPLES = "orthanc-1.10.1.jsonl"
SAMPLES = os.environ.get("WHERRY_GOLDEN_SAMPLES", "")

LATER = {
    "dicomweb STOW",
}
"""Sections of the main profile that Wherry does not serve yet: not sent."""
LATER_PATHS = re.compile(r"/(dicom-web|plugins/dicom-web)\b.*")
"""The same in other sections."""
PROFILES = [
    "main",
    "auth",
    "variant",
    "revisions",
    "recycling",
    "ingest",
    "jobs",
    "lifecycle",
    "stop",
]


def records(name: str) -> list[dict[str, Any]]:
    with (FOLDER / name).open() as file:
        return [json.loads(line) for line in file]


@contextmanager
def two_servers(folder: Path, profile: str) -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    """The server under test and another that plays its peer, empty; their ports of HTTP and of
    DICOM."""
    ports = {"A": free_port(), "B": free_port()}
    dicom_ports = {"A": free_port(), "B": free_port()}
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        known = {**ports, "silent": silent.getsockname()[1]}
        for name, port in ports.items():
            config = configuration(profile, name, known, dicom_ports)
            stack.enter_context(running(Server(folder / name, config, port=port)))
        yield ports, dicom_ports


def replay(
    recording: str, player: Player, played: list[dict[str, Any]], reasons: list[Reason]
) -> list[str]:
    found = []
    for record, answer in player.play(played):
        lines = unexplained(recording, record, answer, reasons)
        if lines and "newer" not in record:  # the recording itself allows those
            found += [f"#{record['n']} {record['section']}: {record['name']}: {x}" for x in lines]
    return found


def check_reasons(recording: str, reasons: list[Reason]) -> None:
    stale = [r.why for r in reasons if r.recording == recording and not r.used]
    assert not stale, "reasons that explain nothing any more"


def test_made_here(tmp_path: Path) -> None:
    samples = Samples(scenario.samples())
    constants = samples.constants(scenario.NAMES)
    reasons = load_reasons()
    with two_servers(tmp_path, "main") as (ports, _):
        player = Player(samples, constants, ports)
        found = replay(MADE_HERE, player, records(MADE_HERE), reasons)
    assert not found, "\n".join(found)
    check_reasons(MADE_HERE, reasons)


@pytest.mark.skipif(
    not SAMPLES,
    reason="WHERRY_GOLDEN_SAMPLES names no folder with the files of the recording "
    "(they may not be passed on with the project)",
)
@pytest.mark.parametrize("profile", PROFILES)
def test_with_samples(profile: str, tmp_path: Path) -> None:
    everything = records(WITH_SAMPLES)
    samples = Samples(Path(SAMPLES))
    constants = samples.constants(sample_names())
    mine = [r for r in everything if r["profile"] == profile]
    played = [r for r in mine if not is_later(r)]
    reasons = load_reasons()
    with two_servers(tmp_path, profile) as (ports, dicom_ports):
        player = Player(samples, constants, ports)
        player.variables["B_DICOM"] = dicom_ports["B"]
        found = replay(WITH_SAMPLES, player, played, reasons)
    assert not found, "\n".join(found)


def is_later(record: dict[str, Any]) -> bool:
    path = record["request"]["path"]
    return record["section"] in LATER or LATER_PATHS.fullmatch(path) is not None


def sample_names() -> dict[str, str]:
    """Symbol → file of the DICOM samples, as ``samples.json`` beside the recording tells."""
    known = json.loads((FOLDER / "orthanc-1.10.1-samples.json").read_text())
    return {key: entry["file"] for key, entry in known.items() if entry["file"][-4:] not in _OTHER}


_OTHER = {".png", ".jpg", ".pdf", ".txt"}
