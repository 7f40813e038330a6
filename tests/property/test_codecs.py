"""What is encoded without loss comes back as it was, whatever its size, sign and bits; with loss,
near to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from imagecodecs import jpegls_decode

from wherry.dicom.codecs import FrameShape, decode, encode
from wherry.dicom.codecs.jpeg import encode_ls
from wherry.dicom.codecs.syntaxes import (
    BASELINE,
    ENCODED,
    EXTENDED,
    HTJ2K,
    J2K_LOSSY,
    JLS_LOSSY,
    LOSSY,
    NATIVE,
    RLE,
)
from wherry.errors import CannotEncode

EXACT = sorted(ENCODED - LOSSY)


@st.composite
def shapes(draw: st.DrawFn, most_bits: int = 32, unused: int = 8) -> FrameShape:
    samples = draw(st.sampled_from((1, 3)))
    allocated = draw(st.sampled_from([bits for bits in (8, 16, 32) if bits <= most_bits]))
    stored = draw(st.integers(max(2, allocated - unused), allocated))
    return FrameShape(
        draw(st.integers(1, 70)),
        draw(st.integers(1, 70)),
        samples,
        allocated,
        stored,
        samples == 1 and draw(st.booleans()),
        photometric="RGB" if samples == 3 else "MONOCHROME2",
    )


def pixels(shape: FrameShape, seed: int) -> np.ndarray:
    """Hills with a little noise, over all of the bits stored."""
    rows, columns = np.mgrid[0 : shape.rows, 0 : shape.columns]
    hills = (np.sin(columns / 9) * np.cos(rows / 7) + 1) / 2
    if shape.samples > 1:
        hills = np.stack([hills, hills[::-1], 1 - hills], -1)
    noise = np.random.default_rng(seed).normal(0, 0.02, hills.shape)
    top = 2**shape.bits_stored - 1
    words = np.clip((hills + noise) * top, 0, top).astype("i8")
    return (words - (2 ** (shape.bits_stored - 1) if shape.signed else 0)).astype(shape.dtype)


@pytest.mark.parametrize("syntax", EXACT)
@given(shape=shapes(), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_without_loss(syntax: str, shape: FrameShape, seed: int) -> None:
    array = pixels(shape, seed)
    if shape.bits_allocated == 32 and syntax not in NATIVE | {RLE}:
        with pytest.raises(CannotEncode):
            encode(syntax, array, shape)
        return
    back = decode(syntax, encode(syntax, array, shape), shape)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("syntax", [one for one in EXACT if one != HTJ2K])
@given(shape=shapes(16))
@settings(max_examples=20, deadline=None)
def test_bits_above_those_stored_survive(syntax: str, shape: FrameShape) -> None:
    """Old files keep overlays there (PS3.5 §8.1.2)."""
    assume(shape.bits_stored < shape.bits_allocated and not shape.signed)
    array = pixels(shape, 1)
    array.flat[0] |= 1 << (shape.bits_allocated - 1)
    back = decode(syntax, encode(syntax, array, shape), shape)
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("syntax", sorted(LOSSY))
@given(shape=shapes(16, 6), quality=st.integers(50, 100))
@settings(max_examples=40, deadline=None)
def test_with_loss(syntax: str, shape: FrameShape, quality: int) -> None:
    assume(shape.bits_stored > 5)
    array = pixels(shape, 3)
    if syntax in (BASELINE, EXTENDED):
        most = 8 if syntax == BASELINE or shape.samples == 3 else 12
        if shape.signed or shape.bits_stored > most:
            with pytest.raises(CannotEncode):
                encode(syntax, array, shape, quality)
            return
    back = decode(syntax, encode(syntax, array, shape, quality), shape)
    far = np.abs(back.astype("i8") - array) / 2**shape.bits_stored
    assert back.dtype == array.dtype
    if syntax == JLS_LOSSY:
        assert far.max() <= 2 / 16
    else:
        assert far.mean() < (0.2 if syntax in (BASELINE, EXTENDED) else 0.05)


@given(shape=shapes(16), quality=st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_near_the_extremes_nothing_turns_round(shape: FrameShape, quality: int) -> None:
    """White that became a little whiter would be black, and the other way round."""
    low = -(2 ** (shape.bits_stored - 1)) if shape.signed else 0
    high = low + 2**shape.bits_stored - 1
    some = np.random.default_rng(5).integers(0, 4, shape.array)
    array = np.where(some % 2, low + some // 2, high - some // 2).astype(shape.dtype)
    coded = encode(JLS_LOSSY, array, shape, quality)
    back = decode(JLS_LOSSY, coded, shape)
    assert low <= back.min()
    assert back.max() <= high
    near = max(1, (100 - quality) // 5)
    assert np.abs(back.astype("i8") - array).max() <= 2 * near
    # whoever masks what is not stored, or extends the sign, has the same
    words = jpegls_decode(coded).reshape(shape.array).astype("i8") - low
    np.testing.assert_array_equal(words % 2**shape.bits_stored + low, back)


def test_near_white_of_others() -> None:
    """Words with unused bits that others let pass the greatest one; and those with something in
    these bits."""
    shape = FrameShape(4, 4, 1, 16, 12)
    array = np.full((4, 4), 4095, "u2")
    array[0, 0] = 4097
    assert decode(JLS_LOSSY, encode_ls(array, 0), shape).max() == 4095
    array[0, 0] = 0x8001
    assert decode(JLS_LOSSY, encode_ls(array, 0), shape)[0, 0] == 0x8001
    signed = FrameShape(4, 4, 1, 16, 12, signed=True)
    array[0, 0] = 0xFFF  # -1, without a sign above
    array[1:] = 7
    assert decode(JLS_LOSSY, encode_ls(array, 0), signed)[0, 0] == -1


def test_better_quality_is_nearer_and_longer() -> None:
    for syntax, bits in [(BASELINE, 8), (EXTENDED, 12), (JLS_LOSSY, 12), (J2K_LOSSY, 16)]:
        shape = FrameShape(200, 200, 1, 8 if bits == 8 else 16, bits)
        array = pixels(shape, 3)
        coded = [encode(syntax, array, shape, quality) for quality in (30, 60, 95)]
        far = [np.abs(decode(syntax, one, shape).astype("i8") - array).mean() for one in coded]
        assert [len(one) for one in coded] == sorted(len(one) for one in coded)
        assert far == sorted(far, reverse=True)
        assert far[0] > far[2]
