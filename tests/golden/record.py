"""Records a genuine Orthanc: ``python -m tests.golden.record [--orthanc BINARY]``.

Writes ``made-here-1.10.1.jsonl`` beside this file. Debian 12 has the release in its package
``orthanc``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.golden import scenario
from tests.golden.bodies import Samples
from tests.golden.playing import Player
from tests.golden.setups import configuration
from tests.support.server import free_port

RECORDING = Path(__file__).with_name("made-here-1.10.1.jsonl")
_START_S = 30.0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orthanc", default="Orthanc", help="the server's program")
    binary = parser.parse_args().orthanc
    samples = Samples(scenario.samples())
    constants = samples.constants(scenario.NAMES)
    port = free_port()
    with _orthanc(binary, port), RECORDING.open("w") as out:
        for record, answer in Player(samples, constants, {"A": port}).play(scenario.records()):
            out.write(json.dumps({**record, "response": answer}, ensure_ascii=False) + "\n")
    print(f"{len(scenario.records())} exchanges in {RECORDING.name}")


@contextmanager
def _orthanc(binary: str, port: int) -> Iterator[None]:
    settings: dict[str, Any] = configuration(
        "main", "A", {"A": port, "B": 1}, {"A": free_port(), "B": 1}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "orthanc.json")
        places = {"StorageDirectory": folder, "IndexDirectory": folder, "HttpPort": port}
        path.write_text(json.dumps({**settings, **places}))
        process = subprocess.Popen([binary, str(path)], stderr=subprocess.DEVNULL)
        try:
            _wait(port)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/system").close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)  # waiting for another process to listen


if __name__ == "__main__":
    main()
