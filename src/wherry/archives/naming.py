"""Names of folders and files in archives, made of DICOM tags as Orthanc makes them.

    PatientID PatientName / AccessionNumber StudyDescription / Modality SeriesDescription
        / CT000000.dcm

Of what stands there, letters, digits, dots, underscores and single spaces stay; what is left is
never empty, ``.`` or ``..``, so that no name leads out of the folder that it is unpacked in.
Folders that would have the same name beside each other are numbered from the second on: ``Head-2``.
A hyphen never stays, so that no other folder can have such a name.

Files bear their InstanceNumber where all instances of the series have a different one (as Orthanc
does since 1.12.6), else they are counted from 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

from wherry.index.holdings import HeldInstance, HeldSeries

_FOLDERS: Final = (
    ("Unknown Patient", "0010,0020", "0010,0010"),
    ("Unknown Study", "0008,0050", "0008,1030"),
    ("Unknown Series", "0008,0060", "0008,103e"),
)
"""What a folder is called without any of its tags, and the tags."""
_MODALITY: Final = "0008,0060"
_NAME_BYTES: Final = 200
"""Longest folder: file systems take 255, and a number may follow."""
_SPACES: Final = re.compile(r" {2,}")
_NOT_ASCII: Final = re.compile(r"[^\n\x20-\x7e]")
_APART: Final = re.compile("[=\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""Between the groups of a name (``Yamada=山田``), and blanks of whatever width."""
_KEPT: Final = "._ "
_LETTER_CATEGORIES: Final = ("L", "N", "M")
_LARGEST_NUMBER: Final = 999_999


class Tree:
    """The folders of one archive, in the order in which they come."""

    def __init__(self, *, utf8: bool) -> None:
        """``utf8``: letters beyond ASCII stay; else they are dropped, as Orthanc did up to
        1.12.10."""
        self._utf8 = utf8
        self._used: Counter[str] = Counter()
        """Full names of folders without their number → how many have it."""
        self._folders: dict[str, str] = {}
        """Orthanc identifier of patient, study or series → full name."""

    def names_in(self, series: HeldSeries, instances: Sequence[HeldInstance]) -> Iterator[str]:
        """Full names for these instances of a series, one after the other."""
        folder = ""
        for level, orthanc_id in enumerate(series.ids):
            known = self._folders.get(orthanc_id)
            if known is None:
                known = self._folders[orthanc_id] = self._new(folder, level, series.tags[level])
            folder = known
        modality = series.tags[2].get(_MODALITY, "")
        letters = "".join(c for c in modality[:2] if c.isascii() and c.isalnum()).upper()
        width = 8 - len(modality.encode()[:2])
        for number in numbers(instances) or count():
            yield f"{folder}/{letters}{number:0{width}d}.dcm"

    def _new(self, parent: str, level: int, tags: dict[str, str]) -> str:
        unknown, *named = _FOLDERS[level]
        name = folder_name(" ".join(tags.get(tag, "") for tag in named), utf8=self._utf8)
        full = f"{parent}/{name or unknown}" if parent else name or unknown
        self._used[full] += 1
        same = self._used[full]
        return full if same == 1 else f"{full}-{same}"


def folder_name(text: str, *, utf8: bool) -> str:
    """The name of a folder for the values of its tags; empty when nothing of them can stay."""
    text = _APART.sub(" ", text) if utf8 else _NOT_ASCII.sub("", text)
    text = text.replace("^", " ").replace("\n", " ")
    kept = "".join(c for c in text if c in _KEPT or _is_letter(c))
    name = _SPACES.sub(" ", unicodedata.normalize("NFC", kept)).strip(" ")
    while len(name.encode()) > _NAME_BYTES:
        name = name[: len(name) * _NAME_BYTES // len(name.encode())].rstrip(" ")
    return "" if name in (".", "..") else name


def numbers(instances: Sequence[HeldInstance]) -> list[int] | None:
    """The numbers of these instances, if each has another one that fits into a name."""
    found = []
    for one in instances:
        text = one.number.strip()
        if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST_NUMBER):
            return None
        found.append(int(text))
    return found if len(set(found)) == len(found) else None


def _is_letter(c: str) -> bool:
    return c.isalnum() if c.isascii() else unicodedata.category(c)[0] in _LETTER_CATEGORIES
