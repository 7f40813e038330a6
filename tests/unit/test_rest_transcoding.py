"""Files in other transfer syntaxes: downloaded, in archives, sent to peers, and as they arrive."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.support.asgi import Reply
from tests.support.face import Face, serving
from tests.support.jobs import eventually
from tests.support.pydicom_files import ROOT
from tests.support.receiver import receiving
from wherry.config import WherryConfig
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import BASELINE, HTJ2K, J2K, J2K_LOSSY, LOSSLESS_SV1, RLE
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.errors import CannotDecode
from wherry.imaging.pool import ImagingPool
from wherry.model import Peer

FILES = ROOT / "test_files"
CT = (FILES / "CT_small.dcm").read_bytes()
COLOUR = (FILES / "SC_rgb_rle_2frame.dcm").read_bytes()
JPEG_2000 = (FILES / "MR_small_jp2klossless.dcm").read_bytes()
DEFLATED_FILE = (FILES / "image_dfl.dcm").read_bytes()
REPORT = (FILES / "reportsi.dcm").read_bytes()


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("face"), http_describe_errors=True) as found:
        yield found


def file(face: Face, data: bytes, arguments: str) -> bytes:
    identifier = face.upload(data)["ID"]
    reply = face.get(f"/instances/{identifier}/file{arguments}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/dicom")
    assert reply.headers["content-disposition"].startswith("filename=")
    return reply.body


def frames(data: bytes) -> list[Any]:
    image = Image(data)
    return [image.frame(number) for number in range(image.shape.frames)]


def syntax(data: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta[2, 0x10].value)


@pytest.mark.parametrize("wanted", [IMPLICIT, BIG_ENDIAN, LOSSLESS_SV1, J2K, HTJ2K, RLE])
@pytest.mark.parametrize("data", [CT, COLOUR, JPEG_2000], ids=["ct", "colour", "j2k"])
def test_download(face: Face, data: bytes, wanted: str) -> None:
    found = file(face, data, f"?transcode={wanted}")
    assert syntax(found) == wanted
    np.testing.assert_array_equal(frames(found), frames(data))


def test_download_of_what_is_deflated_and_back(face: Face) -> None:
    found = file(face, DEFLATED_FILE, f"?transcode={J2K}")
    np.testing.assert_array_equal(frames(found), frames(DEFLATED_FILE))
    explicit = file(face, DEFLATED_FILE, f"?transcode={EXPLICIT}")
    again = file(face, explicit, f"?transcode={DEFLATED}")
    assert syntax(again) == DEFLATED
    np.testing.assert_array_equal(frames(again), frames(DEFLATED_FILE))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [(CT, EXPLICIT), (CT, BASELINE), (REPORT, J2K), (CT, "1.2.840.10008.1.2.4.100")],
)
def test_what_cannot_be_or_is_already(face: Face, data: bytes, wanted: str) -> None:
    assert file(face, data, f"?transcode={wanted}") == data


def test_what_loses_something_is_another_instance(face: Face) -> None:
    better = file(face, COLOUR, f"?transcode={BASELINE}&lossy-quality=95")
    usual = file(face, COLOUR, f"?transcode={BASELINE}")
    worse = file(face, COLOUR, f"?transcode={BASELINE}&lossy-quality=20")
    assert len(better) > len(usual) > len(worse)
    assert usual == file(face, COLOUR, f"?transcode={BASELINE}&lossy-quality=90")
    found, old = (pydicom.dcmread(io.BytesIO(one)) for one in (usual, COLOUR))
    assert found.SOPInstanceUID != old.SOPInstanceUID
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    assert found.SeriesInstanceUID == old.SeriesInstanceUID
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    size = sum(len(bytes(Image(usual).coded(number))) for number in (0, 1))
    assert found.LossyImageCompressionRatio == pytest.approx(2 * 30_000 / size, abs=1e-3)
    assert found.ImageType[0] == "DERIVED"
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert found.PhotometricInterpretation == "YBR_FULL_422"
    far = np.abs(np.stack(frames(usual)).astype(int) - np.stack(frames(COLOUR))).max()
    assert 0 < far < 20


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("?transcode=nope", 3),
        ("?transcode=", 3),
        (f"?transcode={BASELINE}&lossy-quality=0", 3),
        (f"?transcode={BASELINE}&lossy-quality=101", 3),
        (f"?transcode={BASELINE}&lossy-quality=x", 5),
    ],
)
def test_wrong_arguments(face: Face, arguments: str, status: int) -> None:
    identifier = face.upload(CT)["ID"]
    reply = face.get(f"/instances/{identifier}/file{arguments}")
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, status)


def test_archives_and_media(face: Face) -> None:
    series = face.upload(COLOUR)["ParentSeries"]
    for kind in ("archive", "media"):
        path = f"/series/{series}/{kind}"
        replies = [
            face.get(f"{path}?transcode={J2K_LOSSY}"),
            face.post_json(path, {"Transcode": J2K_LOSSY}),
        ]
        for reply in replies:
            assert reply.status == 200
            archive = zipfile.ZipFile(io.BytesIO(reply.body))
            assert archive.testzip() is None
            [name] = [one for one in archive.namelist() if one != "DICOMDIR"]
            found = archive.read(name)
            assert syntax(found) == J2K_LOSSY
            if kind == "media":
                directory = pydicom.dcmread(io.BytesIO(archive.read("DICOMDIR")))
                [image] = [
                    one for one in directory.DirectoryRecordSequence if "ReferencedFileID" in one
                ]
                uid = pydicom.dcmread(io.BytesIO(found)).SOPInstanceUID
                assert image.ReferencedSOPInstanceUIDInFile == uid
        smaller = face.post_json(path, {"Transcode": J2K_LOSSY, "LossyQuality": 1})
        assert len(smaller.body) < len(replies[0].body)


def test_an_archive_made_by_a_job(face: Face) -> None:
    series = face.upload(CT)["ParentSeries"]
    order = {"Resources": [series], "Transcode": J2K, "Asynchronous": True}
    job = face.post_json("/tools/create-media", order).json()["ID"]
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    assert face.json(f"/jobs/{job}")["Content"]["Transcode"] == J2K
    archive = zipfile.ZipFile(io.BytesIO(face.get(f"/jobs/{job}/archive").body))
    assert archive.testzip() is None
    assert syntax(archive.read("IMAGES/IM0")) == J2K


def test_to_a_peer(tmp_path: Path) -> None:
    with (
        receiving() as peer,
        serving(tmp_path, orthanc_peers={"there": Peer("there", peer.url)}) as face,
    ):
        instance = face.upload(COLOUR)["ID"]
        for wanted, compress in ((J2K, False), (BASELINE, True)):
            order = {"Resources": [instance], "Transcode": wanted, "Compress": compress}
            reply = face.post_json("/peers/there/store", order)
            assert (reply.status, reply.json()["FailedInstancesCount"]) == (200, 0)
        assert [syntax(one) for one in peer.stored.values()] == [J2K, BASELINE]


@pytest.mark.parametrize("what", ["file", "archive", "modify", "upload", "form", "zip"])
def test_others_are_answered_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """However many wait for what is transcoded, and for as long as they do."""
    go_on, at_work = threading.Event(), threading.Semaphore(0)

    def run(self: ImagingPool, *_: object, **__: object) -> dict[str, Any]:
        at_work.release()
        go_on.wait()
        raise CannotDecode("too late")

    arriving = what in ("upload", "form", "zip")
    with (
        serving(tmp_path, ingest_transcoding=J2K if arriving else "") as face,
        ThreadPoolExecutor(20) as clients,
    ):
        instance = face.upload(REPORT if arriving else CT)["ID"]
        series = face.json(f"/instances/{instance}")["ParentSeries"]
        monkeypatch.setattr(ImagingPool, "run", run)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a", CT)
        head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        form = {"content-type": "multipart/form-data; boundary=x"}
        asks: dict[str, Callable[[], Reply]] = {
            "file": lambda: face.get(f"/instances/{instance}/file?transcode={J2K}"),
            "archive": lambda: face.get(f"/series/{series}/archive?transcode={J2K}"),
            "modify": lambda: face.post_json(f"/instances/{instance}/modify", {"Transcode": J2K}),
            "upload": lambda: face.request("POST", "/instances", CT),
            "form": lambda: face.request("POST", "/instances", head + CT + b"\r\n--x--", form),
            "zip": lambda: face.request("POST", "/instances", packed.getvalue()),
        }
        waiting = [
            clients.submit(asks[what]) for _ in range(face.rooms.config.wherry.worker_threads)
        ]
        try:
            for _ in waiting:
                assert at_work.acquire(timeout=20)
            quick = clients.submit(face.get, f"/instances/{instance}/tags")
            assert quick.result(timeout=20).status == 200
        finally:
            go_on.set()
        assert {one.result().status for one in waiting} <= {200, 415}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [J2K, J2K, J2K]),
        ({"ingest_transcoding_of_compressed": False}, [J2K, RLE, J2K]),
        ({"ingest_transcoding_of_uncompressed": False}, [EXPLICIT, J2K, J2K]),
    ],
)
def test_at_ingest(tmp_path: Path, settings: dict[str, bool], expected: list[str]) -> None:
    with serving(tmp_path, ingest_transcoding=J2K, **settings) as face:
        assert face.json("/system")["IngestTranscoding"] == J2K
        for data, wanted in zip((CT, COLOUR, JPEG_2000), expected, strict=True):
            instance = face.upload(data)
            stored = face.get(f"/instances/{instance['ID']}/file").body
            assert syntax(stored) == wanted
            np.testing.assert_array_equal(frames(stored), frames(data))
            metadata = f"/instances/{instance['ID']}/metadata/TransferSyntax"
            assert face.get(metadata).body.decode() == wanted
            assert face.upload(data)["Status"] == "AlreadyStored"
        report = face.upload(REPORT)["ID"]
        assert face.get(f"/instances/{report}/file").body == REPORT
        assert len(face.files()) == 4, "no first file is left"


def test_what_would_be_too_large_stays_as_it_came(tmp_path: Path) -> None:
    wherry = WherryConfig(maximum_instance_bytes=len(JPEG_2000) + 100)
    with serving(tmp_path, ingest_transcoding=EXPLICIT, wherry=wherry) as face:
        instance = face.upload(JPEG_2000)["ID"]
        assert face.get(f"/instances/{instance}/file").body == JPEG_2000
        assert len(face.files()) == 1
