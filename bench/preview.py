"""Pictures of stored frames, Wherry beside Debian's Orthanc: requests a second, ratios, memory.

    python -m bench.preview
    python -m bench.preview --kinds wherry --only mammo

Fills both with CT slices of 512 × 512 (16 bits, as they are, and the same in compressed transfer
syntaxes) and one volume of 10 mammograms, then asks for previews with 1 and with 8 kept-alive
connections, the two servers in turn. Needs ``wrk`` (``apt-get install wrk``).

The processor time and the memory of Wherry are those of the server and of its workers together.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.make_data import DEFAULT_FOLDER, PLANS, files, make
from bench.meter import Meter, machine
from bench.reads import Question, line, rounds
from bench.servers import KINDS, Server, free_port
from wherry import limits

_SYNTAXES: Final = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
_COMPRESSED: Final = 8
"""Slices of each compressed transfer syntax."""


def compressed(data: bytes, syntax: str, number: int) -> bytes:
    """A slice of CT in another transfer syntax, under a UID of its own."""
    import io

    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, generate_uid

    from wherry.dicom.codecs import encode
    from wherry.dicom.codecs.image import Image
    from wherry.dicom.codecs.shape import shape_of

    image = Image(data)
    made = dcmread(io.BytesIO(data))
    made.SOPInstanceUID = generate_uid(entropy_srcs=[syntax, str(number)])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[syntax])
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = UID(syntax)
    frame = encode(syntax, image.values(0), shape_of(image.tree))
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR = "OB"
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def fill(server: Server, data: Path) -> list[Question]:
    """Upload; what is asked of this server."""

    def post(body: bytes) -> str:
        return str(server.api.call("POST", "/instances", body)["ID"])

    slices = [path.read_bytes() for path in files(data, "warm")]
    asked = {"CT": [post(body) for body in slices]}
    for name, syntax in _SYNTAXES.items():
        if server.kind == "orthanc" and name == "JPEG 2000":
            continue  # it has no decoder
        asked[f"CT {name}"] = [
            post(compressed(body, syntax, number))
            for number, body in enumerate(slices[:_COMPRESSED])
        ]
    found = [
        Question(name, [f"/instances/{one}/preview" for one in ids]) for name, ids in asked.items()
    ]
    rendered = [f"/instances/{one}/rendered?width=128" for one in asked["CT"]]
    found.append(Question("CT thumbnail", rendered))
    volume = post(files(data, "mammo")[0].read_bytes())
    frames = [f"/instances/{volume}/frames/{n}/preview" for n in range(10)]
    return [*found, Question("mammo frame", frames)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", default="", help="names of questions that hold this text")
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (Debian: apt-get install wrk)")
    for plan in ("warm", "mammo"):
        make(PLANS[plan], given.data)
    kinds = given.kinds.split(",")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        servers: dict[str, Server] = {}
        asked: dict[str, Question] = {}
        for kind in kinds:
            servers[kind] = stack.enter_context(Server(kind, scratch / kind, free_port()))
            asked |= {one.name: one for one in fill(servers[kind], given.data)}
        print(machine())
        head = " ".join(f"{kind + '/s':>10} {'CPU us':>8}" for kind in kinds)
        print(f"{'preview of':20}  c {head} {'ratio':>8}")
        for question in asked.values():
            if given.only not in question.name:
                continue
            able = servers
            if "2000" in question.name:
                able = {kind: one for kind, one in servers.items() if kind == "wherry"}
            meter = Meter({kind: one.pid for kind, one in able.items()})
            for row in rounds(able, [question], given.rounds, scratch / "load.lua"):
                print(line(*row), flush=True)
            peaks = [
                f"{kind} {cost.peak_rss_bytes // limits.MIB} MiB"
                for kind, cost in meter.read()[0].items()
            ]
            print(f"{'':20}    at most {', '.join(peaks)}", flush=True)


if __name__ == "__main__":
    main()
