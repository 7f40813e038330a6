"""Data sets written anew: there and back again, and whatever the bytes are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
    UnreadableError,
)
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT, IMPLICIT, looks_explicit, read_preamble
from wherry.dicom.reencode import reencode
from wherry.errors import BadFileFormat

ENCODINGS = {IMPLICIT: IMPLICIT_LITTLE, EXPLICIT: EXPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}
MOST_BYTES = 100_000


def encoded(data: bytes, source: Encoding, *, explicit: bool) -> bytes:
    with memoryview(data) as view:
        return b"".join(reencode(view, 0, source, explicit=explicit))


def native() -> list[tuple[bytes, Encoding]]:
    """Data sets of files that are whole."""
    found = []
    for name in FILES:
        data = (ROOT / name).read_bytes()
        if len(data) > MOST_BYTES:
            continue
        try:
            syntax, _, source, position = read_preamble(data)
            if syntax in ENCODINGS and looks_explicit(data, position) is source.explicit:
                encoded(data[position:], source, explicit=True)
                found.append((data[position:], source))
        except UnreadableError:
            continue
    return found


NATIVE = native()


@given(st.sampled_from(NATIVE))
def test_there_and_back_again(one: tuple[bytes, Encoding]) -> None:
    data, source = one
    explicit = encoded(data, source, explicit=True)
    implicit = encoded(data, source, explicit=False)
    assert encoded(explicit, EXPLICIT_LITTLE, explicit=True) == explicit
    assert encoded(implicit, IMPLICIT_LITTLE, explicit=False) == implicit
    assert encoded(explicit, EXPLICIT_LITTLE, explicit=False) == implicit


@given(st.sampled_from(NATIVE), st.data(), st.booleans())
def test_bytes_of_any_kind(
    one: tuple[bytes, Encoding], draw: st.DataObject, explicit: bool
) -> None:
    """Read, or refused; nothing else."""
    data, source = one
    mutated = bytearray(data[: draw.draw(st.integers(0, min(len(data), 5000)))])
    for _ in range(draw.draw(st.integers(0, 8)) if mutated else 0):
        at = draw.draw(st.integers(0, len(mutated) - 1))
        mutated[at] = draw.draw(st.integers(0, 255))
    try:
        found = encoded(bytes(mutated), source, explicit=explicit)
    except (UnreadableError, BadFileFormat):
        return
    again = EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    assert len(found) % 2 == 0
    assert encoded(found, again, explicit=explicit) == found


@given(st.binary(max_size=300), st.sampled_from(list(ENCODINGS.values())), st.booleans())
def test_no_data_set_at_all(data: bytes, source: Encoding, explicit: bool) -> None:
    try:
        encoded(data, source, explicit=explicit)
    except (UnreadableError, BadFileFormat):
        pass
