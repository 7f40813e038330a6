"""What pydicom says of a file, in a form that can be compared with our scan."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom
from pydicom.multival import MultiValue

from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.model import Level, Summary

type_tags = list[dict[str, list[str]]]


@contextmanager
def silence() -> Iterator[None]:
    """pydicom warns of everything that is not quite right; here that is the point."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def pydicom_reading(data: bytes) -> type_tags:
    """Main tags of the four levels as pydicom reads them, values split and stripped."""
    with silence():
        ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
        levels: type_tags = []
        for level in Level:
            found: dict[str, list[str]] = {}
            for tag in MAIN_DICOM_TAGS[level]:
                number = int(tag.replace(",", ""), 16)
                if number not in ds or ds[number].VR == "SQ":
                    continue
                value = ds[number].value
                values = list(value) if isinstance(value, (MultiValue, list)) else [value]
                found[tag] = normal("\\".join("" if v is None else str(v) for v in values))
            levels.append(found)
        return levels


def normal(text: str) -> list[str]:
    """Components without what pydicom removes and we keep: inner padding, empty parts of names."""
    return [part.strip(" \0").rstrip("=") for part in text.split("\\")]


def our_reading(summary: Summary) -> type_tags:
    """Main tags of ``summary`` in the same form."""
    return [{tag: normal(text) for tag, text in level.items()} for level in summary.tags]
