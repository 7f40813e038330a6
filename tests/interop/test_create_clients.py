"""What the Orthanc Book prints about ``/tools/create-dicom``, and what the client libraries do with
it, against a running Wherry."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from orthanc_api_client import OrthancApiClient
from PIL import Image
from pydicom import Dataset, dcmread

from tests.support.creating import COLOUR, GREY, data_uri, file_of, mp4, mpeg2, pdf, picture, png
from tests.support.dicom_files import make_instance
from tests.support.server import Server, running

with warnings.catch_warnings(action="ignore"):
    import pyorthanc

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 400 + b"\n%%EOF"
PRINTED = "http://localhost:8042"
STUDY = "b6e8436b-c5835b7b-cecc9576-0483e165-ab5c710b"

BASH = r"""
# create the json data, with the BASE64 data embedded in it
(echo -n '{"Parent": "b6e8436b-c5835b7b-cecc9576-0483e165-ab5c710b", "Tags" : {"Modality" : "CT"}, "Content" : "data:application/pdf;base64,'; base64 HelloWorld2.pdf; echo '"}') > /tmp/foo

# upload it to Orthanc
cat /tmp/foo | curl -H "Content-Type: application/json" -d @- http://localhost:8042/tools/create-dicom
"""  # noqa: E501  as it is printed
BASH_ALONE = r"""
(echo -n '{"Tags" : {"PatientName" : "Benjamino", "Modality" : "CT"},"Content" : "data:application/pdf;base64,'; base64 HelloWorld2.pdf; echo '"}') > /tmp/foo
cat /tmp/foo | curl -H "Content-Type: application/json" -d @- http://localhost:8042/tools/create-dicom
"""  # noqa: E501
PYTHON = r"""
import base64
import json
import requests

with open('sample.png', 'rb') as f:
    content = f.read()

pixelData = base64.b64encode(content).decode('ascii')

r = requests.post('http://localhost:8042/tools/create-dicom',
                  json.dumps({
                      'Content' : 'data:image/png;base64,%s' % pixelData,
                      'Tags' : {
                          'PatientName' : 'TEST',
                          'StudyDescription' : 'MY^STUDY',
                      }
                  }),
                  auth = requests.auth.HTTPBasicAuth('orthanc', 'orthanc'))
r.raise_for_status()

instanceId = r.json() ['ID']
print('ID of the newly created DICOM instance: %s' % instanceId)
"""
OWN = {
    "0405,0010": ["LO", "PrivateCreatorForMyCompany", 1, 1, "My Company"],
    "0405,1001": ["ST", "MyPrivateXMLTag", 1, 1, "My Company"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("wherry"), {"Dictionary": OWN})) as started:
        yield started


def study(server: Server) -> str:
    """A study to attach something to."""
    return str(json.loads(server.request("POST", "/instances", make_instance())[1])["ParentStudy"])


def bash(server: Server, folder: Path, script: str) -> dict[str, str]:
    """Run it, with nothing changed but the address, the study and the place of its own file."""
    (folder / "HelloWorld2.pdf").write_bytes(PDF)
    script = script.replace(PRINTED, server.url).replace("/tmp/foo", str(folder / "foo"))
    done = subprocess.run(["bash", "-ec", script], cwd=folder, capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def file(server: Server, instance: str) -> Dataset:
    return dcmread(io.BytesIO(server.get(f"/instances/{instance}/file")[1]))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_bash(server: Server, tmp_path: Path) -> None:
    parent = study(server)
    made = bash(server, tmp_path, BASH.replace(STUDY, parent))
    assert made["ParentStudy"] == parent
    assert server.get(f"/instances/{made['ID']}/pdf") == (200, PDF)
    found = file(server, made["ID"])
    assert (found.Modality, str(found.PatientName)) == ("CT", "Doe^Jane")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_bash_without_a_parent(server: Server, tmp_path: Path) -> None:
    made = bash(server, tmp_path, BASH_ALONE)
    assert server.get(f"/instances/{made['ID']}/pdf") == (200, PDF)
    assert str(file(server, made["ID"]).PatientName) == "Benjamino"


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_what_the_script_of_powershell_sends(server: Server, line_end: str) -> None:
    """``ConvertTo-Json`` of a table with these members, sent by ``Invoke-RestMethod``: indented,
    with the line ends of its system, and with what it escapes."""
    parent = study(server)
    members = {
        "Parent": parent,
        "Tags": {"Modality": "CT", "SeriesDescription": "O'Neill <PDF> & co"},
        "Content": "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
    }
    text = json.dumps(members, indent=4)
    for plain, escaped in (("'", "\\u0027"), ("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(plain, escaped)
    reply = httpx.post(
        server.url + "/tools/create-dicom",
        content=text.replace("\n", line_end).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code == 200
    assert server.get(reply.json()["Path"] + "/pdf") == (200, PDF)
    assert file(server, reply.json()["ID"]).SeriesDescription == "O'Neill <PDF> & co"


def test_image_dicomization(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sample.png").write_bytes(picture(GREY))
    script = PYTHON.replace(PRINTED, server.url)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    found = file(server, done.stdout.split()[-1])
    assert (found.pixel_array == GREY).all()
    assert (str(found.PatientName), found.StudyDescription) == ("TEST", "MY^STUDY")


def test_private_tags(server: Server) -> None:
    body = {
        "PrivateCreator": "My Company",
        "Tags": {
            "PatientName": "Love^Sarah",
            "PatientID": "7",
            "PrivateCreatorForMyCompany": "My Company",
            "MyPrivateXMLTag": "<xml><test>Testing</test></xml>",
        },
    }
    found = dcmread(io.BytesIO(file_of(server.url, body)))
    assert found.private_block(0x0405, "My Company")[1].value == "<xml><test>Testing</test></xml>"
    assert found[0x04051001].VR == "ST"


# --- orthanc-api-client --------------------------------------------------------------------------
def test_orthanc_api_client(server: Server, tmp_path: Path) -> None:
    client = OrthancApiClient(server.url)
    paths = {name: tmp_path / name for name in ("a.pdf", "a.png", "a.jpg")}
    for path, data in zip(
        paths.values(), (PDF, picture(GREY), picture(COLOUR, "jpeg")), strict=True
    ):
        path.write_bytes(data)
    tags = {"PatientID": "1234", "PatientName": "Toto", "StudyDescription": "test"}
    instance = client.create_pdf(str(paths["a.pdf"]), dict(tags))
    assert client.instances.get_tags(instance)["PatientName"] == "Toto"
    assert server.get(f"/instances/{instance}/pdf") == (200, PDF)
    parent = client.instances.get_parent_study_id(instance)
    other = client.studies.attach_pdf(parent, str(paths["a.pdf"]), "a report")
    assert client.instances.get_parent_study_id(other) == parent
    assert set(client.studies.get_pdf_instances(parent)) == {instance, other}
    png_instance = client.create_instance_from_png(str(paths["a.png"]), dict(tags))
    assert (file(server, png_instance).pixel_array == GREY).all()
    jpeg_instance = client.create_instance_from_jpeg(str(paths["a.jpg"]), dict(tags))
    assert file(server, jpeg_instance).SOPClassUID == "1.2.840.10008.5.1.4.1.1.1"


# --- pyorthanc -----------------------------------------------------------------------------------
def test_pyorthanc(server: Server) -> None:
    client = pyorthanc.Orthanc(server.url)
    made = client.post_tools_create_dicom(
        {"Tags": {"PatientID": "py"}, "Content": [png(GREY), {"Content": png(COLOUR)}]}
    )
    series = pyorthanc.Series(made["ID"], client)
    assert len(series.instances) == 2
    assert series.parent_patient.patient_id == "py"
    made = client.post_tools_create_dicom(
        {"Parent": series.parent_study.id_, "Tags": {}, "Content": pdf(PDF)}
    )
    assert client.get_instances_id_pdf(made["ID"]) == PDF
    client.close()


# --- other readers -------------------------------------------------------------------------------
KINDS = {
    "tags": {"Tags": {"PatientName": "Ω", "ProcedureCodeSequence": [{"CodeValue": "1"}]}},
    "grey": {"Tags": {}, "Content": png(GREY)},
    "colours": {"Tags": {}, "Content": png(COLOUR)},
    "JPEG kept": {
        "Tags": {},
        "Content": data_uri("image/jpeg", picture(COLOUR, "jpeg")),
        "Encapsulate": True,
    },
    "PDF": {"Tags": {}, "Content": pdf(PDF)},
    "STL": {"Tags": {}, "Content": data_uri("model/stl", b"solid x\nendsolid x")},
    "MP4": {"Tags": {}, "Content": data_uri("video/mp4", mp4(pictures=b"odd"))},
    "MPEG-2": {"Tags": {}, "Content": data_uri("video/mpeg", mpeg2())},
}


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="there is no DCMTK")
@pytest.mark.parametrize("kind", KINDS)
def test_dcmtk_reads_it(server: Server, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(file_of(server.url, KINDS[kind]))
    assert clean("dcmdump", "-v", "+fo", str(path))
    if kind in ("grey", "colours", "JPEG kept"):
        command = ["dcmj2pnm", "--write-png", str(path), str(tmp_path / "x.png")]
        subprocess.run(command, check=True, capture_output=True)
        shown = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"))
        wanted = GREY[:, :, None] if kind == "grey" else COLOUR
        assert np.abs(shown.astype(int) - wanted).max() <= (200 if kind == "JPEG kept" else 0)
    if kind == "PDF":
        subprocess.run(["dcm2pdf", str(path), str(tmp_path / "x.pdf")], check=True)
        assert (tmp_path / "x.pdf").read_bytes().rstrip(b"\0") == PDF


def clean(*command: str) -> bool:
    """Whether a tool of DCMTK has nothing to say against a file."""
    done = subprocess.run(command, capture_output=True, check=True, text=True, errors="replace")
    return not any(line.startswith(("W:", "E:", "F:")) for line in done.stderr.splitlines())
