"""A DICOM file as a tree of its elements: all of it, its header, or a few chosen elements.

What: data sets as dictionaries tag → ``Element``, sequences as lists of them; up to the pixel data
unless all is asked for. Why: whoever shows the file (``json``, ``content``) needs what ``scan``
steps over. Values stay in the buffer.
Not here: how elements are read (``reading``), what the values mean.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache

from wherry import limits
from wherry.dicom.elements import (
    EXPLICIT_LITTLE,
    UNDEFINED,
    Encoding,
    UnreadableError,
    find,
    type_data,
)
from wherry.dicom.inflate import inflate
from wherry.dicom.preamble import DEFLATED, looks_explicit, other_encoding, read_preamble
from wherry.dicom.reading import Element, Reader, new_element, type_dataset


class Tree:
    """A file that has been read. ``data`` is the buffer itself, or what it inflates to."""

    data: type_data
    encoding: Encoding
    """How the data set is really written."""
    syntax: str
    """The transfer syntax."""
    root: type_dataset

    def __init__(self, data: type_data, *, whole: bool = False) -> None:
        """Read ``data``; ``whole``: also what lies behind the pixel data.

        Raises ``UnreadableError``, ``BadFileFormat`` when a bound is passed.
        """
        self.syntax, _, encoding, position = read_preamble(data)
        if self.is_inflated:
            data, position = _inflated(data, position), 0
        elif looks_explicit(data, position) is not encoding.explicit and position < len(data):
            encoding = other_encoding(encoding)
        self.data = data
        self.encoding = encoding
        try:
            self.root = Reader(data, whole=whole).top(position, encoding)
        except UnreadableError:
            # Old files mix implicit elements into explicit data sets.
            self.root = Reader(data, whole=whole, mixed=True).top(position, encoding)

    @property
    def is_inflated(self) -> bool:
        """Whether ``data`` is not what lies in the file."""
        return self.syntax == DEFLATED

    @property
    def big_endian(self) -> bool:
        """The byte order of the values."""
        return self.encoding.big_endian

    def value(self, element: Element) -> bytes:
        """The raw value of an element; nothing when it is a sequence or has no length."""
        if element.length == UNDEFINED:
            return b""
        return bytes(self.data[element.position : element.position + element.length])

    def short_value(self, element: Element | None) -> bytes:
        """The raw value of an element that is never long; nothing when it is, or is not there."""
        if element is None or element.length > limits.DICOM_VALUE_BYTES:
            return b""
        return bytes(self.data[element.position : element.position + element.length])


class Header(Tree):
    """The file meta information alone (PS3.10 §7.1); nothing when the file has none."""

    def __init__(self, data: type_data) -> None:
        """Read ``data``. Raises ``UnreadableError``."""
        self.syntax, _, _, end = read_preamble(data)
        start = 132 if data[128:132] == b"DICM" else 0
        self.data = data[:end]
        self.encoding = EXPLICIT_LITTLE
        self.root = Reader(self.data).top(start, EXPLICIT_LITTLE)


def _inflated(data: type_data, position: int) -> bytearray:
    """The deflated data set at ``position``, about as far as ``limits.DICOM_HEADER_BYTES``."""
    whole = bytearray()
    for piece in inflate(data, position):
        whole += piece
        if len(whole) > limits.DICOM_HEADER_BYTES:
            break
    return whole


class Selection(Tree):
    """Of a stored file only some top-level elements, without looking at what follows them.

    Tags are expected to ascend (PS3.5 §7.1): what comes too late is not found.
    """

    def __init__(self, data: type_data, wanted: Collection[int]) -> None:
        """Read the elements with the tags ``wanted``. Raises as ``Tree`` does."""
        self.syntax, _, encoding, position = read_preamble(data)
        if looks_explicit(data, position) is not encoding.explicit:
            encoding = other_encoding(encoding)
        self.data = data
        self.encoding = encoding
        if not self.is_inflated:
            with suppress(UnreadableError):
                self.root = self._chosen(position, wanted)
                return
        super().__init__(data)
        self.root = {tag: found for tag, found in self.root.items() if tag in wanted}

    def _chosen(self, position: int, wanted: Collection[int]) -> type_dataset:
        encoding = self.encoding
        keys, last_group = _keys(encoding, frozenset(wanted))
        places = find(self.data, position, encoding, keys, last_group)
        reader = Reader(self.data)
        root = {}
        for key, (vr_key, start, length) in places.items():
            tag = encoding.tag_of(key)
            vr = encoding.vr_names.get(vr_key, "")
            if start + (0 if length == UNDEFINED else length) > len(self.data):
                raise UnreadableError("a value longer than what holds it")
            if length == UNDEFINED or vr == "SQ" or vr == "":
                items = reader.sequence(tag, vr, start, length, encoding)
                root[tag] = Element(vr, start, length if items is None else 0, items)
            else:
                root[tag] = new_element(Element, (vr, start, length, None))
        return root


@lru_cache(maxsize=256)
def _keys(encoding: Encoding, wanted: frozenset[int]) -> tuple[frozenset[int], int]:
    """The wanted tags as ``find`` wants them, and the last group of them."""
    return frozenset(map(encoding.tag_key, wanted)), max(wanted, default=0) >> 16
