"""A second opinion: pydicom reads what our own scan cannot.

What: the wanted elements of a data set whose structure is not quite that of the Standard, for
instance implicit elements in an explicit one. Why: pydicom knows twenty years of odd files. It is
a hundred times slower, so it comes second and within its own bound of bytes.
Not here: the decision whether a file deserves it (``scan``), the file meta information; deflated
data sets, which pydicom would inflate without a bound.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable
from typing import Any

from wherry import limits
from wherry.dicom.elements import PIXEL_DATA, Encoding, UnreadableError, type_data

_PIXEL_TAGS = range(PIXEL_DATA - 8, PIXEL_DATA + 1)


class _Window(io.RawIOBase):
    """A buffer as a file. Remembers whether anybody wanted bytes beyond its end."""

    def __init__(self, data: type_data, position: int) -> None:
        super().__init__()
        self._data = memoryview(data)
        self._position = position
        self._left = limits.DICOM_FALLBACK_BYTES
        self.is_short = False

    def read(self, size: int | None = -1) -> bytes:
        available = max(len(self._data) - self._position, 0)
        if size is None or size < 0:
            size = available
        if size > available and (available or self._position > len(self._data)):
            self.is_short = True
        size = min(size, available)
        self._left -= size
        if self._left < 0:
            raise UnreadableError("it is too long for a second reading")
        piece = bytes(self._data[self._position : self._position + size])
        self._position += size
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._position, len(self._data))[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def hush() -> None:
    """Keep pydicom's warnings about the files of other people out of our logs and tests."""
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def reread(
    data: type_data, position: int, encoding: Encoding, wanted: Iterable[int]
) -> tuple[dict[int, tuple[str, bytes]], int]:
    """The data set at ``position`` as pydicom sees it: wanted elements, and where it stopped.

    The elements are tag → (VR, raw value); it stops at the pixel data or at the end. Raises
    ``UnreadableError`` when pydicom cannot read it either, or only by making up what is missing.
    """
    from pydicom.dataelem import RawDataElement
    from pydicom.filereader import read_dataset
    from pydicom.tag import BaseTag

    hush()
    window = _Window(data, position)
    file: Any = window
    found: dict[int, tuple[str, bytes]] = {}
    try:
        dataset = read_dataset(
            file,
            not encoding.explicit,
            not encoding.big_endian,
            stop_when=lambda tag, _vr, _length: tag in _PIXEL_TAGS,
            specific_tags=[BaseTag(tag) for tag in wanted],
        )
        for tag in dataset.keys():  # noqa: SIM118  (iterating itself would convert the values)
            element = dataset.get_item(tag)
            if isinstance(element, RawDataElement):
                found[int(element.tag)] = (element.VR or "", element.value or b"")
    except UnreadableError:
        raise
    except Exception as error:  # pydicom raises whatever its own depths raise
        raise UnreadableError(f"{type(error).__name__} in a second reading") from None
    if window.is_short:
        raise UnreadableError("bytes are missing at its end")
    return found, window.tell()
