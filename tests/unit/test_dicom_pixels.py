"""From stored values to pictures: tables, windows, colours, sizes, files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.pixels.processing import apply_color_lut, apply_voi_lut, convert_color_space

from tests.support.images import image_file, items, pixels, written
from wherry.dicom.codecs.image import Image
from wherry.dicom.pixels.colour import COLOUR_TAGS
from wherry.dicom.pixels.matlab import matlab
from wherry.dicom.pixels.npy import numpy_header
from wherry.dicom.pixels.pictures import Picture, clipped, preview, rendered
from wherry.dicom.pixels.resizing import fitted
from wherry.dicom.pixels.values import VALUE_TAGS, rescale_of
from wherry.errors import BadFileFormat, CannotDecode, InexistentTag, ParameterOutOfRange
from wherry.imaging.encoding import JPEG, PAM, PNG, encode

ALL = slice(0, None)


def opened(array: Any, **tags: Any) -> Image:
    return Image(image_file(array, **tags), (*COLOUR_TAGS, *VALUE_TAGS))


def shown(picture: Picture) -> list[Any]:
    return picture.rows(ALL).tolist()  # type: ignore[no-any-return]


def made(picture: Picture, kind: str, quality: int = 90) -> bytes:
    out = io.BytesIO()
    encode(picture, kind, quality, out.write)  # type: ignore[arg-type]
    return out.getvalue()


# --- stored values ----------------------------------------------------------------------------
def test_bits_that_are_not_stored_are_not_shown() -> None:
    image = opened(np.array([[0x7FFF, 0xF001]], "u2"), BitsStored=12, HighBit=11)
    assert image.values(0).tolist() == [[0xFFF, 1]]


def test_the_sign_is_that_of_the_bits_stored() -> None:
    image = opened(np.array([[0x0800, 0x07FF]], "i2"), BitsStored=12, HighBit=11)
    assert image.values(0).tolist() == [[-2048, 2047]]


def test_a_high_bit_above_those_stored() -> None:
    image = opened(np.array([[0x8000, 0xFFF7]], "u2"), BitsStored=12, HighBit=15)
    assert image.values(0).tolist() == [[0x800, 0xFFF]]


def test_frames_of_single_bits_have_no_gap_between_them() -> None:
    frames = np.random.default_rng(1).integers(0, 2, (3, 3, 5)).astype("u1")
    data = dcmread(io.BytesIO(image_file(frames)))
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    image = Image(written(data))
    for number in range(3):
        assert image.values(number).tolist() == frames[number].tolist()
    assert shown(preview(image, 1)) == (frames[1] * 255).tolist()


@pytest.mark.parametrize("number", [1, 2**40, -1])
def test_no_such_frame(number: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        opened(np.zeros((2, 2), "u1")).values(number)


def test_no_pixels() -> None:
    data = dcmread(io.BytesIO(image_file(np.zeros((2, 2), "u1"))))
    del data.PixelData
    with pytest.raises(InexistentTag):
        Image(written(data))


# --- shades -------------------------------------------------------------------------------------
def test_preview_goes_from_the_smallest_value_to_the_largest() -> None:
    values = np.array([[-1000, -5], [0, 1000]], "i2")
    assert shown(preview(opened(values), 0)) == [[0, 127], [128, 255]]
    inverted = opened(values, PhotometricInterpretation="MONOCHROME1")
    assert shown(preview(inverted, 0)) == [[255, 128], [127, 0]]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_preview_of_every_kind_of_word(kind: str) -> None:
    about = np.iinfo(kind)
    values = np.array([[about.min, about.max, about.max // 2]], kind)
    low, high = int(about.min), int(about.max)
    expected = [(int(v) - low) * 510 // (2 * (high - low)) for v in values[0]]
    assert np.abs(np.array(shown(preview(opened(values), 0))[0]) - expected).max() <= 1


def test_an_image_of_one_value_is_black() -> None:
    assert shown(preview(opened(np.full((1, 2), 7, "u2")), 0)) == [[0, 0]]


def test_rendered_shows_the_window_of_the_file() -> None:
    values = np.array([[-1000, -5], [0, 1000]], "i2")
    tags = {"RescaleSlope": "0.5", "RescaleIntercept": "10", "WindowCenter": "0"}
    image = opened(values, WindowWidth="100", **tags)
    assert shown(rendered(image, 0)) == [[0, 146], [153, 255]]
    assert shown(rendered(image, 0, center=10.0)) == [[0, 121], [127, 255]]
    assert shown(rendered(image, 0, width=1.0)) == [[0, 255], [255, 255]]


@pytest.mark.parametrize("width", [0.0, -5.0])
def test_a_window_without_width_is_an_edge(width: float) -> None:
    image = opened(np.array([[4, 6]], "u1"))
    assert shown(rendered(image, 0, 5.0, width)) == [[0, 255]]


def test_without_a_window_all_bits_are_shown() -> None:
    assert shown(rendered(opened(np.array([[0, 255]], "u1")), 0)) == [[0, 254]]
    assert shown(rendered(opened(np.array([[0, 3], [1, 2]], "u4") * 2**20), 0)) == [
        [0, 255],
        [85, 170],
    ]


@pytest.mark.parametrize("text", ["abc", "nan", "1e400", ""])
def test_a_window_that_is_no_number_is_none(text: str) -> None:
    plain = opened(np.array([[0, 255]], "u1"))
    data = dcmread(io.BytesIO(image_file(np.array([[0, 255]], "u1"))))
    data.add_new(0x00281050, "LO", text)
    data.add_new(0x00281051, "LO", "10")
    image = Image(written(data), VALUE_TAGS)
    assert shown(rendered(image, 0)) == shown(rendered(plain, 0))


def test_a_sigmoid() -> None:
    image = opened(
        np.array([[0, 50, 100]], "u1"),
        WindowCenter="50",
        WindowWidth="50",
        VOILUTFunction="SIGMOID",
    )
    assert shown(rendered(image, 0)) == [[4, 127, 250]]


def test_tables_of_modality_and_window_are_those_of_pydicom() -> None:
    values = np.arange(-5, 300).astype("i2")[None]
    lut = np.linspace(0, 4095, 200).astype("u2")
    voi = items(LUTDescriptor=[200, 10, 12], LUTData=lut.tobytes())
    voi[0]["LUTData"].VR = "OW"
    image = opened(values, VOILUTSequence=voi)
    reference = apply_voi_lut(values, dcmread(io.BytesIO(image_file(values, VOILUTSequence=voi))))
    assert shown(rendered(image, 0)) == (reference * (255 / 4095)).astype("u1").tolist()
    modality = items(LUTDescriptor=[200, -3, 16], LUTData=lut.tobytes())
    modality[0]["LUTData"].VR = "OW"
    rescaled = rescale_of(opened(values, ModalityLUTSequence=modality), 0).apply(values)
    assert rescaled.tolist() == [lut[np.clip(values[0] + 3, 0, 199)].tolist()]


def test_windows_of_single_frames() -> None:
    frames = np.array([[[0, 50]], [[0, 50]], [[0, 50]]], "u1")
    shared, first, last = Dataset(), Dataset(), Dataset()
    shared.FrameVOILUTSequence = items(WindowCenter="50", WindowWidth="100")
    shared.PixelValueTransformationSequence = items(RescaleIntercept="0", RescaleSlope="2")
    first.FrameVOILUTSequence = items(WindowCenter="100", WindowWidth="200")
    last.PixelValueTransformationSequence = items(RescaleIntercept="10", RescaleSlope="1")
    image = opened(
        frames,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([first, Dataset(), last]),
    )
    assert shown(rendered(image, 0)) == [[0, 127]]
    assert shown(rendered(image, 1)) == [[0, 255]]
    assert shown(rendered(image, 2)) == [[25, 153]]


def test_clipped() -> None:
    values = np.array([[-1000, -5], [300, 70000]], "i4")
    image = opened(values)
    assert shown(clipped(image, 0, 8, signed=False)) == [[0, 0], [255, 255]]
    assert shown(clipped(image, 0, 16, signed=False)) == [[0, 0], [300, 65535]]
    assert shown(clipped(image, 0, 16, signed=True)) == [[64536, 65531], [300, 32767]]
    with pytest.raises(CannotDecode):
        clipped(opened(np.zeros((2, 2, 3), "u1"), is_colour=True), 0, 8, signed=False)


# --- colours ------------------------------------------------------------------------------------
def test_ybr_becomes_rgb_as_pydicom_does_it() -> None:
    values = np.random.default_rng(2).integers(0, 256, (9, 9, 3)).astype("u1")
    image = opened(values, is_colour=True, PhotometricInterpretation="YBR_FULL")
    expected = convert_color_space(values, "YBR_FULL", "RGB").astype("i4")
    assert np.abs(np.array(shown(preview(image, 0))) - expected).max() <= 1


def test_planes_and_words_of_colour() -> None:
    values = np.random.default_rng(3).integers(0, 65536, (4, 5, 3)).astype("u2")
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)).tobytes()
    image = opened(values, is_colour=True, PlanarConfiguration=1, PixelData=planes)
    assert shown(preview(image, 0)) == (values >> 8).tolist()


def _palette(bits: int, entries: list[int], first: int = 0, **more: object) -> dict[str, object]:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, factor in (("Red", 1), ("Green", 2), ("Blue", 3)):
        kind = "u1" if bits == 8 else "u2"
        data = (np.array(entries) // factor).astype(kind).tobytes()
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [len(entries), first, bits]
        tags[f"{name}PaletteColorLookupTableData"] = data + bytes(len(data) % 2)
    return tags | more


def test_a_palette() -> None:
    words = opened(np.array([[0, 1, 200]], "u1"), **_palette(16, [0, 0x1234, 0xFFFF]))
    assert shown(preview(words, 0)) == [[[0, 0, 0], [0x12, 0x9, 0x6], [255, 127, 85]]]
    octets = opened(np.array([[9, 11, 200]], "u1"), **_palette(8, [30, 60, 90], first=10))
    assert shown(rendered(octets, 0)) == [[[30, 15, 10], [60, 30, 20], [90, 45, 30]]]
    signed = opened(np.array([[-1, 0, 1]], "i2"), **_palette(8, [30, 60, 90], first=-1))
    assert shown(preview(signed, 0)) == [[[30, 15, 10], [60, 30, 20], [90, 45, 30]]]


def test_a_palette_of_segments() -> None:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    program = [0, 2, 0, 0x0100, 1, 4, 0x0500, 2, 1, 0, 0]
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [8, 0, 16]
        tags[f"Segmented{name}PaletteColorLookupTableData"] = np.array(program, "u2").tobytes()
    image = opened(np.arange(8).astype("u1")[None], **tags)
    assert [pixel[0] for pixel in shown(preview(image, 0))[0]] == [0, 1, 2, 3, 4, 5, 0, 1]


def test_palettes_are_those_of_pydicom() -> None:
    numbers = np.random.default_rng(5)
    values = np.arange(0, 256, dtype="u1")[None]
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        ends = numbers.integers(0, 65536, 3).tolist()
        program = [0, 1, ends[0], 1, 99, ends[1], 0, 2, 5, 6, 1, 98, ends[2]]
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [200, 20, 16]
        tags[f"Segmented{name}PaletteColorLookupTableData"] = np.array(program, "u2").tobytes()
    file = image_file(values, **tags)
    expected = apply_color_lut(values, dcmread(io.BytesIO(file))) >> 8
    found = np.array(shown(preview(Image(file, COLOUR_TAGS), 0)))
    assert np.abs(found - expected.astype("i4")).max() <= 1


@pytest.mark.parametrize(
    "program",
    [
        [],
        [0, 5, 1],
        [1, 4, 7],
        [2, 1, 0, 0],
        [0, 1, 5, 2, 9, 3, 0],
        [9, 1, 1],
        [0, 1],
        [0, 0, 0, 0],
        [0, 1, 1, 2, 65535, 0, 0],
    ],
)
def test_segments_that_lie(program: list[int]) -> None:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [0, 0, 16]
        tags[f"Segmented{name}PaletteColorLookupTableData"] = np.array(program, "u2").tobytes()
    with pytest.raises(BadFileFormat):
        preview(opened(np.zeros((2, 2), "u1"), **tags), 0)


@pytest.mark.parametrize("descriptor", [[4, 0, 0], [4, 0, 64], [0, 0, 16], [5000, 0, 8]])
def test_palettes_that_lie(descriptor: list[int]) -> None:
    tags = _palette(16, [0, 1, 2, 3])
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = descriptor
    with pytest.raises(BadFileFormat):
        preview(opened(np.zeros((2, 2), "u1"), **tags), 0)


# --- sizes and files ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (10, 0, (8, 10)),
        (7, 0, (6, 7)),
        (0, 5, (5, 6)),
        (13, 11, (10, 13)),
        (41, 1000, (33, 41)),
        (1, 0, (1, 1)),
        (0, 0, (16, 20)),
    ],
)
def test_the_proportions_stay(width: int, height: int, size: tuple[int, int]) -> None:
    picture = fitted(preview(opened(np.zeros((16, 20), "u1")), 0), width, height, smooth=True)
    assert (picture.height, picture.width) == size == picture.rows(ALL).shape


def test_the_nearest_pixel_and_the_mean_of_the_neighbourhood() -> None:
    values = np.zeros((8, 12), "u1")
    values[3, 5], values[0, 0] = 255, 200
    picture = rendered(opened(values), 0, 127.5, 255.0)
    near = fitted(picture, 6, 4, smooth=False).rows(ALL)
    assert near.tolist()[1] == [0, 0, 255, 0, 0, 0]
    assert near.sum() == 255
    soft = fitted(picture, 6, 4, smooth=True).rows(ALL)
    assert soft.tolist() == [  # as a genuine Orthanc makes it
        [19, 0, 5, 0, 0, 0],
        [0, 5, 35, 5, 0, 0],
        [0, 0, 5, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    larger = fitted(picture, 24, 16, smooth=True).rows(ALL)
    assert larger.tolist() == values.repeat(2, 0).repeat(2, 1).tolist()


@pytest.mark.parametrize("shape", [(300, 500), (1, 1), (700, 900, 3), (2, 3, 3)])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_is_read_by_others(shape: tuple[int, ...], bits: int) -> None:
    if len(shape) > 2 and bits == 16:
        return  # Pillow does not read it
    values = np.random.default_rng(4).integers(0, 1 << bits, shape).astype(f"u{bits // 8}")
    samples = 3 if len(shape) > 2 else 1
    picture = Picture(shape[0], shape[1], samples, bits, lambda which: values[which])
    np.testing.assert_array_equal(pixels(made(picture, PNG)), values)


def test_pam() -> None:
    picture = clipped(opened(np.array([[1, 2, 300]], "u2")), 0, 16, signed=False)
    head = b"P7\nWIDTH 3\nHEIGHT 1\nDEPTH 1\nMAXVAL 65535\nTUPLTYPE GRAYSCALE\nENDHDR\n"
    assert made(picture, PAM) == head + b"\0\1\0\2\1\x2c"
    values = np.arange(6, dtype="u1").reshape(1, 2, 3)
    colour = made(preview(opened(values, is_colour=True), 0), PAM)
    assert colour.endswith(b"DEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(range(6)))


def test_jpeg() -> None:
    values = np.add.outer(np.arange(64), np.arange(64)).astype("u1")
    picture = rendered(opened(values), 0, 127.5, 255.0)
    good, bad = made(picture, JPEG, 95), made(picture, JPEG, 5)
    assert np.abs(pixels(good).astype("i4") - values).max() <= 4
    assert len(bad) < len(good)
    with pytest.raises(CannotDecode):
        made(clipped(opened(values), 0, 16, signed=False), JPEG)


def test_matlab() -> None:
    grey = np.array([[0, 100], [300, -5]], "i2")
    assert b"".join(matlab(grey)) == b"double([ 0 100 ; 300 -5 ])"
    colour = np.arange(12).reshape(2, 2, 3)
    text = b"".join(matlab(colour))
    assert text.startswith(b"double(permute(reshape([ 0 1 2 3 ")
    assert text.endswith(b" 11 ], [ 3 2 2 ]), [ 3 2 1 ]))")


def test_the_head_of_numpys_files() -> None:
    values = np.arange(24, dtype="<f4").reshape(1, 2, 4, 3)
    file = io.BytesIO(numpy_header("<f4", values.shape) + values.tobytes())
    np.testing.assert_array_equal(np.load(file), values)
