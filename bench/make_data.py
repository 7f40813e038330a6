"""Makes the data of the benchmark: the same bytes for the same seed, on any machine.

    python -m bench.make_data --set onco,small,mammo --data bench/data

| set   | what                                   | size of a file | gzip level 1 |
|-------|----------------------------------------|----------------|--------------|
| onco  | 1000 CT slices, one study of 4 series  | 0.526 MB       | about 2      |
| small | 4000 MR slices, one study of 20 series | 30 KB          | about 1.4    |
| mammo | 8 tomosynthesis volumes of 10 frames   | 105 MB         | about 3      |
| warm  | 40 CT slices of another patient        | 0.526 MB       | to warm up   |
| big   | 4000 CT slices, one study, 2.1 GB      | 0.526 MB       | about 2      |

``big`` is made only when it is named.

A set is written once; its ``manifest.json`` comes last, so a folder with a manifest is whole.

Not here: who sends the files (``load``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.dicomfile import Elements, Value, dicom_file, uid
from bench.pixels import RING_SAMPLES, Ellipse, Noise, anatomy, where

FORMAT: Final = 4
"""Raise it when the bytes change: older folders are then made again."""

Tags = dict[int, tuple[str, Value]]

DEFAULT_FOLDER: Final = Path(__file__).parent / "data"
SEED: Final = 20261101


@dataclass(frozen=True)
class Manifest:
    """What a folder holds."""

    name: str
    format: int
    seed: int
    count: int
    bytes: int
    patient_id: str
    study_instance_uid: str

    @property
    def orthanc_study_id(self) -> str:
        """Orthanc's identifier of the study: SHA-1 in five groups."""
        text = f"{self.patient_id}|{self.study_instance_uid}"
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


@dataclass(frozen=True)
class Plan:
    """One set to make."""

    name: str
    count: int
    series_count: int
    images: Callable[[Plan, int], Iterator[list[bytes]]]

    @property
    def patient_id(self) -> str:
        return f"WHERRY-{self.name.upper()}"

    def study_uid(self, seed: int) -> str:
        return uid("study", self.name, seed)

    def places(self) -> Iterator[tuple[int, int]]:
        """Of each instance in turn: number of its series, its number there; both from 1."""
        for position in range(self.count):
            series = position * self.series_count // self.count
            first = -(-series * self.count // self.series_count)
            yield series + 1, position - first + 1


def ct_images(plan: Plan, seed: int) -> Iterator[list[bytes]]:
    """An abdomen of 512×512, 12 bits stored; the anatomy changes every eight slices."""
    chance = random.Random(f"{plan.name}/{seed}")
    noise, count = Noise(chance, deviation=9), 512 * 512
    body = 0
    for position, (series, number) in enumerate(plan.places()):
        if position % 8 == 0:
            body = anatomy(512, 512, 10, _abdomen(position / 40, chance))
        pixels = (body + noise.lanes(chance.randrange(RING_SAMPLES), count)).to_bytes(
            2 * count, "little"
        )
        phase = ("native", "arterial", "portal venous", "late")[(series - 1) % 4]
        yield dicom_file(
            _common(plan, seed, series, number, "CT")
            | {
                0x00080008: ("CS", ["ORIGINAL", "PRIMARY", "AXIAL"]),
                0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2"),
                0x0008103E: ("LO", f"Abdomen {phase} 1.25 B40f"),
                0x00180010: ("LO", "" if phase == "native" else "Iomeprol 400"),
                0x00180015: ("CS", "ABDOMEN"),
                0x00180050: ("DS", "1.25"),
                0x00180060: ("DS", "120"),
                0x00180090: ("DS", "500"),
                0x00181030: ("LO", "Abdomen 4 phases"),
                0x00181100: ("DS", "380"),
                0x00181150: ("IS", "500"),
                0x00181151: ("IS", 180 + number % 60),
                0x00181210: ("SH", "B40f"),
                0x00200032: ("DS", [-190, -190, f"{-100 - 1.25 * number:.2f}"]),
                0x00201041: ("DS", f"{-100 - 1.25 * number:.2f}"),
                0x00281050: ("DS", "40"),
                0x00281051: ("DS", "400"),
                0x00281052: ("DS", "-1024"),
                0x00281053: ("DS", "1"),
                0x00281054: ("LO", "HU"),
            }
            | _pixel_module(512, 512, "0.7421875"),
            pixels,
        )


def mr_images(plan: Plan, seed: int) -> Iterator[list[bytes]]:
    """A head of 112×128, a functional series."""
    chance = random.Random(f"{plan.name}/{seed}")
    noise, width, height = Noise(chance, deviation=30), 112, 128
    count = width * height
    heads = [anatomy(width, height, 20, _head(chance)) for _ in range(20)]
    for position, (series, number) in enumerate(plan.places()):
        image = heads[position % len(heads)] + noise.lanes(chance.randrange(RING_SAMPLES), count)
        yield dicom_file(
            _common(plan, seed, series, number, "MR")
            | {
                0x00080008: ("CS", ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]),
                0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.4"),
                0x0008103E: ("LO", f"ep2d_bold run {series}"),
                0x00180015: ("CS", "BRAIN"),
                0x00180020: ("CS", "EP"),
                0x00180021: ("CS", "SK"),
                0x00180022: ("CS", ["FS", "SAT1"]),
                0x00180023: ("CS", "2D"),
                0x00180024: ("SH", "*epfid2d1_112"),
                0x00180050: ("DS", "3"),
                0x00180080: ("DS", "2000"),
                0x00180081: ("DS", "30"),
                0x00180087: ("DS", "3"),
                0x00181030: ("LO", "fMRI motor"),
                0x00181314: ("DS", "78"),
                0x00200032: ("DS", [-96, -110, f"{3.3 * (number % 36) - 50:.2f}"]),
                0x00200100: ("IS", 1 + number // 36),
                0x00201041: ("DS", f"{3.3 * (number % 36) - 50:.2f}"),
                0x00281050: ("DS", "600"),
                0x00281051: ("DS", "1200"),
            }
            | _pixel_module(width, height, "1.71875"),
            image.to_bytes(2 * count, "little"),
        )


def mammo_images(plan: Plan, seed: int) -> Iterator[list[bytes]]:
    """Breast tomosynthesis: 10 frames of 2048×2560 in one object, air outside without noise."""
    chance = random.Random(f"{plan.name}/{seed}")
    noise, width, height, frames = Noise(chance, deviation=24), 2048, 2560, 10
    count = width * height
    breast = anatomy(width, height, 0, _breast())
    mask = where(breast, count)
    for series, number in plan.places():
        pixels = [
            (breast + (noise.lanes(chance.randrange(RING_SAMPLES), count) & mask)).to_bytes(
                2 * count, "little"
            )
            for _ in range(frames)
        ]
        side, view = ("L", "R")[series % 2], ("CC", "MLO")[series // 2 % 2]
        yield dicom_file(
            _common(plan, seed, series, number, "MG")
            | {
                0x00080008: ("CS", ["ORIGINAL", "PRIMARY", "TOMOSYNTHESIS", "NONE"]),
                0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.13.1.3"),
                0x0008103E: ("LO", f"{side} {view} tomosynthesis"),
                0x00180015: ("CS", "BREAST"),
                0x00181030: ("LO", "Screening 3D"),
                0x00280008: ("IS", frames),
                0x00200062: ("CS", side),
                0x52009229: ("SQ", [_shared_groups()]),
                0x52009230: ("SQ", [_frame_groups(frame) for frame in range(frames)]),
            }
            | _pixel_module(width, height, None),
            pixels,
        )


PLANS: Final = {
    plan.name: plan
    for plan in (
        Plan("onco", 1000, 4, ct_images),
        Plan("small", 4000, 20, mr_images),
        Plan("mammo", 8, 8, mammo_images),
        Plan("warm", 40, 1, ct_images),
        Plan("big", 4000, 16, ct_images),
        Plan("many", 20_000, 40, mr_images),
    )
}


def make(plan: Plan, folder: Path, seed: int = SEED) -> Manifest:
    """Write the set below ``folder``, unless it is there already."""
    place = folder / plan.name
    there = _present(place)
    if there is not None and (there.format, there.seed, there.count) == (FORMAT, seed, plan.count):
        return there
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    total = 0
    for position, pieces in enumerate(plan.images(plan, seed)):
        with (place / f"{position:05d}.dcm").open("wb") as file:
            file.writelines(pieces)
        total += sum(map(len, pieces))
    manifest = Manifest(
        plan.name, FORMAT, seed, plan.count, total, plan.patient_id, plan.study_uid(seed)
    )
    (place / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    return manifest


def files(folder: Path, name: str) -> list[Path]:
    """The files of a set, in the order of arrival."""
    return sorted((folder / name).glob("*.dcm"))


def _present(place: Path) -> Manifest | None:
    path = place / "manifest.json"
    return Manifest(**json.loads(path.read_text())) if path.exists() else None


def _common(plan: Plan, seed: int, series: int, number: int, modality: str) -> Tags:
    """The modules that all images share: patient, study, series, equipment, frame of reference."""
    study = plan.study_uid(seed)
    return {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00080012: ("DA", "20261102"),
        0x00080013: ("TM", f"{10 + series % 8:02d}{number // 60 % 60:02d}{number % 60:02d}.250000"),
        0x00080018: ("UI", uid("instance", study, series, number)),
        0x00080020: ("DA", "20261102"),
        0x00080021: ("DA", "20261102"),
        0x00080022: ("DA", "20261102"),
        0x00080023: ("DA", "20261102"),
        0x00080030: ("TM", "101500"),
        0x00080031: ("TM", f"10{series % 60:02d}00"),
        0x00080032: ("TM", f"10{series % 60:02d}{number % 60:02d}.120000"),
        0x00080033: ("TM", f"10{series % 60:02d}{number % 60:02d}.250000"),
        0x00080050: ("SH", f"ACC{seed % 1_000_000:06d}"),
        0x00080060: ("CS", modality),
        0x00080070: ("LO", "Wherry"),
        0x00080080: ("LO", "Centre hospitalier du Passeur"),
        0x00080090: ("PN", "Müller^Jürgen^^Dr."),
        0x00081010: ("SH", f"{modality}01"),
        0x00081030: ("LO", f"Benchmark {plan.name}"),
        0x00081032: (
            "SQ",
            [
                {
                    0x00080100: ("SH", "WHERRY1"),
                    0x00080102: ("SH", "99WHERRY"),
                    0x00080104: ("LO", f"Benchmark {plan.name}"),
                }
            ],
        ),
        0x00081040: ("LO", "Radiologie"),
        0x00081090: ("LO", "Synthesiser 3"),
        0x00090010: ("LO", "WHERRY BENCH 01"),
        0x00091001: ("LO", f"place {series}/{number}"),
        0x00091002: ("UN", bytes(range(64)) * 4),
        0x00100010: ("PN", "Lefèvre^Anaïs"),
        0x00100020: ("LO", plan.patient_id),
        0x00100030: ("DA", "19610417"),
        0x00100040: ("CS", "F"),
        0x00101010: ("AS", "065Y"),
        0x00101030: ("DS", "64.5"),
        0x00181000: ("LO", "0001"),
        0x00181020: ("LO", ["1.0", "synthetic"]),
        0x00185100: ("CS", "HFS"),
        0x0020000D: ("UI", study),
        0x0020000E: ("UI", uid("series", study, series)),
        0x00200010: ("SH", "1"),
        0x00200011: ("IS", series),
        0x00200012: ("IS", 1),
        0x00200013: ("IS", number),
        0x00200037: ("DS", [1, 0, 0, 0, 1, 0]),
        0x00200052: ("UI", uid("frame of reference", study)),
        0x00201040: ("LO", ""),
        0x00400244: ("DA", "20261102"),
        0x00400245: ("TM", "101500"),
        0x00400254: ("LO", f"Benchmark {plan.name}"),
    }


def _pixel_module(columns: int, rows: int, spacing: str | None) -> Tags:
    elements: Tags = {
        0x00280002: ("US", 1),
        0x00280004: ("CS", "MONOCHROME2"),
        0x00280010: ("US", rows),
        0x00280011: ("US", columns),
        0x00280100: ("US", 16),
        0x00280101: ("US", 12),
        0x00280102: ("US", 11),
        0x00280103: ("US", 0),
    }
    if spacing is not None:
        elements[0x00280030] = ("DS", [spacing, spacing])
    return elements


def _abdomen(turn: float, chance: random.Random) -> list[Ellipse]:
    """Air 10, fat and muscle near 1000, bone above; ``turn`` moves the organs slowly."""
    sway = 0.02 * ((turn % 2) - 1)
    return [
        Ellipse(0.5, 0.52, 0.42, 0.32, 920),
        Ellipse(0.5, 0.52, 0.38, 0.28, 1060),
        Ellipse(0.36 + sway, 0.47, 0.20, 0.17, 1110),
        Ellipse(0.68 - sway, 0.45, 0.09, 0.11, 1120),
        Ellipse(0.38, 0.63, 0.05, 0.07, 1180),
        Ellipse(0.62, 0.63, 0.05, 0.07, 1180),
        Ellipse(0.5, 0.68, 0.06, 0.06, 1500),
        Ellipse(0.53, 0.58, 0.025, 0.025, 1250 + chance.randrange(60)),
        Ellipse(0.55 + sway, 0.36, 0.06, 0.04, 60),
    ]


def _head(chance: random.Random) -> list[Ellipse]:
    wide = 0.30 + 0.02 * chance.random()
    return [
        Ellipse(0.5, 0.5, wide + 0.04, 0.40, 300),
        Ellipse(0.5, 0.5, wide, 0.36, 900),
        Ellipse(0.44, 0.48, 0.05, 0.11, 1500),
        Ellipse(0.56, 0.48, 0.05, 0.11, 1500),
    ]


def _breast() -> list[Ellipse]:
    layers = [
        Ellipse(0.0, 0.5, 0.72 - 0.012 * i, 0.44 - 0.008 * i, 300 + 22 * i) for i in range(40)
    ]
    return [*layers, Ellipse(0.3, 0.45, 0.06, 0.05, 1900), Ellipse(0.2, 0.6, 0.02, 0.03, 2300)]


def _shared_groups() -> Elements:
    """Functional groups that hold for all frames (PS3.3 §C.7.6.16)."""
    measures: Elements = {0x00180050: ("DS", "5"), 0x00280030: ("DS", ["0.1", "0.1"])}
    window: Elements = {0x00281050: ("DS", "1200"), 0x00281051: ("DS", "2400")}
    return {0x00289110: ("SQ", [measures]), 0x00289132: ("SQ", [window])}


def _frame_groups(frame: int) -> Elements:
    content: Elements = {
        0x00209057: ("UL", frame + 1),
        0x00209157: ("UL", [1, frame + 1]),
    }
    position: Elements = {0x00200032: ("DS", [0, 0, 5 * frame])}
    return {0x00209111: ("SQ", [content]), 0x00209113: ("SQ", [position])}


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the data of the benchmark.")
    parser.add_argument("--set", default="onco,small,mammo,warm", help="which sets")
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER, help="folder to write to")
    parser.add_argument("--seed", type=int, default=SEED)
    parsed = parser.parse_args()
    for name in parsed.set.split(","):
        manifest = make(PLANS[name], parsed.data, parsed.seed)
        print(f"{name}: {manifest.count} files, {manifest.bytes / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
