"""The same orders to edit to a genuine Orthanc and to Wherry: the same answers, metadata, and files
tag by tag, but for generated identifiers, of which one stands for one.

Each case begins with the same files in both. What differs on purpose is in ``docs/differences.md``.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.genuine import Orthanc, running_orthanc
from tests.support.orthanc import needs_orthanc

pytestmark = needs_orthanc

LEVELS = ("patients", "studies", "series", "instances")
ID = re.compile(r"([0-9a-f]{8}-){4}[0-9a-f]{8}")
UID = re.compile(r"[0-9]+(\.[0-9]+){2,}")
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
NAME = re.compile(r"Anonymized[0-9]+")
ADDED_LATER = {"ParentResources", "Details", "Labels"}
METHOD = 0x00120063
"""De-identification Method names the program."""


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "L", f"Meaning {value}"
    return item


def reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    return item


ROOT = "1.2.826.0.1.3680043.10.1234"
OF_A = {"InstitutionName": "Clinic", "ReferringPhysicianName": "Ref^One", "StudyID": "SID"}
"""What describes a study is the same in its instances: Orthanc and Wherry edit them in another
order, and the first one describes the new study."""
FILES = {
    "a1": make_instance(
        1,
        1,
        1,
        SpecificCharacterSet="ISO_IR 100",
        PatientComments="é",
        ProcedureCodeSequence=[code("1"), code("2")],
        ReferencedImageSequence=[reference(f"{ROOT}.1.1.2")],
        FrameOfReferenceUID=f"{ROOT}.9.9",
        PatientAge="030Y",
        **OF_A,
    ),
    "a2": make_instance(1, 1, 2, ReferencedImageSequence=[reference(f"{ROOT}.1.1.1")], **OF_A),
    "a3": make_instance(1, 2, 1, OperatorsName="Op^One", ProtocolName="P", **OF_A),
    "b1": make_instance(2, 1, 1, PatientComments="second", StudyID="B", PatientWeight="70"),
    "c1": make_instance(
        3,
        1,
        1,
        patient_id="OTHER",
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Zoé^X",
        PatientBirthDate="19800101",
        EthnicGroup="E",
    ),
}


class Asked(Protocol):
    """One of the two servers."""

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]: ...


@dataclass
class Genuine:
    server: Orthanc

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        return self.server.raw(method, path, body)


@dataclass
class Ours:
    face: Face

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        reply = self.face.request(method, path, body or b"")
        return reply.status, reply.body


@dataclass
class Told:
    """What one server says, and has, after a request."""

    status: int
    answer: Any
    resources: dict[str, dict[str, Any]]
    """Level → identifier → what is told of it."""
    files: dict[tuple[str, ...], Dataset]
    """Of new instances, by what they were made from."""


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Genuine]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield Genuine(server)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    with serving(tmp_path_factory.mktemp("wherry")) as face:
        yield Ours(face)


def get(server: Asked, path: str) -> Any:
    status, body = server.ask("GET", path)
    assert status == 200, (path, status)
    return json.loads(body)


def filled(server: Asked) -> dict[str, dict[str, str]]:
    """Empty the server, store the files; name → identifiers."""
    for patient in get(server, "/patients"):
        server.ask("DELETE", f"/patients/{patient}")
    found = {}
    for name, data in FILES.items():
        status, body = server.ask("POST", "/instances", data)
        assert status == 200
        found[name] = json.loads(body)
    return found


def names(stored: dict[str, dict[str, str]]) -> dict[str, str]:
    """Words of the orders below → identifiers: ``A1`` the instance, ``A1_SE`` its series…"""
    words = {}
    for name, answer in stored.items():
        words[name.upper()] = answer["ID"]
        for key, end in (("Series", "SE"), ("Study", "ST"), ("Patient", "P")):
            words[f"{name.upper()}_{end}"] = answer[f"Parent{key}"]
    return words


def look(server: Asked, path: str, body: Any) -> Told:
    words = names(filled(server))

    def spelt(text: str) -> str:
        return re.sub(r"\$(\w+)", lambda match: words[match[1]], text)

    data = spelt(json.dumps(body)).encode()
    status, answer = server.ask("POST", spelt(path), data)
    shown = json.loads(answer) if answer else None
    if isinstance(shown, dict) and str(shown.get("Path", "")).startswith("/jobs/"):
        shown = ended(server, shown["Path"])
    return Told(
        status, shown, {level: told_of(server, level) for level in LEVELS}, new_files(server, words)
    )


def ended(server: Asked, path: str) -> Any:
    until = time.monotonic() + 60
    while (job := get(server, path))["State"] not in ("Success", "Failure"):
        assert time.monotonic() < until
        time.sleep(0.01)  # polling another process
    return {
        name: job[name]
        for name in (
            "Content",
            "ErrorCode",
            "ErrorDetails",
            "Priority",
            "Progress",
            "State",
            "Type",
        )
    }


def told_of(server: Asked, level: str) -> dict[str, Any]:
    found = {}
    for one in get(server, f"/{level}"):
        metadata = get(server, f"/{level}/{one}/metadata?expand")
        tags = get(server, f"/{level}/{one}")["MainDicomTags"]
        kept = ("ModifiedFrom", "AnonymizedFrom", "Origin", "RemoteIP", "HttpUsername")
        found[one] = {"tags": tags} | {name: metadata.get(name) for name in kept}
    return found


def new_files(server: Asked, words: dict[str, str]) -> dict[tuple[str, ...], Dataset]:
    """What was not there, by the place in the study and what else tells it from others."""
    known = set(words.values())
    found = {}
    for one in get(server, "/instances"):
        if one in known:
            continue
        metadata = get(server, f"/instances/{one}/metadata?expand")
        origin = metadata.get("ModifiedFrom") or metadata.get("AnonymizedFrom") or ""
        dataset = pydicom.dcmread(io.BytesIO(server.ask("GET", f"/instances/{one}/file")[1]))
        key = (origin, str(dataset.SeriesNumber), str(dataset.InstanceNumber), uids_of(dataset))
        assert key not in found
        found[key] = dataset
    return found


def uids_of(dataset: Dataset) -> str:
    """Of a merge: what tells sources apart that have the same numbers."""
    return str(dataset.get("PatientWeight", ""))


class Mapping:
    """Of identifiers that were generated, one stands for one."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._here: dict[str, str] = {}

    def same(self, there: str, here: str) -> bool:
        if there == here:
            return True
        for kind in (ID, UID, UUID, NAME):
            if kind.fullmatch(there) and kind.fullmatch(here):
                first = self._there.setdefault(there, here) == here
                return self._here.setdefault(here, there) == there and first
        return False

    def translated(self, value: Any) -> Any:
        """What is told there, as it would be told here."""
        if isinstance(value, dict):
            return {name: self.translated(one) for name, one in value.items()}
        return self._there.get(value, value) if isinstance(value, str) else value


def compare(mapping: Mapping, there: Any, here: Any, place: str, found: list[str]) -> None:
    """Note what differs."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(set(there) | set(here)):
            if name in there and name in here:
                compare(mapping, there[name], here[name], f"{place}/{name}", found)
            elif not (name in here and name in ADDED_LATER):
                found.append(f"{place}/{name}: only {'there' if name in there else 'here'}")
    elif isinstance(there, list) and isinstance(here, list):
        if len(there) != len(here):
            found.append(f"{place}: {len(there)} there, {len(here)} here")
        for number, (one, other) in enumerate(zip(there, here, strict=False)):
            compare(mapping, one, other, f"{place}/{number}", found)
    elif isinstance(there, str) and isinstance(here, str):
        if not mapping.same(there, here) and not same_with_ids(mapping, there, here):
            found.append(f"{place}: {there!r} there, {here!r} here")
    elif there != here:
        found.append(f"{place}: {there!r} there, {here!r} here")


def same_with_ids(mapping: Mapping, there: str, here: str) -> bool:
    """Texts that have identifiers in them."""
    ids = [one.group() for one in ID.finditer(there)], [one.group() for one in ID.finditer(here)]
    bare = ID.sub("*", there) == ID.sub("*", here)
    return bare and bool(ids[0]) and all(map(mapping.same, *ids))


def compare_files(
    mapping: Mapping, there: Dataset, here: Dataset, place: str, found: list[str]
) -> None:
    for name in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
        if name in there.get("file_meta", {}):
            one, other = (str(side.file_meta[name].value) for side in (there, here))
            if not mapping.same(one, other):
                found.append(f"{place} {name}: {one} there, {other} here")
    tags = {one.tag for one in there} | {one.tag for one in here}
    for tag in sorted(tags - {METHOD}):
        label = f"{place} {tag}"
        if tag not in there or tag not in here:
            found.append(f"{label}: only {'there' if tag in there else 'here'}")
            continue
        one, other = there[tag], here[tag]
        if one.VR == "SQ":
            if len(one.value) != len(other.value):
                found.append(f"{label}: {len(one.value)} items there, {len(other.value)} here")
            for number, items in enumerate(zip(one.value, other.value, strict=False)):
                compare_files(mapping, *items, f"{label}[{number}]", found)
        elif one.VR != other.VR or not mapping.same(str(one.value), str(other.value)):
            found.append(f"{label}: {one.value!r} there, {other.value!r} here")


def sorted_answer(answer: Any) -> Any:
    """Lists whose order is free, by kind."""
    if isinstance(answer, dict) and "Resources" in answer:
        kinds = [one["Type"] for one in answer["Resources"]]
        assert kinds == sorted(kinds, key=["Instance", "Series", "Study", "Patient"].index)
        return {**answer, "Resources": sorted(kinds)}
    return answer


CASES: dict[str, tuple[str, Any]] = {
    "modify a study": ("/studies/$A1_ST/modify", {"Replace": {"StudyDescription": "New"}}),
    "modify a study, remove": (
        "/studies/$A1_ST/modify",
        {"Remove": ["InstitutionName", "AccessionNumber"], "RemovePrivateTags": True},
    ),
    "modify a study without its source": (
        "/studies/$A1_ST/modify",
        {"Replace": {"StudyDescription": "New"}, "KeepSource": False},
    ),
    "modify a study, a job": (
        "/studies/$A1_ST/modify",
        {"Replace": {"StudyDescription": "New"}, "Synchronous": False, "Priority": 3},
    ),
    "modify nothing": ("/studies/$A1_ST/modify", {}),
    "modify a series": ("/series/$A1_SE/modify", {"Replace": {"SeriesDescription": "ü"}}),
    "modify a patient tag at a series": (
        "/series/$A1_SE/modify",
        {"Replace": {"PatientName": "Con^Flict"}, "KeepSource": False},
    ),
    "replace a sequence": (
        "/series/$A1_SE/modify",
        {
            "Replace": {
                "ProcedureCodeSequence": [
                    {"CodeValue": "9", "CodingSchemeDesignator": "X", "CodeMeaning": "Nine"}
                ]
            }
        },
    ),
    "replace inside a sequence": (
        "/series/$A1_SE/modify",
        {"Replace": {"ProcedureCodeSequence[*].CodeMeaning": "other"}},
    ),
    "remove inside a sequence": (
        "/studies/$A1_ST/modify",
        {"Remove": ["ProcedureCodeSequence[0].CodeMeaning"]},
    ),
    "modify a patient": (
        "/patients/$A1_P/modify",
        {"Replace": {"PatientID": "NEW", "PatientName": "New^Name"}, "Force": True},
    ),
    "a patient becomes another": (
        "/patients/$A1_P/modify",
        {"Replace": {"PatientID": "OTHER"}, "Force": True, "KeepSource": False},
    ),
    "modify a patient without an identifier": (
        "/patients/$A1_P/modify",
        {"Replace": {"PatientName": "New^Name"}},
    ),
    "keep the study": (
        "/studies/$A1_ST/modify",
        {
            "Keep": ["StudyInstanceUID"],
            "Replace": {"StudyDescription": "New"},
            "Force": True,
            "KeepSource": False,
        },
    ),
    "keep study and series": (
        "/studies/$A1_ST/modify",
        {"Keep": ["StudyInstanceUID", "SeriesInstanceUID"], "Force": True},
    ),
    "choose the study": (
        "/studies/$A1_ST/modify",
        {"Replace": {"StudyInstanceUID": "1.2.3.4.5"}, "Force": True},
    ),
    "choose the study without force": (
        "/studies/$A1_ST/modify",
        {"Replace": {"StudyInstanceUID": "1.2.3.4.5"}},
    ),
    "choose one instance for all": (
        "/series/$A3_SE/modify",
        {"Replace": {"SOPInstanceUID": "1.2.3.4.5"}, "Force": True},
    ),
    "modify an unknown series": ("/series/nope/modify", {}),
    "modify, an unknown tag": ("/series/nope/modify", {"Replace": {"Nope": "x"}}),
    "modify, no object": ("/series/$A1_SE/modify", []),
    "modify, a wrong kind": ("/series/$A1_SE/modify", {"KeepSource": "x"}),
    "modify, wrong again": ("/series/$A1_SE/modify", {"Synchronous": 1}),
    "modify, an unknown syntax": ("/series/$A1_SE/modify", {"Transcode": "1.2.3"}),
    "anonymize a study": ("/studies/$A1_ST/anonymize", {}),
    "anonymize a study by 2008": ("/studies/$A1_ST/anonymize", {"DicomVersion": "2008"}),
    "anonymize a study, options": (
        "/studies/$A1_ST/anonymize",
        {
            "Replace": {"PatientName": "Some^One", "PatientID": "X1"},
            "Keep": ["StudyDescription", "SeriesDescription"],
            "KeepPrivateTags": True,
            "DicomVersion": "2017c",
            "Force": True,
        },
    ),
    "anonymize a series without its source": (
        "/series/$A1_SE/anonymize",
        {"KeepSource": False},
    ),
    "anonymize a patient, a job": ("/patients/$A1_P/anonymize", {"Asynchronous": True}),
    "anonymize by an unknown version": ("/studies/$A1_ST/anonymize", {"DicomVersion": "1999"}),
    "bulk modify": (
        "/tools/bulk-modify",
        {"Resources": ["$A1", "$A3_SE"], "Replace": {"SeriesDescription": "New"}},
    ),
    "bulk modify studies": (
        "/tools/bulk-modify",
        {
            "Resources": ["$A1_ST", "$C1"],
            "Level": "Study",
            "Replace": {"StudyDescription": "New"},
            "KeepSource": False,
        },
    ),
    "bulk modify patients": (
        "/tools/bulk-modify",
        {
            "Resources": ["$A1_P"],
            "Level": "Patient",
            "Replace": {"PatientID": "BULK"},
            "Force": True,
        },
    ),
    "bulk modify, an unknown level": (
        "/tools/bulk-modify",
        {"Resources": ["$A1"], "Level": "Nope"},
    ),
    "bulk modify, an unknown resource": ("/tools/bulk-modify", {"Resources": ["nope"]}),
    "bulk modify, no resources": ("/tools/bulk-modify", {}),
    "bulk anonymize": ("/tools/bulk-anonymize", {"Resources": ["$A1_ST", "$C1_SE"]}),
    "bulk anonymize nothing": ("/tools/bulk-anonymize", {"Resources": []}),
    "split a series": ("/studies/$A1_ST/split", {"Series": ["$A1_SE"]}),
    "split, options": (
        "/studies/$A1_ST/split",
        {
            "Series": ["$A1_SE"],
            "Replace": {"PatientComments": "new", "PatientID": "SPLIT"},
            "Remove": ["AccessionNumber"],
            "KeepSource": True,
        },
    ),
    "split an instance, a job": (
        "/studies/$A1_ST/split",
        {"Instances": ["$A2"], "Asynchronous": True},
    ),
    "split nothing": ("/studies/$A1_ST/split", {}),
    "split an unknown study": ("/studies/nope/split", {"Series": []}),
    "split what is elsewhere": ("/studies/$A1_ST/split", {"Series": ["$C1_SE"]}),
    "split an instance of another": ("/studies/$A1_ST/split", {"Instances": ["$C1"]}),
    "split what is unknown": ("/studies/$A1_ST/split", {"Instances": ["nope"]}),
    "split, another module": (
        "/studies/$A1_ST/split",
        {"Series": ["$A1_SE"], "Remove": ["SeriesDescription"]},
    ),
    "split, not a text": (
        "/studies/$A1_ST/split",
        {"Series": ["$A1_SE"], "Replace": {"PatientComments": 5}},
    ),
    "split, not a list": ("/studies/$A1_ST/split", {"Series": "$A1_SE"}),
    "merge a study": ("/studies/$B1_ST/merge", {"Resources": ["$C1_ST"]}),
    "merge, keep the source": (
        "/studies/$B1_ST/merge",
        {"Resources": ["$A3_SE"], "KeepSource": True},
    ),
    "merge an instance, a job": (
        "/studies/$B1_ST/merge",
        {"Resources": ["$A1"], "Asynchronous": True},
    ),
    "merge nothing": ("/studies/$B1_ST/merge", {"Resources": []}),
    "merge into an unknown study": ("/studies/nope/merge", {"Resources": []}),
    "merge with itself": ("/studies/$B1_ST/merge", {"Resources": ["$B1_ST"]}),
    "merge its own series": ("/studies/$B1_ST/merge", {"Resources": ["$B1_SE"]}),
    "merge its own instance": ("/studies/$B1_ST/merge", {"Resources": ["$B1"]}),
    "merge a patient": ("/studies/$B1_ST/merge", {"Resources": ["$C1_P"]}),
    "merge what is unknown": ("/studies/$B1_ST/merge", {"Resources": ["nope"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_comes_of_it(genuine: Genuine, ours: Ours, case: str) -> None:
    path, body = CASES[case]
    there, here = look(genuine, path, body), look(ours, path, body)
    found: list[str] = []
    mapping = Mapping()
    assert here.status == there.status, (there.answer, here.answer)
    assert {k: len(v) for k, v in here.resources.items()} == {
        k: len(v) for k, v in there.resources.items()
    }
    assert [*map(str, sorted(here.files))] == [*map(str, sorted(there.files))]
    for key, dataset in there.files.items():
        compare_files(mapping, dataset, here.files[key], "-".join(key), found)
    compare(mapping, sorted_answer(there.answer), sorted_answer(here.answer), "answer", found)
    for level in LEVELS:
        told = [mapping.translated(one) for one in there.resources[level].values()]
        mine = [*here.resources[level].values()]
        found += [f"{level} there: {one}" for one in told if one not in mine]
        found += [f"{level} here: {one}" for one in mine if one not in told]
    assert found == []
