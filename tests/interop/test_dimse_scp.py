"""Wherry as SCP of verification and storage, called by DCMTK, pynetdicom and byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from tests.support.dicom_files import make_instance, make_series
from tests.support.dimse import dcmtk, dicom_server, store, target, travelling
from tests.support.pydicom_files import FILES, ROOT
from tests.support.server import Server
from wherry.dicom.codecs.syntaxes import BASELINE, J2K
from wherry.dicom.preamble import read_preamble
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import NetworkProtocol
from wherry.modalities.associations.association import Association

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    with dicom_server(tmp_path_factory.mktemp("scp"), OverwriteInstances=True) as found:
        yield found


def written(folder: Path, files: list[bytes]) -> list[Path]:
    paths = [folder / f"{number}.dcm" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def stored(server: Server) -> set[str]:
    return {
        one["MainDicomTags"]["SOPInstanceUID"] for one in server.json("GET", "/instances?expand")
    }


def clear(server: Server) -> None:
    for patient in server.json("GET", "/patients"):
        server.request("DELETE", f"/patients/{patient}")


# --- DCMTK -------------------------------------------------------------------------------------
def test_echoscu(served: tuple[Server, int]) -> None:
    assert "Success" in dcmtk("echoscu", "-v", "127.0.0.1", served[1])


@pytest.mark.parametrize(
    "options", [[], ["-pdu", 4096], ["-pdu", 131072], ["--no-halt"], ["-xi"], ["-xb"]]
)
def test_storescu(served: tuple[Server, int], tmp_path: Path, options: list[Any]) -> None:
    server, port = served
    clear(server)
    dcmtk("storescu", *options, "127.0.0.1", port, *written(tmp_path, make_series(5)))
    assert len(stored(server)) == 5


def test_dcmsend_with_many_presentation_contexts(served: tuple[Server, int]) -> None:
    server, port = served
    clear(server)
    names = [ROOT / name for name in FILES if name.startswith("test_files/")]
    dcmtk(
        "dcmsend",
        "-ll",
        "error",
        "--decompress-never",
        "--no-halt",
        "--no-uid-checks",
        "127.0.0.1",
        port,
        *names,
        expect=None,
    )
    assert len(stored(server)) > 60


def test_where_it_came_from(served: tuple[Server, int], tmp_path: Path) -> None:
    server, port = served
    clear(server)
    dcmtk(
        "storescu",
        "-aet",
        "SENDER",
        "-aec",
        "ME",
        "127.0.0.1",
        port,
        *written(tmp_path, [make_instance()]),
    )
    (instance,) = server.json("GET", "/instances")
    metadata = server.json("GET", f"/instances/{instance}/metadata?expand")
    assert metadata["Origin"] == "DicomProtocol"
    assert metadata["RemoteAET"] == "SENDER"
    assert metadata["CalledAET"] == "ME"
    assert metadata["RemoteIP"] == "127.0.0.1"
    _, file = server.get(f"/instances/{instance}/file")
    (tmp_path / "back.dcm").write_bytes(file)
    meta = dcmread(tmp_path / "back.dcm").file_meta
    assert meta.SourceApplicationEntityTitle == "SENDER"
    assert meta.TransferSyntaxUID == EXPLICIT


# --- bit for bit ----------------------------------------------------------------------------------
def test_every_transfer_syntax_is_kept_bit_for_bit(served: tuple[Server, int]) -> None:
    server, port = served
    syntaxes = set()
    for name in FILES:
        file = travelling((ROOT / name).read_bytes())
        if file is None:
            continue
        clear(server)
        try:
            association = Association(target(port), [(file.sop_class, [file.syntax])])
        except NetworkProtocol:
            assert file.sop_class not in _storage_classes(), name
            continue
        with association:
            assert store(association, file).status == 0, name
        (instance,) = server.json("GET", "/instances")
        _, back = server.get(f"/instances/{instance}/file")
        syntax, sop_class, _, position = read_preamble(back)
        assert (syntax, sop_class) == (file.syntax, file.sop_class), name
        assert back[position:] == file.data_set, name
        syntaxes.add(syntax)
    assert len(syntaxes) >= 10


def _storage_classes() -> set[str]:
    from wherry.dicom.uids import storage_classes

    return set(storage_classes())


def test_large_instances_are_streamed(served: tuple[Server, int]) -> None:
    server, port = served
    clear(server)
    file = travelling(make_instance(pixel_bytes=16_000_000))
    assert file is not None
    with Association(target(port), [(CT, [EXPLICIT])]) as association:
        assert store(association, file).status == 0
    (instance,) = server.json("GET", "/instances")
    _, back = server.get(f"/instances/{instance}/file")
    assert back.endswith(file.data_set)


def test_instances_of_all_sizes_in_turn(served: tuple[Server, int]) -> None:
    """Short ones are received by a thread, long ones and what is no instance by the event loop."""
    server, port = served
    clear(server)
    sizes = [2_000, 200_000, 3_000_000, 60_000, 1_100_000, 1_000_000, 2_000, 0]
    files = [travelling(make_instance(number=n, pixel_bytes=size)) for n, size in enumerate(sizes)]
    with Association(target(port), [(CT, [EXPLICIT]), (VERIFICATION, [EXPLICIT])]) as association:
        for file in files:
            assert file is not None
            assert store(association, file).status == 0
            association.send(
                association.context_of(VERIFICATION).id,
                Command(CommandField.C_ECHO_RQ, affected_sop_class=VERIFICATION, message_id=99),
            )
            assert association.receive().command.field is CommandField.C_ECHO_RSP
            assert store(association, file).status == 0
    for file in files:
        assert file is not None
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": file.sop_instance}}
        (instance,) = server.json("POST", "/tools/find", query)
        _, back = server.get(f"/instances/{instance}/file")
        assert back.endswith(file.data_set)


def test_the_end_of_a_server_that_is_being_sent_to(tmp_path: Path) -> None:
    file = travelling(make_instance())
    assert file is not None
    with (
        dicom_server(tmp_path) as (server, port),
        Association(target(port), [(CT, [EXPLICIT])]) as association,
    ):
        assert store(association, file).status == 0
        assert server.stop() == 0
        with pytest.raises(NetworkProtocol):
            store(association, file)


# --- pynetdicom -----------------------------------------------------------------------------------
@pytest.mark.parametrize("pdu", [4096, 4097, 16382, 131072, 0])
def test_pynetdicom_with_odd_pdu_sizes(served: tuple[Server, int], pdu: int) -> None:
    server, port = served
    clear(server)
    entity = AE("PYNETDICOM")
    entity.maximum_pdu_size = pdu
    entity.add_requested_context(CTImageStorage, EXPLICIT)
    association = entity.associate("127.0.0.1", port, max_pdu=pdu)
    assert association.is_established
    for data in make_series(3, pixel_bytes=100_096):
        from io import BytesIO

        assert association.send_c_store(dcmread(BytesIO(data))).Status == 0
    association.release()
    assert len(stored(server)) == 3


def test_128_presentation_contexts(served: tuple[Server, int]) -> None:
    entity = AE()
    entity.requested_contexts = [
        build_context(Verification if number % 2 else CTImageStorage, EXPLICIT)
        for number in range(128)
    ]
    association = entity.associate("127.0.0.1", served[1])
    assert len(association.accepted_contexts) == 128
    assert association.send_c_echo().Status == 0
    association.release()


def test_what_is_refused_in_a_context(served: tuple[Server, int]) -> None:
    entity = AE()
    entity.add_requested_context("1.2.3.4.5", EXPLICIT)
    entity.add_requested_context(CTImageStorage, "1.2.3.4.5")
    entity.add_requested_context(Verification, EXPLICIT)
    association = entity.associate("127.0.0.1", served[1])
    results = {str(one.abstract_syntax): one.result for one in association.rejected_contexts}
    assert results == {"1.2.3.4.5": 3, CTImageStorage: 4}
    association.release()


def test_an_instance_that_is_another_than_named(served: tuple[Server, int]) -> None:
    server, port = served
    clear(server)
    for size in (2048, 400_128, 3_000_064):  # by the handful, at once, in pieces
        file = travelling(make_instance(pixel_bytes=size))
        assert file is not None
        with Association(
            target(port), [(CT, [EXPLICIT]), ("1.2.840.10008.5.1.4.1.1.4", [EXPLICIT])]
        ) as association:
            other = store(association, file, affected_sop_instance="1.2.3.4")
            assert other.status == 0xA900
            assert other.error_comment
            assert store(association, file, affected_sop_class="1.2.3").status == 0x0122
            assert store(association, file).status == 0
        assert stored(server) == {file.sop_instance}
        clear(server)


def test_a_data_set_that_is_none(served: tuple[Server, int]) -> None:
    server, port = served
    clear(server)
    file = travelling(make_instance())
    assert file is not None
    with Association(target(port), [(CT, [EXPLICIT])]) as association:
        cut = type(file)(file.sop_class, file.sop_instance, file.syntax, file.data_set[:-100])
        assert store(association, cut).status == 0xC000
        empty = type(file)(file.sop_class, file.sop_instance, file.syntax, b"")
        assert store(association, empty).status in (0xA900, 0xC000)
        assert store(association, file).status == 0
    assert stored(server) == {file.sop_instance}


# --- who may ------------------------------------------------------------------------------------
def test_called_title(tmp_path: Path) -> None:
    with dicom_server(tmp_path, DicomCheckCalledAet=True, DicomAet="ME") as (_, port):
        dcmtk("echoscu", "-aec", "me", "127.0.0.1", port)
        said = dcmtk("echoscu", "-aec", "YOU", "127.0.0.1", port, expect=None)
        assert "Called AE Title Not Recognized" in said


def test_calling_title(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomCheckModalityHost": True,
        "DicomModalities": {
            "known": ["KNOWN", "localhost", 104],
            "elsewhere": ["ELSEWHERE", "10.99.99.99", 104],
            "mute": {"AET": "MUTE", "Host": "127.0.0.1", "Port": 104, "AllowStore": False},
        },
    }
    with dicom_server(tmp_path, **config) as (server, port):
        files = written(tmp_path, [make_instance()])
        for stranger in ("STRANGER", "ELSEWHERE"):
            said = dcmtk("echoscu", "-aet", stranger, "127.0.0.1", port, expect=None)
            assert "Calling AE Title Not Recognized" in said
        dcmtk("echoscu", "-aet", "MUTE", "127.0.0.1", port)
        dcmtk("storescu", "-aet", "MUTE", "127.0.0.1", port, *files, expect=None)
        assert stored(server) == set()
        dcmtk("storescu", "-aet", "KNOWN", "127.0.0.1", port, *files)
        assert len(stored(server)) == 1


def test_unknown_sop_classes(tmp_path: Path) -> None:
    file = travelling(make_instance(SOPClassUID="1.2.3.4.5"))
    assert file is not None
    with dicom_server(tmp_path, UnknownSopClassAccepted=True) as (server, port):
        with Association(target(port), [("1.2.3.4.5", [EXPLICIT])]) as association:
            assert store(association, file).status == 0
        assert stored(server) == {file.sop_instance}


def test_what_arrives_is_transcoded(tmp_path: Path) -> None:
    """Small and large, with and without loss; what cannot be stays as it came."""
    files = [
        ROOT / "test_files" / f"{name}.dcm" for name in ("CT_small", "rtplan", "examples_rgb_color")
    ]
    for wanted, expected in ((J2K, 2), (BASELINE, 1)):
        with dicom_server(tmp_path / wanted, IngestTranscoding=wanted) as (server, port):
            for file in files:
                dcmtk("storescu", "127.0.0.1", port, file)
            stored = [
                read_preamble(server.request("GET", f"/instances/{name}/file")[1])[0]
                for name in server.json("GET", "/instances")
            ]
            assert (len(stored), stored.count(wanted)) == (3, expected)
