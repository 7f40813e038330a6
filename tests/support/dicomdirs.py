"""Reading a DICOMDIR again: by its offsets, as a reader of media goes through it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from tests.support.pydicom_reading import silence

FIRST, LAST = 0x00041200, 0x00041202
NEXT, LOWER, RECORD_TYPE = 0x00041400, 0x00041420, 0x00041430
OFFSETS = frozenset((NEXT, LOWER, 0x00041410))


class Found(NamedTuple):
    """One record, and those that its offset of the lower level leads to."""

    kind: str
    record: Dataset
    below: list[Found]

    def all(self) -> Iterator[Found]:
        yield self
        for found in self.below:
            yield from found.all()


@contextmanager
def file_set(path: Path) -> Iterator[FileSet]:
    """A DICOMDIR that lies among its files, as pydicom's file-set."""
    with silence():
        found = FileSet(path)
        yield found
    found._stage["t"].cleanup()  # a folder that it leaves to the garbage collector


def parse(data: bytes) -> Dataset:
    with silence():
        return pydicom.dcmread(io.BytesIO(data))


def walk(data: bytes) -> list[Found]:
    """The patients. Fails when an offset leads nowhere, or a record is reached twice or never."""
    file = parse(data)
    with silence():
        left = {record.seq_item_tell: record for record in file.DirectoryRecordSequence}

        def siblings(offset: int) -> list[Found]:
            found = []
            while offset:
                record = left.pop(offset)
                assert record.RecordInUseFlag == 0xFFFF
                found.append(
                    Found(record[RECORD_TYPE].value, record, siblings(record[LOWER].value))
                )
                last, offset = offset, record[NEXT].value
                if found[-1].kind == "PATIENT":
                    lasts.append(last)
            return found

        lasts = [0]
        patients = siblings(file[FIRST].value)
        assert file[LAST].value == lasts[-1]
        assert not left, "records that no offset leads to"
    return patients


def leaves(data: bytes) -> list[Found]:
    """The records that refer to files, in the order of the directory."""
    return [one for patient in walk(data) for one in patient.all() if not one.below]


def shown(record: Dataset) -> dict[str, Any]:
    """``gggg,eeee`` → text as the record's character set has it; sequences as lists of such."""
    with silence():
        return {
            f"{element.tag.group:04x},{element.tag.element:04x}": _text(element.value)
            for element in record
            if element.tag not in OFFSETS
        }


def _text(value: Any) -> Any:
    if isinstance(value, pydicom.Sequence):
        return [shown(item) for item in value]
    if isinstance(value, list | pydicom.multival.MultiValue):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
