"""Associations over TLS with every service: Wherry called by DCMTK and pynetdicom (``movescu`` and
``getscu`` know no TLS), and calling ``storescp``."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.support.dicom_files import make_series
from tests.support.dimse import dcmtk, dicom_server
from tests.support.store_scps import storescp

UID = "1.2.826.0.1.3680043.10.1234"
EXPLICIT = "1.2.840.10008.1.2.1"


class Keys:
    """Three self-signed certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("server", "client", "stranger"):
            command = f"openssl req -x509 -nodes -newkey rsa:2048 -days 30 -subj /CN={name} -keyout"
            ends = [str(self.key(name)), "-out", str(self.certificate(name))]
            subprocess.run([*command.split(), *ends], check=True, capture_output=True)

    def key(self, name: str) -> Path:
        return self._folder / f"{name}.key"

    def certificate(self, name: str) -> Path:
        return self._folder / f"{name}.crt"

    def options(self, name: str, trusted: str) -> list[Any]:
        """Of a program of DCMTK."""
        own = ["+tls", self.key(name), self.certificate(name)]
        return [*own, "+cf", self.certificate(trusted)]

    def context(self, name: str, trusted: str) -> ssl.SSLContext:
        """Of pynetdicom."""
        context = ssl.create_default_context(cafile=str(self.certificate(trusted)))
        context.check_hostname = False
        context.load_cert_chain(self.certificate(name), self.key(name))
        return context

    def config(self) -> dict[str, Any]:
        """Of a server that trusts the client."""
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(self.certificate("server")),
            "DicomTlsPrivateKey": str(self.key("server")),
            "DicomTlsTrustedCertificates": str(self.certificate("client")),
        }


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize("required", [True, False])
def test_who_may_call(keys: Keys, tmp_path: Path, *, required: bool) -> None:
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path, data in zip(files, make_series(3, pixel_bytes=300_032), strict=True):
        path.write_bytes(data)
    config = keys.config() | {"DicomTlsRemoteCertificateRequired": required}
    trusts = ["+cf", keys.certificate("server")]
    with dicom_server(tmp_path / "server", **config) as (server, port):
        where = ["127.0.0.1", port]
        dcmtk("echoscu", *where, expect=None)  # without TLS: nothing is said
        dcmtk("storescu", *keys.options("client", "server"), *where, *files)
        assert len(server.json("GET", "/instances")) == 3
        stranger = dcmtk("echoscu", *keys.options("stranger", "server"), *where, expect=None)
        assert "Peer aborted" in stranger
        anonymous = dcmtk("echoscu", "-v", "+tla", *trusts, *where, expect=None)
        assert ("Received Echo Response (Success)" in anonymous) is not required


def test_every_service(keys: Keys, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given: list[bytes] = []

    def take(event: Any) -> int:
        given.append(event.request.DataSet.getvalue())
        return 0

    with storescp(out, *map(str, keys.options("client", "server"))) as destination:
        modality = {"AET": "THERE", "Host": "127.0.0.1", "Port": destination, "UseDicomTls": True}
        config = keys.config() | {
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {"there": modality},
            "DicomAssociationCloseDelay": 0,
        }
        with dicom_server(tmp_path / "server", **config) as (server, port):
            for data in make_series(4, pixel_bytes=200_000):
                server.request("POST", "/instances", data)
            asked = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={UID}.1"]
            options = [*keys.options("client", "server"), "-S", *asked, "-k", "SeriesInstanceUID"]
            found = dcmtk("findscu", "-v", *options, "127.0.0.1", port)
            assert found.count("Find Response: ") == 1

            entity = AE("CALLER")
            for model in (
                StudyRootQueryRetrieveInformationModelFind,
                StudyRootQueryRetrieveInformationModelGet,
                StudyRootQueryRetrieveInformationModelMove,
            ):
                entity.add_requested_context(model)
            entity.add_requested_context(CTImageStorage, EXPLICIT)
            association = entity.associate(
                "127.0.0.1",
                port,
                ext_neg=[build_role(CTImageStorage, scp_role=True)],
                evt_handlers=[(evt.EVT_C_STORE, take)],
                tls_args=(keys.context("client", "server"), None),
            )
            assert association.is_established
            query = Dataset()
            query.QueryRetrieveLevel = "STUDY"
            query.StudyInstanceUID = f"{UID}.1"
            by_find = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
            assert [status.Status for status, _ in by_find] == [0xFF00, 0]
            got = association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet)
            assert [status.Status for status, _ in got][-1] == 0
            moved = association.send_c_move(
                query, "THERE", StudyRootQueryRetrieveInformationModelMove
            )
            last = [status for status, _ in moved][-1]
            assert (last.Status, last.NumberOfCompletedSuboperations) == (0, 4)
            association.release()
    assert len(given) == 4
    assert all(len(data) > 200_000 for data in given)
    assert len(list(out.iterdir())) == 4
