"""Pictures and arrays of every image in pydicom's files: pixel by pixel those of a real Orthanc.

``REASONS`` says why some are not; every reason there must be needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.face import Face, serving
from tests.support.genuine import Orthanc, running_orthanc
from tests.support.images import image_file, pixels
from tests.support.pydicom_files import FILES, ROOT

PICTURES = ("preview", "rendered", "image-uint8", "image-uint16", "image-int16")
ARRAYS = ("numpy", "numpy?rescale=0", "matlab")

WORDS = "we show words of 32 bits, and colours of more than 8; Orthanc some of them, some not"
SYNTAX = "Orthanc has no decoder for it without its plugin"
HALVES = "exactly between two shades: 32-bit floating point there, whole numbers here"
EDGE = "on the edge of a shade: 32-bit floating point there, 64 here"
WHOLE = "Orthanc rounds rescaled values to whole numbers"
TURNED = "Orthanc swaps width and height in the shape of colours"
SUBSAMPLED = "Orthanc does not show uncompressed colours of half resolution"
WIDE = "without a window, Orthanc shows nothing of words of 32 bits"
ODD = "its number of frames, 1A, is one to us"
CR = "dicomdirtests/77654033/CR"

REASONS: dict[tuple[str, str], str] = {
    ("test_files/SC_rgb_rle_16bit.dcm", ""): WORDS,
    ("test_files/SC_rgb_rle_32bit.dcm", ""): WORDS,
    ("test_files/SC_rgb_rle_16bit_2frame.dcm", ""): WORDS,
    ("test_files/SC_rgb_rle_32bit_2frame.dcm", ""): WORDS,
    ("test_files/badVR.dcm", ""): ODD,
    ("test_files/rtdose_rle.dcm", "frames/1/preview"): WORDS,
    ("test_files/SC_ybr_full_422_uncompressed.dcm", ""): SUBSAMPLED,
    **{
        (f"test_files/{name}.dcm", ""): SYNTAX
        for name in (
            *("693_J2KI", "GDCMJ2K_TextGBR", "J2K_pixelrep_mismatch", "JPEG2000"),
            *("SC_rgb_gdcm_KY", "examples_jpeg2k", "MR_small_jp2klossless"),
        )
    },
    **{
        (f"test_files/{name}.dcm", ""): WORDS
        for name in ("rtdose", "rtdose_1frame", "rtdose_expb", "rtdose_expb_1frame")
    },
    **{
        (f"test_files/{name}.dcm", show): reason
        for name in ("rtdose_rle", "rtdose_rle_1frame")
        for show, reason in (
            ("preview", WORDS),
            ("rendered", WIDE),
            ("image-uint8", WORDS),
            ("image-uint16", WORDS),
            ("image-int16", WORDS),
            ("numpy?rescale=0", WORDS),
        )
    },
    ("test_files/dicomdirtests/98892003/MR1/5641", "preview"): HALVES,
    ("test_files/dicomdirtests/98892003/MR2/6273", "rendered"): EDGE,
    **{(f"test_files/{CR}{name}", "numpy"): WHOLE for name in ("1/6154", "2/6247", "3/6278")},
    **{
        (f"test_files/{name}.dcm", "matlab"): TURNED
        for name in (
            *("ExplVR_BigEnd", "examples_palette", "examples_rgb_color", "examples_ybr_color"),
        )
    },
}
PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
MOST_WRONG = {HALVES: 1, EDGE: 1}
"""Shades that these may differ by."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Face, Orthanc]]:
    with (
        running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc,
        serving(tmp_path_factory.mktemp("ours")) as face,
    ):
        yield face, orthanc


def read(show: str, body: bytes) -> Any:
    if show == "matlab":
        return np.frombuffer(body, "u1")
    return np.load(io.BytesIO(body)) if show.startswith("numpy") else pixels(body)


def difference(both: tuple[Face, Orthanc], path: str, show: str) -> str:
    """What differs; "" when nothing does."""
    face, orthanc = both
    ours = face.get(f"{path}/{show}")
    status, body = orthanc.raw("GET", f"{path}/{show}")
    if ours.status != 200 or status != 200:
        return "" if ours.status >= 400 and status >= 400 else f"{ours.status} instead of {status}"
    mine, theirs = read(show, ours.body), read(show, body)
    if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
        return f"{mine.shape} {mine.dtype} instead of {theirs.shape} {theirs.dtype}"
    wrong = np.abs(mine.astype("f8") - theirs.astype("f8"))
    return f"{np.count_nonzero(wrong)} by {wrong.max():g}" if wrong.any() else ""


def test_every_image_of_pydicom(both: tuple[Face, Orthanc]) -> None:
    face, orthanc = both
    found: dict[tuple[str, str], str] = {}
    images = 0
    for name in FILES:
        data = (ROOT / name).read_bytes()
        if not ("dfl" in name or any(tag in data for tag in PIXEL_DATA)):
            continue
        if orthanc.upload(data)[0] != 200:
            continue
        images += 1
        path = face.upload(data)["Path"]
        for show in (*PICTURES, "frames/1/preview", *ARRAYS):
            if text := difference(both, path, show):
                found[name, show] = text
        face.request("DELETE", path)
    assert images > 80
    used, unexplained = set(), []
    for (name, show), text in found.items():
        key = (name, show) if (name, show) in REASONS else (name, "")
        reason = REASONS.get(key)
        if reason is None or float(text.split()[-1]) > MOST_WRONG.get(reason, 10**6):
            unexplained.append(f"{name} {show}: {text}")
        used.add(key)
    assert not unexplained, "\n".join(unexplained)
    assert sorted(REASONS.keys() - used) == [], "reasons that nothing needs"


QUERIES = (
    *("width=10", "width=7&smooth=1", "height=5&smooth=1", "width=13&height=11", "width=30"),
    *("width=25&smooth=1", "width=1", "width=3&height=1000&smooth=1", "width=0"),
    *("window-center=100&window-width=50", "window-center=-20", "window-width=0"),
    *("window-width=1", "window-center=3.5&window-width=7.25"),
)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "colour"])
def test_sizes_and_windows(both: tuple[Face, Orthanc], kind: str) -> None:
    face, orthanc = both
    numbers = np.random.default_rng(1)
    if kind == "colour":
        values = numbers.integers(0, 256, (16, 20, 3)).astype("u1")
    else:
        values = numbers.integers(0, 200, (16, 20)).astype(kind)
    tags: dict[str, Any] = {"WindowCenter": "90", "WindowWidth": "111.5"} if kind == "i2" else {}
    data = image_file(values, is_colour=kind == "colour", **tags)
    assert orthanc.upload(data)[0] == 200
    path = face.upload(data)["Path"]
    wrong = {query: difference(both, path, f"rendered?{query}") for query in QUERIES}
    face.request("DELETE", path)
    assert {query: text for query, text in wrong.items() if text} == {}


@pytest.mark.parametrize("accept", ["image/x-portable-arbitrarymap", "image/gif", "image/jpeg"])
@pytest.mark.parametrize("show", PICTURES)
def test_other_files(both: tuple[Face, Orthanc], accept: str, show: str) -> None:
    face, orthanc = both
    data = image_file(np.arange(-100, 924).astype("i2").reshape(32, 32))
    assert orthanc.upload(data)[0] == 200
    path = face.upload(data)["Path"]
    ours = face.request("GET", f"{path}/{show}", headers={"Accept": accept})
    status, body = orthanc.raw("GET", f"{path}/{show}", headers={"Accept": accept})
    face.request("DELETE", path)
    assert ours.status == status
    if accept.endswith("map"):
        assert ours.body == body
