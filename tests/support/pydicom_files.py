"""The DICOM files of pydicom's wheel, as names below one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pydicom.data

ROOT: Final = Path(pydicom.data.__file__).parent
_NOT_DICOM: Final = frozenset(
    (".py", ".pyc", ".json", ".txt", ".md", ".dump", ".icc", ".gz", ".npy")
)
FILES: Final = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*")
    if path.is_file() and path.suffix not in _NOT_DICOM
)
