"""The same queries to Debian's Orthanc and to Wherry, over the same files: the same answers.

Answers are compared as a set of data sets. What differs on purpose is in ``find_differences.json``
beside this file: a reason, the queries, and the differences, as regular expressions.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE

from tests.interop.find_store import FILES, ROOT, SR, item
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, free_port, running
from wherry.dimse.question import PATIENT_ROOT, STUDY_ROOT

pytestmark = needs_orthanc

DIFFERENCES = json.loads(Path(__file__).with_name("find_differences.json").read_text())
UNIQUE = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


@dataclass(frozen=True)
class Query:
    """One of them; its unique key is always asked for."""

    name: str
    level: str
    values: dict[str, Any] = field(default_factory=dict)
    charset: str | list[str] = ""
    model: str = STUDY_ROOT
    private: tuple[tuple[int, str, str], ...] = ()

    @property
    def unique(self) -> str:
        return UNIQUE.get(self.level.strip().upper(), "SOPInstanceUID")

    def identifier(self) -> Dataset:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what asks for ranges or stars is no value of its VR
            found = item(QueryRetrieveLevel=self.level, **{self.unique: ""} | self.values)
            if self.charset:
                found.SpecificCharacterSet = self.charset
            for tag, vr, text in self.private:
                found.add_new(tag, vr, text)
        return found


def study(name: str, charset: str | list[str] = "", **values: Any) -> Query:
    return Query(name, "STUDY", values, charset)


def patient(name: str, **values: Any) -> Query:
    return Query(name, "PATIENT", values, model=PATIENT_ROOT)


def series(name: str, **values: Any) -> Query:
    return Query(name, "SERIES", values)


def image(name: str, **values: Any) -> Query:
    return Query(name, "IMAGE", values)


WHAT_IS_USUAL = dict.fromkeys(
    (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "",
)
FIRST = f"{ROOT}1"

QUERIES = [
    # what is answered
    study("everything of studies", **WHAT_IS_USUAL),
    study("everything in the set of the query", "ISO_IR 192", **WHAT_IS_USUAL),
    patient(
        "everything of patients",
        PatientName="",
        PatientBirthDate="",
        PatientSex="",
        OtherPatientIDs="",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    ),
    series(
        "everything of series",
        StudyInstanceUID="",
        PatientName="",
        Modality="",
        SeriesNumber="",
        SeriesDescription="",
        SeriesDate="",
        SeriesTime="",
        BodyPartExamined="",
        StationName="",
        ProtocolName="",
        OperatorsName="",
        NumberOfSeriesRelatedInstances="",
    ),
    image(
        "everything of images",
        StudyInstanceUID="",
        SeriesInstanceUID="",
        InstanceNumber="",
        SOPClassUID="",
        NumberOfFrames="",
        ImageComments="",
    ),
    image("tags of files", SeriesInstanceUID=f"{FIRST}.1", ImageType="", SliceThickness=""),
    image("numbers of files", SeriesInstanceUID=f"{FIRST}.1", Rows="", Columns=""),
    study("tags of the first file", StudyInstanceUID=FIRST, ImageType="", ContentDate=""),
    study("SOP classes", SOPClassesInStudy=""),
    study("availability", StudyInstanceUID=FIRST, InstanceAvailability="", RetrieveAETitle=""),
    study("counts of levels above", StudyInstanceUID=FIRST, NumberOfPatientRelatedStudies=""),
    study("a tag of the series", StudyInstanceUID=FIRST, Modality=""),
    study("a tag that nobody has", PatientComments=""),
    series("a sequence", StudyInstanceUID=FIRST, RequestAttributesSequence=[]),
    series("a sequence that nobody has", StudyInstanceUID=FIRST, ProcedureCodeSequence=[]),
    Query(
        "a private tag",
        "SERIES",
        {"StudyInstanceUID": FIRST},
        private=((0x00290010, "LO", "ACME"), (0x00291008, "LO", "")),
    ),
    # levels
    study("no condition"),
    Query("the level in lower case", "study"),
    Query("images as instances", "INSTANCE"),
    Query("patients in study root", "PATIENT", {"PatientName": ""}),
    Query("studies in patient root", "STUDY", {"PatientID": "PAT1"}, model=PATIENT_ROOT),
    Query("no such level", "FOO"),
    series("series of a study", StudyInstanceUID=FIRST),
    image("images of a series", StudyInstanceUID=FIRST, SeriesInstanceUID=f"{FIRST}.1"),
    series("by a tag of the patient", PatientName="doe*"),
    image("by a tag of the study", AccessionNumber="ACC1"),
    patient("by a tag of the study from above", StudyDate="20250615"),
    study("by a tag of the series from above", Modality="MR"),
    # single values
    study("a name", PatientName="Doe^Jane"),
    study("a name in capitals", PatientName="DOE^JANE"),
    study("a part of a name", PatientName="Doe"),
    study("a name with nothing behind it", PatientName="Doe^Jane^^^"),
    study("a name without its end", PatientName="Doe^Jack^^Dr"),
    study("one spelling of a name", PatientName="Yamada^Tarou"),
    study("the identifier of a patient", PatientID="PAT1"),
    study("its case", PatientID="pat1"),
    study("its spaces", PatientID=" PAT1"),
    study("the case of a description", StudyDescription="head mr"),
    study("an accession number", AccessionNumber="ACC9"),
    study("the sex", PatientSex="M"),
    study("a date", StudyDate="20260102"),
    study("a date of ACR-NEMA", StudyDate="2024.02.29"),
    study("a date as it should be", StudyDate="20240229"),
    study("a time", StudyTime="101112"),
    study("a time without seconds", StudyTime="0930"),
    series("a number", StudyInstanceUID=FIRST, SeriesNumber="2"),
    image("a number of an image", InstanceNumber="2"),
    image("a class", SOPClassUID=SR),
    series("one of several values", OperatorsName="One^Op"),
    study("one of several values in a file", ImageType="AXIAL"),
    # character sets
    study("Latin 1", "ISO_IR 100", PatientName="Müller^Jürgen"),
    study("Latin 1 as UTF-8, other case", "ISO_IR 192", PatientName="MÜLLER^JÜRGEN"),
    study("without the accent", PatientName="Muller*"),
    study("French", "ISO_IR 192", PatientName="émile*"),
    study("Cyrillic", "ISO_IR 144", PatientName="Люк*"),
    study("Greek", "ISO_IR 192", PatientName="Διονυσιος"),
    study("Kanji", ["", "ISO 2022 IR 87"], PatientName="*山田*"),
    study("Chinese", "GB18030", PatientName="*小东"),
    study("a letter for any", "ISO_IR 192", PatientName="M?ller*"),
    study("a description", "ISO_IR 100", StudyDescription="Sch?del"),
    # lists
    study("a list of UIDs", StudyInstanceUID=[f"{ROOT}1", f"{ROOT}3", f"{ROOT}99"]),
    study("a list of identifiers", PatientID=["PAT1", "pat2", "nobody"]),
    study("modalities in a list", ModalitiesInStudy=["SR", "MR"]),
    # wildcards
    study("a star", PatientName="*"),
    study("a star where nothing is", AccessionNumber="*"),
    study("a star at the end", PatientName="Smith*"),
    study("stars around", StudyDescription="*a*"),
    study("question marks", PatientID="PAT?"),
    study("a star that is meant", AccessionNumber="ACC*"),
    study("a star in a date", StudyDate="2026*"),
    study("a star for a date", StudyDate="*"),
    study("a star in a UID", StudyInstanceUID="1.2.826*"),
    series("a star in a code", BodyPartExamined="H*"),
    # ranges
    study("from a date", StudyDate="20260101-"),
    study("to a date", StudyDate="-20000101"),
    study("between dates", StudyDate="19991231-20250615"),
    study("a range that is none", StudyDate="20260103-20260101"),
    study("between years", StudyDate="1999-2000"),
    study("between birthdays", PatientBirthDate="19600101-19800101"),
    study("between times", StudyTime="093000-101112"),
    study("between hours", StudyTime="09-10"),
    study("date and time", StudyDate="20260101-20260103", StudyTime="100000-110000"),
    # what is computed
    study("a modality in the study", ModalitiesInStudy="SR"),
    study("a modality that is nowhere", ModalitiesInStudy="US"),
    study("a modality with a star", ModalitiesInStudy="C*"),
    series("series of studies with a modality", ModalitiesInStudy="SR"),
    study("a count", NumberOfStudyRelatedSeries="2"),
    study("a SOP class in the study", SOPClassesInStudy=SR),
    # sequences and private tags
    series(
        "an item of a sequence",
        RequestAttributesSequence=[item(ScheduledProcedureStepID="SPS2")],
    ),
    series(
        "keys of an item",
        StudyInstanceUID=FIRST,
        RequestAttributesSequence=[item(ScheduledProcedureStepID="")],
    ),
    Query(
        "the value of a private tag",
        "SERIES",
        private=((0x00290010, "LO", "ACME"), (0x00291008, "LO", "secret")),
    ),
    # several conditions
    study("name and date", PatientName="doe*", StudyDate="20260101-"),
    study("name, sex and modality", PatientName="d*", PatientSex="F", ModalitiesInStudy="CT"),
    study("of another time zone", PatientID="PAT1", TimezoneOffsetFromUTC="+0100"),
]


def configuration(port: int) -> dict[str, Any]:
    return {"DicomServerEnabled": True, "DicomPort": port, "DicomAlwaysAllowFind": True}


@dataclass
class Both:
    """The two, and what they have answered."""

    orthanc: int
    """Its port."""
    wherry: int
    known: dict[str, tuple[Outcome, Outcome]] = field(default_factory=dict)

    def ask(self, query: Query) -> tuple[Outcome, Outcome]:
        """What Orthanc answers, and what Wherry does."""
        if query.name not in self.known:
            self.known[query.name] = ask(self.orthanc, query), ask(self.wherry, query)
        return self.known[query.name]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    ports = Both(free_port(), free_port())
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), configuration(ports.orthanc))
    wherry = Server(tmp_path_factory.mktemp("wherry"), configuration(ports.wherry))
    with running(orthanc), running(wherry):
        for server in (orthanc, wherry):
            for file in FILES:
                status, answer = server.request("POST", "/instances", file)
                assert status == 200, answer
        yield ports


@dataclass(frozen=True)
class Outcome:
    status: int
    answers: list[dict[str, Any]]


def ask(port: int, query: Query) -> Outcome:
    entity = AE("FINDSCU")
    entity.add_requested_context(query.model)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    answers, status = [], -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are wrong on purpose
        for told, found in association.send_c_find(query.identifier(), query.model):
            assert "Status" in told, "the association was lost"
            status = told.Status
            if status == 0xFF00:
                answers.append(plain(found))
    association.release()
    return Outcome(status, answers)


def plain(data: Dataset) -> dict[str, Any]:
    """Tag → text, or a list of items."""
    found: dict[str, Any] = {}
    for element in data:
        name = f"{element.tag.group:04x},{element.tag.element:04x}"
        if element.VR == "SQ":
            found[name] = [plain(one) for one in element.value]
        elif isinstance(element.value, bytes):
            found[name] = element.value.decode()
        elif element.value is None:
            found[name] = ""
        else:
            several = element.value if element.VM > 1 else [element.value]
            found[name] = "\\".join(map(str, several))
    return found


def compared(query: Query, expected: Outcome, found: Outcome) -> list[str]:
    """What is different, line by line."""
    lines = []
    if expected.status != found.status:
        lines.append(f"status: 0x{found.status:04x} instead of 0x{expected.status:04x}")
    tag = Dataset()
    setattr(tag, query.unique, "")
    unique = next(iter(plain(tag)))
    ours = {one[unique]: one for one in found.answers}
    theirs = {one[unique]: one for one in expected.answers}
    assert len(ours) == len(found.answers)
    assert len(theirs) == len(expected.answers)
    lines += [f"missing {key.removeprefix(ROOT)}" for key in sorted(theirs.keys() - ours.keys())]
    lines += [f"more {key.removeprefix(ROOT)}" for key in sorted(ours.keys() - theirs.keys())]
    for key in sorted(ours.keys() & theirs.keys()):
        one, other = ours[key], theirs[key]
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                lines.append(f"{name}: {one.get(name)!r} instead of {other.get(name)!r}")
    return lines


def reasons(query: Query, line: str) -> list[str]:
    return [
        entry["why"]
        for entry in DIFFERENCES
        if re.fullmatch(entry["query"], query.name) and re.fullmatch(entry["difference"], line)
    ]


def test_there_are_enough_of_them() -> None:
    assert len({query.name for query in QUERIES}) == len(QUERIES) >= 60


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_same_answers(both: Both, query: Query) -> None:
    lines = compared(query, *both.ask(query))
    without_reason = [line for line in lines if not reasons(query, line)]
    assert not without_reason, "\n".join(without_reason)


def test_every_reason_is_needed(both: Both) -> None:
    used = {
        why
        for query in QUERIES
        for line in compared(query, *both.ask(query))
        for why in reasons(query, line)
    }
    assert used == {entry["why"] for entry in DIFFERENCES}
