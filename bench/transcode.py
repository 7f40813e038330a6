"""Transcoding: Wherry beside DCMTK's tools and Debian's Orthanc; the memory of a worker.

    python -m bench.transcode                      # about a minute and a half
    python -m bench.transcode --slices 200

``tools``: the first slices of the set ``onco``, one after the other: by a worker of ours, and by
the tool of DCMTK, whose start of a process a file is measured apart and taken off. ``servers``: the
same slices as ``GET /studies/{id}/archive?transcode=``, the better of two. ``memory``: the largest
file of the set ``mammo`` through a worker, and its peak.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from bench.make_data import DEFAULT_FOLDER, files
from bench.servers import KINDS, Server, free_port
from wherry import limits
from wherry.dicom.codecs.syntaxes import J2K, JLS, LOSSLESS_SV1, RLE
from wherry.dicom.preamble import EXPLICIT
from wherry.imaging.pool import ImagingPool, Source
from wherry.imaging.transcoding import Transcoder
from wherry.metrics import Metrics

PACKING: Final = {LOSSLESS_SV1: ["dcmcjpeg", "+e1"], JLS: ["dcmcjpls"], RLE: ["dcmcrle"]}
UNPACKING: Final = {LOSSLESS_SV1: ["dcmdjpeg"], JLS: ["dcmdjpls"], RLE: ["dcmdrle"]}
NAMES: Final = {
    EXPLICIT: "explicit",
    LOSSLESS_SV1: "JPEG lossless",
    JLS: "JPEG-LS",
    RLE: "RLE",
    J2K: "JPEG 2000",
}


def timed(work: Callable[..., object], *given: object) -> float:
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start


def pool() -> ImagingPool:
    return ImagingPool(1, limits.IMAGING_MEMORY_BYTES, Metrics())


def made_by_us(transcoder: Transcoder, paths: Sequence[Path], syntax: str, folder: Path) -> None:
    for path in paths:
        with path.open("rb") as file:
            made = transcoder.transcode(Source.whole(file.fileno()), [syntax])
            with made as found, (folder / path.name).open("wb") as out:
                assert found is not None
                out.write(os.pread(found.source.file, found.source.size, found.source.offset))


def made_by_dcmtk(command: Sequence[str], paths: Sequence[Path], folder: Path) -> None:
    for path in paths:
        subprocess.run([*command, path, folder / path.name], check=True, capture_output=True)


def tools(paths: Sequence[Path], room: Path) -> None:
    size = sum(path.stat().st_size for path in paths) / 1e6
    nothing = timed(made_by_dcmtk, ["dcmcrle", "--version"], paths, room)
    workers = pool()
    transcoder = Transcoder(workers, 90)
    print(f"{len(paths)} slices of CT, {size:.0f} MB; MB/s of native pixels", flush=True)
    try:
        for syntax in (LOSSLESS_SV1, JLS, RLE, J2K):
            packed, plain, other = (room / name for name in ("packed", "plain", "other"))
            for folder in (packed, plain, other):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            made_by_us(transcoder, paths[:1], syntax, packed)  # the worker has started
            ours = timed(made_by_us, transcoder, paths, syntax, packed)
            coded = sorted(packed.iterdir())
            ratio = size * 1e6 / sum(one.stat().st_size for one in coded)
            back = timed(made_by_us, transcoder, coded, EXPLICIT, plain)
            line = f"pack {size / ours:6.1f}  unpack {size / back:6.1f}"
            if syntax in PACKING:
                pack = timed(made_by_dcmtk, PACKING[syntax], paths, other) - nothing
                unpack = timed(made_by_dcmtk, UNPACKING[syntax], coded, other) - nothing
                line += f"   DCMTK: pack {size / pack:6.1f}  unpack {size / unpack:6.1f}"
            print(f"  {NAMES[syntax]:14} ratio {ratio:4.2f}  {line}", flush=True)
    finally:
        workers.close()


def fetched(url: str) -> int:
    with urlopen(url) as answer:
        return len(answer.read())


def servers(paths: Sequence[Path], room: Path) -> None:
    size = sum(path.stat().st_size for path in paths) / 1e6
    print("archives, MB/s of what is stored", flush=True)
    for kind in KINDS:
        with Server(kind, room / kind, free_port()) as server:
            for path in paths:
                server.api.call("POST", "/instances", path.read_bytes())
            [study] = server.api.get("/studies")
            figures = []
            for syntax in (LOSSLESS_SV1, JLS):
                target = f"{server.url}studies/{study}/archive?transcode={syntax}"
                took = min(timed(fetched, target) for _ in range(2))
                figures.append(f"{NAMES[syntax]} {size / took:5.1f}")
            print(f"  {kind:8} {'  '.join(figures)}", flush=True)


def memory(path: Path, room: Path) -> None:
    workers = pool()
    print(f"one file of {path.stat().st_size / 1e6:.0f} MB; peak of the worker", flush=True)
    try:
        for syntax in (JLS, RLE):
            took = timed(made_by_us, Transcoder(workers, 90), [path], syntax, room)
            pids = workers.pids()
            status = Path(f"/proc/{pids[0]}/status").read_text() if pids else "VmHWM: 0 kB"
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            print(f"  {NAMES[syntax]:14} {took:5.1f} s  {peak}", flush=True)
    finally:
        workers.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    given = parser.parse_args()
    paths = files(given.data, "onco")[: given.slices]
    with tempfile.TemporaryDirectory() as room:
        tools(paths, Path(room))
        servers(paths, Path(room))
        memory(max(files(given.data, "mammo"), key=lambda one: one.stat().st_size), Path(room))


if __name__ == "__main__":
    main()
