"""``/modalities/{}/store`` to real systems: DCMTK's, the real Orthanc, pynetdicom."""

from __future__ import annotations

import io
import json
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.support.dicom_files import make_instance
from tests.support.jobs import eventually
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.pydicom_files import FILES, ROOT
from tests.support.pynetdicom_scp import Archive, archive
from tests.support.server import Server, free_port, running
from tests.support.store_scps import dcmqrscp, storescp, tool
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import LOSSLESS_SV1
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.errors import BadFileFormat, WherryError
from wherry.modalities.sending.outgoing import read

NATIVE = {IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED}
MANY = 120


class Sender:
    """A server that holds every file of pydicom that it takes, and a study of many instances."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.files: dict[str, bytes] = {}
        """SOP instance UID → the file that is stored."""
        for name in FILES:
            self._upload((ROOT / name).read_bytes())
        self.pydicom = server.json("GET", "/patients")
        many = [
            make_instance(77, number=number, patient_id="MANY") for number in range(1, MANY + 1)
        ]
        for data in many:
            self._upload(data)
        self.many = [one for one in server.json("GET", "/patients") if one not in self.pydicom]

    def _upload(self, data: bytes) -> None:
        try:
            uid = read(memoryview(data)).sop_instance
        except BadFileFormat:  # it can be stored, but not be sent
            return
        if uid not in self.files and self.server.request("POST", "/instances", data)[0] == 200:
            self.files[uid] = data

    def of_pydicom(self) -> dict[str, bytes]:
        """Without the many."""
        return {uid: data for uid, data in self.files.items() if b"MANY" not in data[:2000]}

    def store(self, port: int, resources: list[str], aet: str = "ANY", **order: Any) -> Any:
        """A store that must succeed."""
        entry = {"AET": aet, "Host": "127.0.0.1", "Port": port, **order.pop("entry", {})}
        path = "/modalities/there"
        assert self.server.request("PUT", path, json.dumps(entry).encode())[0] == 200
        order = {"Resources": resources, "Timeout": 60, "Synchronous": False, **order}
        job = self.server.json("POST", f"{path}/store", order)["ID"]
        found = self.server.wait_for_job(job, 200)
        assert found["State"] == "Success", found
        return found["Content"]


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    with running(Server(tmp_path_factory.mktemp("sender") / "wherry")) as server:
        yield Sender(server)


def data_set(data: bytes) -> tuple[str, bytes]:
    """Transfer syntax and data set of a file, padded to an even length."""
    found = read(memoryview(data))
    content = data[len(data) - found.size :]
    return found.kind.transfer_syntax, content + b"\0" * (len(content) % 2)


def received(folder: Path) -> dict[str, tuple[str, bytes]]:
    """What lies there by SOP instance UID."""
    found = {}
    for path in folder.iterdir():
        if path.name.startswith("index"):
            continue
        data = path.read_bytes()
        found[read(memoryview(data)).sop_instance] = data_set(data)
    return found


# --- storescp ----------------------------------------------------------------------------------
UNKNOWN_TO_DCMTK = {
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.112",
}
"""Transfer syntaxes that its release 3.6.7 has never heard of."""


def test_every_file_bit_for_bit(sender: Sender, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with storescp(out, "+xa") as port:
        content = sender.store(port, sender.pydicom, Permissive=True)
    expected = {uid: data_set(data) for uid, data in sender.of_pydicom().items()}
    taken = received(out)
    missing = {expected[uid][0] for uid in expected.keys() - taken.keys()}
    assert missing <= UNKNOWN_TO_DCMTK, content.get("FailedInstances")
    assert content["FailedInstancesCount"] == len(expected) - len(taken)
    for uid, stored in taken.items():
        assert stored == expected[uid], uid
    assert len({syntax for syntax, _ in taken.values()}) > 8
    assert len(taken) > 60


@pytest.mark.parametrize(
    ("options", "syntax"),
    [(("+xi",), IMPLICIT), ((), EXPLICIT), (("+xe",), EXPLICIT), (("+xb",), None)],
    ids=["implicit-only", "uncompressed", "little", "big"],
)
def test_who_takes_no_compressed_ones(
    sender: Sender, tmp_path: Path, options: tuple[str, ...], syntax: str | None
) -> None:
    """Native instances are written anew as it takes them; pydicom finds the same values. The
    others are decompressed; those that no decoder reads fail, each with a clear word."""
    out = tmp_path / "out"
    with storescp(out, *options) as port:
        content = sender.store(port, sender.pydicom, Permissive=True)
    expected = sender.of_pydicom()
    undecodable = {uid for uid, data in expected.items() if pixels(data) is None}
    taken = received(out)
    assert taken.keys() == expected.keys() - undecodable
    assert len(undecodable) < 6
    for failed in content["FailedInstances"]:
        assert "cannot be" in failed["Details"]
    for uid, (as_what, content_) in taken.items():
        original, before = data_set(expected[uid])
        if original not in NATIVE:
            assert as_what == (syntax or as_what)
            found = pixels(bytes(128) + b"DICM" + header(as_what) + content_)
            assert found == pixels(expected[uid]), uid
        elif as_what == original:
            assert content_ == before, uid
        else:
            assert as_what == (syntax or as_what)
            assert values(as_what, content_) == values(original, before), uid
    assert {as_what for as_what, _ in taken.values()} <= NATIVE


def test_who_takes_another_compressed_one(tmp_path: Path) -> None:
    """``DicomScuPreferredTransferSyntax`` may be one; what it cannot hold goes as it can."""
    config = {"DicomScuPreferredTransferSyntax": LOSSLESS_SV1}
    names = ("JPEG2000", "MR_small_jpeg_ls_lossless", "SC_rgb_rle_32bit")
    with (
        running(Server(tmp_path / "wherry", config)) as server,
        storescp(tmp_path / "out", "+xs") as port,
    ):
        entry = {"AET": "ANY", "Host": "127.0.0.1", "Port": port}
        assert server.request("PUT", "/modalities/there", json.dumps(entry).encode())[0] == 200
        files = {}
        for name in names:
            data = (ROOT / "test_files" / f"{name}.dcm").read_bytes()
            files[read(memoryview(data)).sop_instance] = data
            server.request("POST", "/instances", data)
        order = {"Resources": server.json("GET", "/instances")}
        assert server.json("POST", "/modalities/there/store", order)["FailedInstancesCount"] == 0
        taken = received(tmp_path / "out")
    assert sorted(syntax for syntax, _ in taken.values()) == [EXPLICIT, LOSSLESS_SV1, LOSSLESS_SV1]
    for uid, (syntax, content) in taken.items():
        found = pixels(bytes(128) + b"DICM" + header(syntax) + content)
        assert found == pixels(files[uid])


def pixels(data: bytes) -> list[bytes] | None:
    """Decoded frames of a file; None when it has none, or they are compressed and cannot be."""
    if data_set(data)[0] in NATIVE and read(memoryview(data)).kind.transfer_syntax == DEFLATED:
        return []
    try:
        image = Image(data)
        return [image.frame(number).tobytes() for number in range(image.shape.frames)]
    except (WherryError, ValueError):
        return [] if data_set(data)[0] in NATIVE else None


def header(syntax: str) -> bytes:
    """File meta information that says nothing but the transfer syntax."""
    buffer = io.BytesIO()
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    pydicom.filewriter.write_file_meta_info(buffer, meta, enforce_standard=False)
    return buffer.getvalue()


def values(syntax: str, content: bytes) -> dict[int, object]:
    """The values of a data set, in the words of pydicom."""
    buffer = io.BytesIO(b"\0" * 128 + b"DICM" + header(syntax) + content)
    with warnings.catch_warnings(action="ignore"):
        return _values(pydicom.dcmread(buffer), big=syntax == BIG_ENDIAN)


def _values(data: pydicom.Dataset, *, big: bool) -> dict[int, object]:
    found: dict[int, object] = {}
    for element in data:
        if not element.tag.element or element.tag.is_private:  # dictionaries of private tags differ
            continue
        if element.VR == "SQ":
            found[element.tag] = [_values(item, big=big) for item in element.value]
        elif isinstance(element.value, bytes):
            value = element.value
            if big and element.VR == "OW":
                value = b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
            found[element.tag] = value
        else:
            found[element.tag] = str(element.value)
    return found


@pytest.mark.parametrize("pdu", ["4096", "131072"])
@pytest.mark.parametrize("fork", [True, False], ids=["fork", "single"])
def test_lengths_of_pdus(sender: Sender, tmp_path: Path, pdu: str, fork: bool) -> None:
    out = tmp_path / "out"
    options = ["+xa", "-pdu", pdu, *(["--fork"] if fork else [])]
    with storescp(out, *options) as port:
        content = sender.store(port, sender.many)
        assert (content["InstancesCount"], content["FailedInstancesCount"]) == (MANY, 0)
        eventually(lambda: len(list(out.iterdir())) == MANY)
        taken = received(out)
    for uid, (syntax, bytes_) in taken.items():
        assert (syntax, bytes_) == data_set(sender.files[uid])


@pytest.mark.parametrize("when", ["after", "during"])
def test_who_aborts_each_instance(sender: Sender, tmp_path: Path, when: str) -> None:
    some = sender.server.json("GET", "/instances")[:2]
    with storescp(tmp_path / "out", "+xa", f"--abort-{when}") as port:
        content = sender.store(port, some, Permissive=True)
        assert content["FailedInstancesCount"] == 2


def test_who_refuses_every_association(sender: Sender, tmp_path: Path) -> None:
    with storescp(tmp_path / "out", "--refuse") as port:
        entry = {"AET": "ANY", "Host": "127.0.0.1", "Port": port}
        sender.server.request("PUT", "/modalities/no", json.dumps(entry).encode())
        status, answer = sender.server.request(
            "POST", "/modalities/no/store", json.dumps(sender.many).encode()
        )
    found = json.loads(answer)
    assert (status, found["OrthancStatus"]) == (500, 9)
    assert "rejects the association" in found["Details"]


def test_over_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=anybody"),
        ],
        check=True,
        capture_output=True,
    )
    config = {
        "DicomTlsTrustedCertificates": str(certificate),
        "DicomTlsCertificate": str(certificate),
        "DicomTlsPrivateKey": str(key),
    }
    out = tmp_path / "out"
    tls = ["+tls", str(key), str(certificate), "+cf", str(certificate)]
    data = make_instance(pixel_bytes=3_000_000)
    with storescp(out, *tls) as port, running(Server(tmp_path / "sender", config)) as server:
        server.request("POST", "/instances", data)
        entry = {"AET": "ANY", "Host": "127.0.0.1", "Port": port, "UseDicomTls": True}
        server.request("PUT", "/modalities/there", json.dumps(entry).encode())
        assert server.request("POST", "/modalities/there/echo")[0] == 200
        for _ in range(2):
            server.json("POST", "/modalities/there/store", server.json("GET", "/instances"))
        entry["UseDicomTls"] = False
        server.request("PUT", "/modalities/plain", json.dumps(entry).encode())
        assert server.request("POST", "/modalities/plain/echo", b'{"Timeout": 1}')[0] == 500
    [(syntax, bytes_)] = received(out).values()
    assert (syntax, bytes_) == data_set(data)


# --- dcmqrscp ----------------------------------------------------------------------------------
def test_dcmqrscp(sender: Sender, tmp_path: Path) -> None:
    """It rejects further associations. With several it loses files, whoever sends them: the names
    that its processes make up are the same."""
    area = tmp_path / "area"
    with dcmqrscp(area, associations=1) as port:
        content = sender.store(port, sender.many, "QRSCP")
        assert (content["InstancesCount"], content["FailedInstancesCount"]) == (MANY, 0)
    assert received(area).keys() == {uid for uid in sender.files if uid not in sender.of_pydicom()}


# --- Orthanc -----------------------------------------------------------------------------------
@needs_orthanc
def test_orthanc_takes_every_file_that_it_takes_over_http(sender: Sender, tmp_path: Path) -> None:
    dicom_port = free_port()
    config = {
        "DicomServerEnabled": True,
        "DicomPort": dicom_port,
        "UnknownSopClassAccepted": True,
    }
    with (
        running(Orthanc(tmp_path / "orthanc", config)) as orthanc,
        running(Orthanc(tmp_path / "http")) as by_http,
    ):
        takes = {
            uid
            for uid, data in sender.of_pydicom().items()
            if by_http.request("POST", "/instances", data)[0] == 200
        }
        content = sender.store(dicom_port, sender.pydicom, "ORTHANC", Permissive=True)
        there: dict[str, bytes] = {}
        for name in orthanc.json("GET", "/instances"):
            data = orthanc.get(f"/instances/{name}/file")[1]
            there[read(memoryview(data)).sop_instance] = data
    assert takes - there.keys() == set(), content.get("FailedInstances")
    assert len(there) > 60
    same = 0
    for uid, data in there.items():
        sent, stored = data_set(sender.files[uid]), data_set(data)
        assert sent[0] == stored[0]
        if sent[1] == stored[1]:
            same += 1
        else:  # it writes lengths of sequences and pixel items as it likes
            assert values(*sent) == values(*stored), uid
    assert same > len(there) * 0.6


@needs_orthanc
def test_orthanc_is_asked_and_takes_one_straight(sender: Sender, tmp_path: Path) -> None:
    port = free_port()
    config = {"DicomServerEnabled": True, "DicomPort": port, "DicomAlwaysAllowFind": True}
    with running(Orthanc(tmp_path / "orthanc", config)) as orthanc:
        entry = json.dumps(["ORTHANC", "127.0.0.1", port]).encode()
        server = sender.server
        server.request("PUT", "/modalities/orthanc", entry)
        assert server.json("POST", "/modalities/orthanc/echo", {"CheckFind": True}) == {}
        data = make_instance(5, 5, 5)
        status, answer = server.request("POST", "/modalities/orthanc/store-straight", data)
        assert (status, json.loads(answer)["SOPInstanceUID"][-6:]) == (200, ".5.5.5")
        [name] = orthanc.json("GET", "/instances")
        assert data_set(orthanc.get(f"/instances/{name}/file")[1]) == data_set(data)
        metadata = orthanc.json("GET", f"/instances/{name}/metadata?expand")
        assert (metadata["Origin"], metadata["RemoteAET"]) == ("DicomProtocol", "ORTHANC")


# --- pynetdicom --------------------------------------------------------------------------------
def check(sender: Sender, found: Archive, uids: set[str]) -> None:
    assert found.stored.keys() == uids
    for uid, stored in found.stored.items():
        assert stored == data_set(sender.files[uid]), uid


@pytest.mark.parametrize("pdu", [4096, 5001, 16_382, 65_537, 0])
def test_pynetdicom_with_pdus_of_any_length(sender: Sender, pdu: int) -> None:
    uids = {uid for uid in sender.files if uid not in sender.of_pydicom()}
    with archive(pdu) as found:
        assert sender.store(found.port, sender.many)["FailedInstancesCount"] == 0
        check(sender, found, uids)


def test_pynetdicom_takes_every_transfer_syntax(sender: Sender) -> None:
    """Also those that DCMTK does not know."""
    with archive() as found:
        content = sender.store(found.port, sender.pydicom, Permissive=True)
        known = {uid: data for uid, data in sender.of_pydicom().items() if uid in found.stored}
        for failed in content.get("FailedInstances", ()):
            assert "SOP class" in failed["Details"]
        assert len(found.stored) + content["FailedInstancesCount"] == len(sender.of_pydicom())
        check(sender, found, set(known))
        assert max(found.proposed) > 30


def test_pynetdicom_aborts_in_the_middle(sender: Sender) -> None:
    uids = {uid for uid in sender.files if uid not in sender.of_pydicom()}
    aborted = []

    def rule(event: Any, number: int) -> int:
        if number in (7, 40, 41):
            aborted.append(number)
            event.assoc.abort()
            return 0xC000
        return 0

    with archive() as found:
        found.rule = rule
        assert sender.store(found.port, sender.many)["FailedInstancesCount"] == 0
        check(sender, found, uids)
    assert aborted == [7, 40, 41]


def test_pynetdicom_is_out_of_resources_for_a_while(tmp_path: Path) -> None:
    """The job waits in Retry, and its next run sends what is left."""
    policy = {"DicomModalityStore": {"Attempts": 5, "FirstDelay": 1, "LongestDelay": 1}}
    with archive() as found:
        entry = {"there": ["ARCHIVE", "127.0.0.1", found.port]}
        config = {"DicomModalities": entry, "Wherry": {"JobRetries": policy}}
        with running(Server(tmp_path / "sender", config)) as server:
            for number in range(1, 11):
                server.request("POST", "/instances", make_instance(number=number))
            full = True
            found.rule = lambda event, number: 0xA700 if full and number > 4 else 0
            order = {"Resources": server.json("GET", "/studies"), "Synchronous": False}
            job = server.json("POST", "/modalities/there/store", order)["ID"]
            eventually(lambda: server.json("GET", f"/jobs/{job}")["State"] == "Retry")
            before = found.messages
            full = False
            assert server.wait_for_job(job)["State"] == "Success"
            assert len(found.stored) == 10
            assert found.messages - before <= 10 - 4 + 4, "what was stored is not sent again"


def test_pynetdicom_takes_one_association(sender: Sender) -> None:
    uids = {uid for uid in sender.files if uid not in sender.of_pydicom()}
    with archive(associations=1) as found:
        assert sender.store(found.port, sender.many)["FailedInstancesCount"] == 0
        check(sender, found, uids)


def test_echo_of_dcmtk(sender: Sender, tmp_path: Path) -> None:
    """That what we call is what DCMTK calls too."""
    with storescp(tmp_path / "out") as port:
        subprocess.run([tool("echoscu"), "127.0.0.1", str(port)], check=True)
        entry = {"AET": "ANY", "Host": "127.0.0.1", "Port": port}
        assert sender.server.json("POST", "/tools/dicom-echo", entry) == {}
        status, answer = sender.server.request(
            "POST", "/tools/dicom-echo", json.dumps({**entry, "CheckFind": True}).encode()
        )
        assert (status, json.loads(answer)["OrthancStatus"]) == (500, 2016)
