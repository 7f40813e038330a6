"""Storage commitment between Wherry and the genuine Orthanc, in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.jobs import eventually
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, free_port, running

pytestmark = needs_orthanc

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ROOT = "1.2.826.0.1.3680043.10.1234.1.1"


@dataclass
class Pair:
    """Who asks, and who is asked."""

    asking: Server
    asked: Server

    def upload(self, number: int, *servers: Server) -> str:
        """The Orthanc identifier of an instance that these have then."""
        found = ""
        for server in servers:
            status, answer = server.request("POST", "/instances", make_instance(number=number))
            assert status == 200, answer
            found = json.loads(answer)["ID"]
        return found

    def commit(self, **body: Any) -> dict[str, Any]:
        """Ask, and wait for the report."""
        path = self.asking.json("POST", "/modalities/other/storage-commitment", body)["Path"]
        found: dict[str, Any] = {}

        def told() -> bool:
            found.update(self.asking.json("GET", path))
            return bool(found["Status"] != "Pending")

        eventually(told, "the report")
        return {**found, "Path": path}


@contextmanager
def pair(folder: Path, asking: type[Server], asked: type[Server], **more: Any) -> Iterator[Pair]:
    """Two servers that know each other; ``more`` settings are for the one that is asked."""
    ports = free_port(), free_port()

    def config(mine: int) -> dict[str, Any]:
        titles = "ASKING", "ASKED"
        return {
            "DicomServerEnabled": True,
            "DicomPort": ports[mine],
            "DicomAet": titles[mine],
            "DicomModalities": {"other": [titles[1 - mine], "127.0.0.1", ports[1 - mine]]},
        }

    with (
        running(asking(folder / "asking", config(0))) as first,
        running(asked(folder / "asked", {**config(1), **more})) as second,
    ):
        yield Pair(first, second)


def reasons(report: dict[str, Any]) -> dict[str, int]:
    return {one["SOPInstanceUID"]: one["FailureReason"] for one in report["Failures"]}


WAYS = pytest.mark.parametrize(
    ("asking", "asked"),
    [(Server, Orthanc), (Orthanc, Server), (Orthanc, Orthanc)],
    ids=["wherry asks", "orthanc asks", "orthanc alone"],
)


@WAYS
def test_the_same_reports_whoever_asks(
    tmp_path: Path, asking: type[Server], asked: type[Server]
) -> None:
    """Success, an unknown instance, a wrong class, an empty request; then the removal."""
    with pair(tmp_path, asking, asked) as both:
        there = both.upload(1, both.asked, both.asking)
        nowhere = both.upload(2, both.asking)
        series = both.asking.json("GET", f"/instances/{nowhere}")["ParentSeries"]

        report = both.commit(Resources=[series])
        assert (report["Status"], report["RemoteAET"]) == ("Failure", "ASKED")
        assert report["Success"] == [{"SOPClassUID": CT, "SOPInstanceUID": f"{ROOT}.1"}]
        [failure] = report["Failures"]
        assert failure == {
            "SOPClassUID": CT,
            "SOPInstanceUID": f"{ROOT}.2",
            "FailureReason": 0x0112,
            "Description": "One or more of the elements in the Referenced SOP Instance Sequence"
            " was not available",
        }
        refused = both.asking.request("POST", f"{report['Path']}/remove")
        assert (refused[0], json.loads(refused[1])["OrthancStatus"]) == (500, 6)

        report = both.commit(DicomInstances=[[MR, f"{ROOT}.1"], [CT, "1.2.3"]])
        assert reasons(report) == {f"{ROOT}.1": 0x0119, "1.2.3": 0x0112}

        report = both.commit(Resources=[])
        assert (report["Status"], report["Success"], report["Failures"]) == ("Success", [], [])

        report = both.commit(Resources=[there])
        assert (report["Status"], report["Failures"]) == ("Success", [])
        assert both.asking.request("POST", f"{report['Path']}/remove") == (200, b"{}")
        assert both.asking.json("GET", "/instances") == [nowhere]
        assert both.asked.json("GET", "/instances") == [there]


def test_orthanc_hears_of_a_flipped_byte(tmp_path: Path) -> None:
    """Issue "Must show" 6."""
    with pair(tmp_path, Orthanc, Server) as both:
        ids = [both.upload(number, both.asked, both.asking) for number in (1, 2, 3)]
        assert both.commit(Resources=ids)["Status"] == "Success"
        name = both.asked.json("GET", f"/instances/{ids[1]}")["FileUuid"]
        path = both.asked.storage / name[:2] / name[2:4] / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x01
        path.write_bytes(data)
        report = both.commit(Resources=ids)
        assert report["Status"] == "Failure"
        assert reasons(report) == {f"{ROOT}.2": 0x0110}
        assert len(report["Success"]) == 2
        path.unlink()
        assert reasons(both.commit(Resources=ids)) == {f"{ROOT}.2": 0x0112}


def test_orthanc_hears_of_a_thousand_instances(tmp_path: Path) -> None:
    with pair(tmp_path, Orthanc, Server) as both:
        for number in range(1, 1001):
            both.upload(number, both.asked)
        names = [[CT, f"{ROOT}.{number}"] for number in range(1, 1002)]
        report = both.commit(DicomInstances=names)
        assert len(report["Success"]) == 1000
        assert reasons(report) == {f"{ROOT}.1001": 0x0112}


@pytest.mark.parametrize(
    ("asking", "asked"), [(Server, Orthanc), (Orthanc, Server)], ids=["wherry", "orthanc"]
)
def test_a_modality_that_may_not(tmp_path: Path, asking: type[Server], asked: type[Server]) -> None:
    nobody: dict[str, Any] = {"DicomModalities": {}}
    with pair(tmp_path, asking, asked, **nobody) as both:
        body = json.dumps({"DicomInstances": [[CT, "1.2.3"]]}).encode()
        status, answer = both.asking.request("POST", "/modalities/other/storage-commitment", body)
        assert status == 500
        assert json.loads(answer)["OrthancStatus"] in (9, 2015)  # as it was refused, so it says
        assert both.asked.json("GET", "/jobs") == []
