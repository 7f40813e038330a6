"""How long the editor takes beside pydicom, in µs of CPU an instance, without any I/O.

    python bench/edit.py [FILE…]

Without files: those of ``parse.py`` and an enhanced MR with eleven sequences a frame. pydicom
reads the file, changes as many attributes and writes it; its anonymization looks at every element.
"""

from __future__ import annotations

import argparse
import gc
import io
from pathlib import Path

import pydicom
from parse import OWN_FILES, enhanced, made_files, microseconds, written
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wherry.dicom.editing.editor import Editor
from wherry.dicom.editing.profiles import profile
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import rules_of
from wherry.model import Level

ACTIONS = profile("2021b").actions


def rich_enhanced(frames: int) -> Dataset:
    """With as many functional groups as a scanner writes."""
    ds: Dataset = enhanced(frames)
    for group in ds.PerFrameFunctionalGroupsSequence:
        for element in range(0x9112, 0x911B):
            inner = Dataset()
            inner.FrameType = ["ORIGINAL", "PRIMARY"]
            inner.EffectiveEchoTime = 1.5
            inner.PixelPresentation = "MONOCHROME"
            group.add_new(0x00180000 | element, "SQ", Sequence([inner]))
    return ds


def with_pydicom(data: bytes, *, anonymize: bool) -> int:
    """What a server without an editor of its own would do; the size of the outcome."""
    ds = pydicom.dcmread(io.BytesIO(data))

    def clean(items: Dataset, element: pydicom.DataElement) -> None:
        if int(element.tag) in ACTIONS or element.tag.is_private:
            del items[element.tag]

    if anonymize:
        ds.walk(clean)
    ds.InstitutionName = "Test"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    out = io.BytesIO()
    ds.save_as(out)
    return out.tell()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each figure")
    options = parser.parse_args()
    if options.files:
        files = [(path.name, path.read_bytes()) for path in options.files]
    else:
        files = [*made_files(), ("made enhanced, rich", written(rich_enhanced(200)))]
        files += [(n, Path(str(get_testdata_file(n))).read_bytes()) for n in OWN_FILES]
    body = {"Replace": {"InstitutionName": "Test"}}
    editors = [
        Editor(
            rules_of(body, Level.STUDY, anonymize=anonymize, default_profile="2021b"),
            Pseudonyms(bytes(32)),
            "1",
        )
        for anonymize in (False, True)
    ]
    gc.disable()
    print(f"{'µs an instance':28}{'modify':>9}{'pydicom':>10}{'anonymize':>11}{'pydicom':>10}")
    for name, data in files:
        view = memoryview(data)
        figures = []
        for editor, anonymize in zip(editors, (False, True), strict=True):
            figures += [
                microseconds(lambda: editor.edit(view), options.seconds),  # noqa: B023
                microseconds(
                    lambda: with_pydicom(data, anonymize=anonymize),  # noqa: B023
                    options.seconds,
                ),
            ]
        print(f"{name:28}{figures[0]:9.0f}{figures[1]:10.0f}{figures[2]:11.0f}{figures[3]:10.0f}")


if __name__ == "__main__":
    main()
