"""Pictures and arrays of frames over REST."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.asgi import Reply
from tests.support.dicom_bytes import data_set, meta
from tests.support.face import Face, serving
from tests.support.images import encapsulated, image_file, pixels
from wherry import limits
from wherry.imaging import work
from wherry.model import Compression

VALUES = np.array([[[0, 100, 200], [300, 400, 65535]], [[1, 2, 3], [4, 5, 6]]], "u2")


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("face")) as served:
        yield served


@pytest.fixture
def path(face: Face) -> str:
    """An instance of two frames."""
    return str(face.upload(image_file(VALUES))["Path"])


def ask(face: Face, target: str, accept: str | None = None) -> Reply:
    return face.request("GET", target, headers=None if accept is None else {"Accept": accept})


def array(reply: Reply) -> Any:
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    return np.load(io.BytesIO(reply.body))


def test_no_process_before_the_first_image(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        where = face.upload(image_file(VALUES))["Path"]
        face.json(f"{where}/frames/0")
        assert face.rooms.imaging.pids() == []
        assert face.get(f"{where}/preview").status == 200
        [pid] = face.rooms.imaging.pids()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("show", "first", "second"),
    [
        ("preview", [[0, 0, 1], [1, 2, 255]], [[0, 51, 102], [153, 204, 255]]),
        ("rendered", [[0, 0, 0], [1, 1, 254]], [[0, 0, 0], [0, 0, 0]]),
        ("image-uint8", [[0, 100, 200], [255, 255, 255]], [[1, 2, 3], [4, 5, 6]]),
        ("image-uint16", VALUES[0].tolist(), VALUES[1].tolist()),
        ("image-int16", [[0, 100, 200], [300, 400, 32767]], VALUES[1].tolist()),
    ],
)
def test_pictures(face: Face, path: str, show: str, first: Any, second: Any) -> None:
    for target, expected in (
        (f"{path}/{show}", first),
        (f"{path}/frames/0/{show}", first),
        (f"{path}/frames/1/{show}", second),
    ):
        reply = face.get(target)
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        assert pixels(reply.body).tolist() == expected


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("image/jpeg,image/png", "image/jpeg"),
        ("image/png,image/jpeg", "image/png"),
        ("image/png;q=0.1, image/jpeg;q=0.9", "image/jpeg"),
        ("image/jpeg;q=0.2,*/*", "image/jpeg"),
        ("image/gif,*/*;q=0.1", "image/png"),
        ("image/x-portable-arbitrarymap", "image/x-portable-arbitrarymap"),
        ("image/gif", ""),
        ("text/html", ""),
        ("", ""),
        ("image/jpeg;q=0", ""),
        ("image/jpeg;q=x", ""),
    ],
)
def test_what_the_client_accepts(face: Face, path: str, accept: str | None, kind: str) -> None:
    reply = ask(face, f"{path}/preview", accept)
    if kind:
        assert (reply.status, reply.headers["content-type"]) == (200, kind)
    else:
        assert (reply.status, reply.body) == (404, b"")


def test_jpeg_holds_no_words(face: Face, path: str) -> None:
    assert ask(face, f"{path}/image-uint16", "image/jpeg").status == 404
    assert ask(face, f"{path}/image-uint8", "image/jpeg").status == 200


def test_the_quality_of_jpeg(face: Face) -> None:
    values = np.random.default_rng(1).integers(0, 256, (64, 64)).astype("u1")
    where = face.upload(image_file(values, 2))["Path"]
    sizes = [
        len(ask(face, f"{where}/preview?quality={q}", "image/jpeg").body) for q in (10, 90, 100)
    ]
    assert sizes == sorted(set(sizes))
    assert len(ask(face, f"{where}/preview", "image/jpeg").body) == sizes[1]


@pytest.mark.parametrize(
    "query",
    [
        "quality=0",
        "quality=101",
        "quality=abc",
        "width=-1",
        "width=20001",
        "height=abc",
        "window-center=abc",
        "window-width=nan",
        "window-width=1e400",
        "smooth=perhaps",
    ],
)
def test_arguments_that_make_no_sense(face: Face, path: str, query: str) -> None:
    assert face.get(f"{path}/rendered?{query}").status == 400


def test_window_and_size_of_the_request(face: Face, path: str) -> None:
    reply = face.get(f"{path}/rendered?window-center=200&window-width=400")
    assert pixels(reply.body).tolist() == [[0, 63, 127], [191, 255, 255]]
    assert pixels(face.get(f"{path}/rendered?width=6").body).shape == (4, 6)
    assert pixels(face.get(f"{path}/rendered?width=600&height=2").body).shape == (2, 3)


def test_no_such_frame_and_no_such_instance(face: Face, path: str) -> None:
    for target in (
        f"{path}/frames/2/preview",
        f"{path}/frames/2/preview?returnUnsupportedImage",
        f"{path}/frames/-1/preview",
        f"{path}/frames/x/image-uint8",
        f"{path}/frames/x/numpy",
        f"{path}/frames/x/matlab",
        "/instances/nope/preview",
    ):
        reply = face.get(target)
        assert (reply.status, reply.body) == (404, b""), target
    for target in (f"{path}/frames/2/numpy", f"{path}/frames/2/matlab"):
        reply = face.get(target)
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)
    assert face.get("/instances/nope/numpy").status == 404
    assert face.get("/series/nope/numpy").status == 404


def test_what_is_no_image(face: Face) -> None:
    where = face.upload(meta() + data_set())["Path"]
    reply = face.get(f"{where}/preview")
    assert (reply.status, reply.body) == (415, b"")
    reply = face.get(f"{where}/preview?returnUnsupportedImage")
    assert (reply.status, reply.headers["location"]) == (301, "../../app/images/unsupported.png")
    reply = face.get(f"{where}/frames/0/preview?returnUnsupportedImage")
    assert reply.headers["location"] == "../../../../app/images/unsupported.png"
    for target in ("numpy", "matlab"):
        reply = face.get(f"{where}/{target}")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2)


def test_what_cannot_be_decoded(face: Face) -> None:
    file = encapsulated(image_file(VALUES[0], 3), "1.2.840.10008.1.2.4.90", b"not a code stream!")
    where = face.upload(file)["Path"]
    reply = face.get(f"{where}/preview")
    assert (reply.status, reply.body) == (415, b"")
    reply = face.get(f"{where}/numpy")
    assert (reply.status, reply.json()["OrthancStatus"]) == (415, 3000)


def test_a_long_picture_of_a_short_file(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not in memory, and the client knows how long it is."""
    monkeypatch.delattr("os.memfd_create")
    instance = face.upload(image_file(np.zeros((8, 8), "u1"), 77))["ID"]
    target = f"/instances/{instance}/rendered?width=2000&height=2000"
    reply = ask(face, target, "image/x-portable-arbitrarymap")
    assert reply.status == 200
    assert int(reply.headers["content-length"]) == len(reply.body) > 4_000_000


def test_numpy(face: Face, path: str) -> None:
    floats = array(face.get(f"{path}/numpy"))
    assert floats.dtype == "<f4"
    assert floats.tolist() == VALUES[..., None].tolist()
    plain = array(face.get(f"{path}/numpy?rescale=false"))
    assert (plain.dtype, plain.shape) == ("<u2", (2, 2, 3, 1))
    single = array(face.get(f"{path}/frames/1/numpy?rescale=0"))
    assert single.tolist() == VALUES[1][..., None].tolist()
    packed = array(face.get(f"{path}/numpy?compress"))
    assert packed["arr_0"].tolist() == floats.tolist()


def test_numpy_of_what_is_rescaled_and_of_colours(face: Face) -> None:
    tags: dict[str, Any] = {"RescaleSlope": "0.5", "RescaleIntercept": "-10"}
    where = face.upload(image_file(np.array([[1, 3]], "i2"), 4, **tags))["Path"]
    assert array(face.get(f"{where}/numpy")).ravel().tolist() == [-9.5, -8.5]
    assert array(face.get(f"{where}/numpy?rescale=0")).ravel().tolist() == [1, 3]
    colours = np.arange(24, dtype="u1").reshape(2, 4, 3)
    where = face.upload(image_file(colours, 5, is_colour=True))["Path"]
    assert array(face.get(f"{where}/numpy")).tolist() == [colours.tolist()]


def test_matlab(face: Face, path: str) -> None:
    reply = face.get(f"{path}/frames/1/matlab")
    assert (reply.headers["content-type"], reply.body) == (
        "text/plain",
        b"double([ 1 2 3 ; 4 5 6 ])",
    )


def test_numpy_of_a_series(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        for number in (3, 1, 2):
            position = [0, 0, -number]
            file = image_file(
                np.full((2, 2), number, "u2"),
                number,
                ImagePositionPatient=position,
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            )
            series = face.upload(file)["ParentSeries"]
        found = array(face.get(f"/series/{series}/numpy"))
        assert found[:, 0, 0, 0].tolist() == [3, 2, 1]
        face.upload(image_file(np.zeros((2, 3), "u2"), 9))
        reply = face.get(f"/series/{series}/numpy")
        assert (reply.status, reply.json()["OrthancStatus"]) == (415, 3000)


@pytest.mark.parametrize("codec", [Compression.ZLIB, Compression.ZSTD])
def test_files_that_are_stored_compressed(tmp_path: Path, codec: Compression) -> None:
    with serving(tmp_path, storage_compression=True) as face:
        large = np.arange(3 * 10**6, dtype="u2").reshape(1500, 2000)  # more than fits into memory
        assert large.nbytes > limits.UNPACKED_IN_MEMORY_BYTES
        for values in (VALUES[1], large):
            where = face.upload(image_file(values))["Path"]
            shown = pixels(face.get(f"{where}/image-uint16").body)
            np.testing.assert_array_equal(shown, values)
            face.request("DELETE", where)


def test_too_many_at_once(face: Face, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAGING_WAITING", 0)
    reply = face.get(f"{path}/preview")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_a_decoder_that_crashes(face: Face, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(work.TASKS, "picture", "tests.support.imaging_tasks:crash")
    assert face.get(f"{path}/preview").status == 415
    monkeypatch.undo()
    assert face.get(f"{path}/preview").status == 200
