"""What a file is when it is sent: read from its data set, not from what is said of it."""

from __future__ import annotations

import io
import zlib

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.support.dicom_files import make_instance
from tests.support.pydicom_files import FILES, ROOT
from wherry import limits
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.errors import BadFileFormat, CorruptedFile
from wherry.modalities.associations.negotiation import Kind
from wherry.modalities.sending.outgoing import Outgoing, read

CT = "1.2.840.10008.5.1.4.1.1.2"


def whole(instance: Outgoing, syntax: str) -> bytes:
    found = instance.data_set(syntax)
    return bytes(found) if isinstance(found, memoryview) else b"".join(found)


def file(data_set: bytes, syntax: str = EXPLICIT) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    pydicom.filewriter.write_file_meta_info(buffer, meta, enforce_standard=False)
    return buffer.getvalue() + data_set


def data_set(syntax: UID = ExplicitVRLittleEndian, **values: object) -> bytes:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.PatientID = CT, "1.2.3", "P"
    for keyword, value in values.items():
        setattr(data, keyword, value)
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    pydicom.filewriter.write_dataset(buffer, data)
    return buffer.getvalue()


def test_every_file_of_pydicom_names_what_pydicom_finds() -> None:
    seen = set()
    for name in FILES:
        data = (ROOT / name).read_bytes()
        try:
            expected = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
            uids = str(expected.SOPClassUID), str(expected.SOPInstanceUID)
            syntax = str(expected.file_meta.TransferSyntaxUID)
        except Exception:
            continue
        if name.endswith("SC_rgb_jpeg.dcm"):  # implicit although it says JPEG
            with pytest.raises(BadFileFormat, match="against its transfer syntax"):
                read(memoryview(data))
            continue
        with memoryview(data) as view:
            found = read(view)
        assert (found.kind, found.sop_instance) == (Kind(uids[0], syntax), uids[1]), name
        seen.add(syntax)
    assert {IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED} < seen
    assert len(seen) > 10


def test_the_data_set_is_what_lies_behind_the_meta_information() -> None:
    content = data_set()
    instance = read(memoryview(file(content)))
    assert (instance.kind, instance.sop_instance) == (Kind(CT, EXPLICIT), "1.2.3")
    assert instance.size == len(content)
    sent = instance.data_set(EXPLICIT)
    assert isinstance(sent, memoryview)
    assert sent == content
    assert whole(instance, IMPLICIT) == data_set(ImplicitVRLittleEndian)


def test_a_file_that_is_not_written_as_it_says() -> None:
    """It goes as what it is, not as what it says."""
    for syntax, real in ((EXPLICIT, ImplicitVRLittleEndian), (IMPLICIT, ExplicitVRLittleEndian)):
        content = data_set(real)
        instance = read(memoryview(file(content, syntax)))
        assert instance.kind == Kind(CT, str(real))
        assert whole(instance, str(real)) == content
        assert whole(instance, syntax) == data_set(UID(syntax))


def test_a_bare_data_set() -> None:
    content = data_set()
    instance = read(memoryview(content))
    assert instance.kind == Kind(CT, EXPLICIT)
    assert whole(instance, EXPLICIT) == content


def test_implicit_big_endian_has_no_transfer_syntax() -> None:
    def element(group: int, number: int, value: bytes) -> bytes:
        head = group.to_bytes(2, "big") + number.to_bytes(2, "big")
        return head + len(value).to_bytes(4, "big") + value

    content = element(8, 0x16, CT.encode() + b"\0") + element(8, 0x18, b"1.2.3\0")
    content += element(0x28, 0x10, (513).to_bytes(2, "big"))
    instance = read(memoryview(content))
    assert instance.kind == Kind(CT, "")
    expected = Dataset()
    expected.SOPClassUID, expected.SOPInstanceUID, expected.Rows = CT, "1.2.3", 513
    found = pydicom.dcmread(io.BytesIO(file(whole(instance, EXPLICIT))))
    assert found == expected


@pytest.mark.parametrize("odd", [0, 1])
def test_what_is_long_comes_in_pieces(monkeypatch: pytest.MonkeyPatch, odd: int) -> None:
    monkeypatch.setattr(limits, "MAPPED_AHEAD_BYTES", limits.MIB)
    content = data_set(BitsAllocated=16, PixelData=bytes(range(256)) * 8192) + b"\0" * odd
    data = file(content)
    instance = read(memoryview(data), lambda offset, size: data[offset : offset + size])
    pieces = instance.data_set(EXPLICIT)
    assert not isinstance(pieces, memoryview)
    found = list(pieces)
    assert max(map(len, found)) == limits.READ_CHUNK_BYTES
    assert b"".join(found) == content + b"\0" * odd


def test_a_long_file_that_becomes_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAPPED_AHEAD_BYTES", 100)
    data = file(data_set(BitsAllocated=16, PixelData=bytes(200)))
    instance = read(memoryview(data), lambda offset, size: b"")
    with pytest.raises(CorruptedFile):
        whole(instance, EXPLICIT)


def test_a_stream_of_odd_length_is_padded() -> None:
    packed = next(
        stream
        for number in range(100)
        if len(stream := deflated(data_set(PatientID="P" * number))) % 2
    )
    instance = read(memoryview(file(packed, DEFLATED)))
    assert whole(instance, DEFLATED) == packed + b"\0"
    assert len(whole(instance, EXPLICIT)) % 2 == 0


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_deflated(syntax: str) -> None:
    content = data_set(BitsAllocated=16, PixelData=bytes(3 * limits.MIB))
    packed = deflated(content)
    instance = read(memoryview(file(packed, DEFLATED)))
    assert (instance.kind, instance.sop_instance) == (Kind(CT, DEFLATED), "1.2.3")
    assert whole(instance, DEFLATED) == packed + bytes(len(packed) % 2)
    pieces = instance.data_set(syntax)
    assert not isinstance(pieces, memoryview)
    again = read(memoryview(file(b"".join(pieces), syntax)))
    assert whole(again, EXPLICIT) == content


def test_the_class_may_be_in_the_meta_information_alone() -> None:
    data = pydicom.dcmread(io.BytesIO(make_instance()))
    del data.SOPClassUID
    data.file_meta.MediaStorageSOPClassUID = CT
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=False)
    assert read(memoryview(buffer.getvalue())).kind.sop_class == CT


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"",
        file(data_set(SOPInstanceUID="")),
        file(data_set(SOPClassUID="")),
        file(b"\x08\x00"),
        file(b"\xff" * 100, DEFLATED),
        file(data_set(ImplicitVRLittleEndian), "1.2.840.10008.1.2.4.50"),
    ],
    ids=["text", "nothing", "no-instance", "no-class", "cut-off", "bad-deflate", "implicit-jpeg"],
)
def test_what_cannot_be_sent(data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        read(memoryview(data))


def test_what_turns_out_to_be_damaged_while_it_is_written_anew() -> None:
    content = data_set(BitsAllocated=16, PixelData=bytes(100))[:-10]
    instance = read(memoryview(file(content)))
    assert whole(instance, EXPLICIT) == content  # as it is, it is none of our business
    with pytest.raises(BadFileFormat, match="another transfer syntax"):
        whole(instance, IMPLICIT)
