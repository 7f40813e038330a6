"""C-FIND of Query/Retrieve, over a real index and real files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.queries import Answered, ask, keys, number
from wherry import limits
from wherry.dicom.attributes import Attribute
from wherry.dicom.preamble import BIG_ENDIAN, IMPLICIT
from wherry.dimse.answers import Answers
from wherry.dimse.finding import find
from wherry.dimse.question import PATIENT_ROOT, PATIENT_STUDY_ONLY, STUDY_ROOT
from wherry.errors import BadFileFormat, BadRequest, ParameterOutOfRange
from wherry.model import Level

UID = "1.2.826.0.1.3680043.10.1234."
STEP = Dataset()
STEP.ScheduledProcedureStepID = "S1"
STEP.RequestedProcedureID = "R1"
OTHER_STEP = Dataset()
OTHER_STEP.ScheduledProcedureStepID = "S2"
OTHER_STEP.RequestedProcedureID = "R2"


def with_private(file: bytes, creator: str) -> bytes:
    """The file with one private value of this creator."""
    whole = dcmread(BytesIO(file))
    whole.private_block(0x0029, creator, create=True).add_new(0x01, "LO", "secret")
    buffer = BytesIO()
    whole.save_as(buffer)
    return buffer.getvalue()


FILES = [
    make_instance(1, 1, 1, patient_id="P1", PatientName="Doe^Jane^^^", OtherPatientIDs=["A", "B"]),
    make_instance(1, 1, 2, patient_id="P1", PatientName="Doe^Jane^^^", NumberOfFrames=3),
    make_instance(
        1,
        2,
        1,
        patient_id="P1",
        PatientName="Doe^Jane^^^",
        Modality="SR",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
        RequestAttributesSequence=[STEP, OTHER_STEP],
        PatientComments="x" * 300,
    ),
    make_instance(
        2,
        1,
        1,
        patient_id="P2",
        PatientName="Yamada^Tarou=山田^太郎",
        SpecificCharacterSet="ISO_IR 192",
        StudyDate="20200101",
        AccessionNumber="acc1",
        OperatorsName="One^Op\\Two^Op",
        AcquisitionDateTime="20200101120000+0100",
    ),
    make_instance(
        3,
        1,
        1,
        patient_id="P3",
        PatientName="Люкceмбypг",
        SpecificCharacterSet="ISO_IR 144",
        AccessionNumber="",
        StudyDate="",
    ),
    make_instance(4, 1, 1, patient_id="P1", PatientName="Other^Name", StudyDate="20210101"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with filled(tmp_path_factory.mktemp("store")) as face:
        yield face


@contextmanager
def filled(folder: Path, **settings: Any) -> Iterator[Face]:
    with serving(folder, **settings) as face:
        for file in FILES:
            face.upload(file)
        yield face


def asked(face: Face, level: str, *, sop_class: str = STUDY_ROOT, **texts: Any) -> Answered:
    more = {name: texts.pop(name) for name in ("syntax", "cancel_after") if name in texts}
    return ask(find, face.rooms, sop_class, keys(QueryRetrieveLevel=level, **texts), **more)


def studies(face: Face, **texts: Any) -> list[str]:
    """The last components of the studies that match."""
    found = asked(
        face, "STUDY", **{"SpecificCharacterSet": "ISO_IR 192", "StudyInstanceUID": "", **texts}
    )
    assert found.status == 0
    return [uid.removeprefix(UID) for uid in found.texts("StudyInstanceUID")]


EVERYTHING = ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, EVERYTHING),
        # single values, by case but for names
        ({"PatientID": "P1"}, ["1", "4"]),
        ({"PatientID": "p1"}, []),
        ({"AccessionNumber": "acc1"}, ["2"]),
        ({"AccessionNumber": "ACC1"}, ["1"]),
        ({"PatientName": "DOE^JANE"}, ["1"]),
        ({"PatientName": "Doe^Jane^"}, ["1"]),
        ({"PatientName": "Doe"}, []),
        ({"PatientName": "yamada^tarou"}, ["2"]),
        ({"PatientName": "山田^太郎"}, ["2"]),
        ({"PatientName": "山田*"}, ["2"]),
        ({"PatientName": "=山田^*"}, ["2"]),
        ({"PatientName": "люк*"}, ["3"]),
        ({"PatientName": "Doe^J?ne"}, ["1"]),
        ({"PatientName": "other*"}, ["4"]),
        # lists
        ({"StudyInstanceUID": f"{UID}1\\{UID}3\\{UID}9"}, ["1", "3"]),
        ({"PatientID": "P2\\P3"}, ["2", "3"]),
        # universal: nothing, or only stars
        ({"AccessionNumber": "*"}, EVERYTHING),
        ({"PatientComments": "**"}, EVERYTHING),
        ({"StudyDate": "*"}, EVERYTHING),
        ({"StudyDate": "-"}, EVERYTHING),
        # wildcards
        ({"AccessionNumber": "ACC*"}, ["1", "4"]),
        ({"AccessionNumber": "?cc1"}, ["2"]),
        ({"AccessionNumber": "??c1"}, ["2"]),
        # ranges
        ({"StudyDate": "20260102"}, ["1"]),
        ({"StudyDate": "20200101-20251231"}, ["2", "4"]),
        ({"StudyDate": "20210101-"}, ["1", "4"]),
        ({"StudyTime": "1011-1012"}, EVERYTHING),
        ({"StudyTime": "1012-"}, []),
        ({"AcquisitionDateTime": "20200101110000"}, ["2"]),
        ({"AcquisitionDateTime": "20200101-20200101110000"}, ["2"]),
        ({"AcquisitionDateTime": "20200101120000-"}, []),
        # computed
        ({"ModalitiesInStudy": "SR"}, ["1"]),
        ({"ModalitiesInStudy": "SR\\CT"}, EVERYTHING),
        ({"ModalitiesInStudy": "MR"}, []),
        ({"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.88.11"}, ["1"]),
        ({"NumberOfStudyRelatedInstances": "3"}, ["1"]),
        ({"InstanceAvailability": "ONLINE"}, EVERYTHING),
        ({"InstanceAvailability": "OFFLINE"}, []),
        ({"RetrieveAETitle": "ORTHANC"}, EVERYTHING),
        ({"RetrieveAETitle": "OTHER"}, []),
        # never compared
        ({"TimezoneOffsetFromUTC": "+0300"}, EVERYTHING),
        # of levels above and below
        ({"Modality": "CT"}, []),
        # several values
        ({"OtherPatientIDs": "B"}, ["1"]),
        ({"OtherPatientIDs": "b"}, []),
        # files
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, EVERYTHING),
        ({"PatientOrientation": "L"}, []),
    ],
)
def test_matching(store: Face, texts: dict[str, str], expected: list[str]) -> None:
    assert studies(store, **texts) == expected


@pytest.mark.parametrize(
    ("level", "texts", "tag", "expected"),
    [
        ("PATIENT", {"PatientName": "*"}, "PatientID", ["P1", "P2", "P3"]),
        ("PATIENT", {"PatientID": "P1"}, "PatientName", ["Doe^Jane^^^"]),
        ("STUDY", {"PatientID": "P1"}, "PatientName", ["Doe^Jane^^^", "Other^Name"]),
        ("PATIENT", {"StudyDate": "20200101"}, "PatientID", []),
        ("PATIENT", {"OtherPatientIDs": "A"}, "PatientID", ["P1"]),
        ("SERIES", {"PatientID": "P1", "Modality": "SR"}, "SeriesInstanceUID", [UID + "1.2"]),
        ("SERIES", {"OperatorsName": "two^op"}, "PatientID", ["P2"]),
        ("SERIES", {"ModalitiesInStudy": "SR"}, "Modality", ["CT", "SR"]),
        ("IMAGE", {"NumberOfFrames": "3"}, "InstanceNumber", ["2"]),
        ("IMAGE", {"SOPInstanceUID": UID + "1.1.2"}, "InstanceNumber", ["2"]),
        ("image", {"SeriesInstanceUID": UID + "1.1"}, "InstanceNumber", ["1", "2"]),
        ("INSTANCES", {"SOPClassUID": "*.88.11"}, "Modality", ["SR"]),
    ],
)
def test_levels(
    store: Face, level: str, texts: dict[str, str], tag: str, expected: list[str]
) -> None:
    found = asked(store, level, **{tag: "", **texts})
    assert (found.status, found.texts(tag)) == (0, expected)
    assert found.texts("QueryRetrieveLevel") == [level] * len(expected)


def test_sequences_match_by_one_item_and_show_what_was_asked(store: Face) -> None:
    def sequence(**texts: str) -> Answered:
        return asked(store, "SERIES", Modality="", RequestAttributesSequence=[keys(**texts)])

    found = sequence(ScheduledProcedureStepID="S2", RequestedProcedureID="R?")
    (one,) = found.data_sets
    items = one[number("RequestAttributesSequence")].value
    step, procedure = number("ScheduledProcedureStepID"), number("RequestedProcedureID")
    assert [{tag: a.text for tag, a in item.items()} for item in items] == [
        {step: "S1", procedure: "R1"},
        {step: "S2", procedure: "R2"},
    ]
    assert sequence(ScheduledProcedureStepID="S2", RequestedProcedureID="R1").data_sets == []
    (one,) = sequence(ScheduledProcedureStepID="S1").data_sets
    assert [list(item) for item in one[number("RequestAttributesSequence")].value] == [[step]] * 2
    # nothing asked of it: all of it, and nothing where there is none
    for nothing in ([], [{}]):
        found = asked(store, "SERIES", Modality="", RequestAttributesSequence=nothing)
        shown = [one[number("RequestAttributesSequence")].value for one in found.data_sets]
        assert sorted(map(len, shown)) == [0, 0, 0, 0, 2]
    with pytest.raises(BadRequest, match="more than one item"):
        asked(store, "SERIES", RequestAttributesSequence=[keys(CodeValue="1"), {}])


def test_an_answer_has_what_was_asked_and_where_it_is(store: Face) -> None:
    (one,) = asked(
        store,
        "STUDY",
        StudyInstanceUID=UID + "1",
        PatientName="",
        PatientComments="",
        ReferencedStudySequence=[],
        SeriesInstanceUID="",
        ModalitiesInStudy="",
        SOPClassesInStudy="",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
        NumberOfSeriesRelatedInstances="",
        InstanceAvailability="",
    ).data_sets
    expected = keys(
        SpecificCharacterSet="ISO_IR 100",
        QueryRetrieveLevel="STUDY",
        RetrieveAETitle="ORTHANC",
        InstanceAvailability="ONLINE",
        ModalitiesInStudy="CT\\SR",
        SOPClassesInStudy="1.2.840.10008.5.1.4.1.1.2\\1.2.840.10008.5.1.4.1.1.88.11",
        ReferencedStudySequence=[],
        PatientName="Doe^Jane^^^",
        PatientComments="",
        StudyInstanceUID=UID + "1",
        SeriesInstanceUID="",
        NumberOfPatientRelatedStudies="2",
        NumberOfPatientRelatedSeries="3",
        NumberOfPatientRelatedInstances="4",
        NumberOfStudyRelatedSeries="2",
        NumberOfStudyRelatedInstances="3",
        NumberOfSeriesRelatedInstances="",
    )
    assert one == expected


def test_what_the_index_does_not_hold_comes_from_files(store: Face) -> None:
    (one,) = asked(
        store,
        "IMAGE",
        SOPInstanceUID=UID + "1.2.1",
        SOPClassUID="",
        Rows="",
        BitsAllocated="",
        PatientComments="",
        PixelData="",
    ).data_sets
    shown = {tag: attribute.value for tag, attribute in one.items()}
    assert shown[number("QueryRetrieveLevel")] == "IMAGE"
    assert shown[number("SOPClassUID")] == "1.2.840.10008.5.1.4.1.1.88.11"
    assert (shown[number("Rows")], shown[number("BitsAllocated")]) == ("8", "16")
    assert shown[number("PatientComments")] == "x" * 300


def test_values_that_are_too_long_are_left_out(
    store: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_VALUE_BYTES", 500)
    (one,) = asked(store, "IMAGE", SOPInstanceUID=UID + "1.1.1", PixelData="", Rows="").data_sets
    assert (one[number("PixelData")].value, one[number("Rows")].text) == (b"", "8")


def test_private_tags_belong_to_their_creator(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        for study, creator in ((1, "ACME"), (2, "OTHER")):
            face.upload(with_private(make_instance(study), creator))

        def series(creator: str, text: str) -> list[dict[int, Attribute]]:
            identifier = keys(QueryRetrieveLevel="SERIES", StudyInstanceUID="")
            identifier[0x00290010] = Attribute("LO", creator)
            identifier[0x00291001] = Attribute("LO", text)
            return ask(find, face.rooms, STUDY_ROOT, identifier).data_sets

        assert [one[number("StudyInstanceUID")].text for one in series("OTHER", "sec*")] == [
            UID + "2"
        ]
        shown = {
            one[number("StudyInstanceUID")].text: (one[0x00290010].text, one[0x00291001].text)
            for one in series("ACME", "")
        }
        assert shown == {UID + "1": ("ACME", "secret"), UID + "2": ("ACME", "")}


@pytest.mark.parametrize(
    ("query", "study", "declared"),
    [
        ("", "1", "ISO_IR 100"),
        ("ISO_IR 192", "1", "ISO_IR 100"),
        ("", "2", "ISO_IR 192"),
        ("ISO_IR 144", "3", "ISO_IR 144"),
        ("ISO_IR 101", "3", "ISO_IR 192"),
        ("GB18030", "2", "GB18030"),
        ("\\ISO 2022 IR 87", "2", "\\ISO 2022 IR 87"),
        ("\\ISO 2022 IR 149", "2", "ISO_IR 192"),
        ("ISO_IR 999", "3", "ISO_IR 192"),
    ],
)
def test_texts_come_in_a_character_set_that_has_them(
    store: Face, query: str, study: str, declared: str
) -> None:
    names = {"1": "Doe^Jane^^^", "2": "Yamada^Tarou=山田^太郎", "3": "Люкceмбypг"}
    found = asked(
        store,
        "STUDY",
        StudyInstanceUID=UID + study,
        PatientName="",
        **({"SpecificCharacterSet": query} if query else {}),
    )
    (one,) = found.data_sets
    assert one[number("PatientName")].text == names[study]
    assert one[number("SpecificCharacterSet")].text == declared


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_other_transfer_syntaxes(store: Face, syntax: str) -> None:
    found = asked(store, "IMAGE", InstanceNumber="2", Rows="", syntax=syntax)
    (one,) = found.data_sets
    assert (one[number("InstanceNumber")].text, one[number("Rows")].text) == ("2", "8")


@pytest.mark.parametrize(
    ("identifier", "error"),
    [
        (keys(PatientID="P1"), BadRequest),
        (keys(QueryRetrieveLevel="FOO"), BadRequest),
        (keys(QueryRetrieveLevel=""), BadRequest),
        (b"", BadRequest),
        (b"nonsense", BadFileFormat),
        (keys(QueryRetrieveLevel="STUDY", PatientID="\\".join("x" * 1001)), ParameterOutOfRange),
        (keys(QueryRetrieveLevel="STUDY", PatientName="x" * 2000), ParameterOutOfRange),
        (
            keys(QueryRetrieveLevel="STUDY")
            | {0x00091000 + n: Attribute("LO", "") for n in range(limits.SEARCH_TERMS)},
            ParameterOutOfRange,
        ),
    ],
)
def test_identifiers_that_make_no_sense(
    store: Face, identifier: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        ask(find, store.rooms, STUDY_ROOT, identifier)
    status = caught.value.dimse_status  # type: ignore[attr-defined]
    assert status == (0xC000 if error is BadFileFormat else 0xA900)


def test_models(store: Face) -> None:
    assert asked(store, "STUDY", sop_class=PATIENT_ROOT).status == 0
    assert asked(store, "PATIENT", sop_class=PATIENT_STUDY_ONLY, PatientID="").texts(
        "PatientID"
    ) == ["P1", "P2", "P3"]
    with pytest.raises(BadRequest):
        asked(store, "SERIES", sop_class=PATIENT_STUDY_ONLY)
    identifier = keys(QueryRetrieveLevel="STUDY")
    other = ask(find, store.rooms, STUDY_ROOT, identifier, command_class=PATIENT_ROOT)
    assert (other.status, other.data_sets) == (0x0122, [])


def test_a_query_ends_when_it_is_cancelled(store: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIND_ANSWERS_SENT", 1)
    for at_once in (1, 2, 200):
        monkeypatch.setattr(limits, "FIND_ANSWERS_AT_ONCE", at_once)
        found = asked(store, "IMAGE", cancel_after=2)
        assert (found.status, len(found.data_sets)) == (0xFE00, 2)
    assert asked(store, "IMAGE", cancel_after=6).status == 0xFE00  # after the last of them


def test_limits_of_answers(tmp_path: Path) -> None:
    with filled(tmp_path, limit_find_results=2, limit_find_instances=5) as face:
        for level, count in (("PATIENT", 2), ("STUDY", 2), ("SERIES", 2), ("IMAGE", 5)):
            found = asked(face, level)
            assert (found.status, len(found.data_sets)) == (0xFE00, count)
            assert found.comment == f"More than {count} matches"
        assert asked(face, "STUDY", PatientID="P1").status == 0  # as many as there may be


def test_case_of_names_as_configured(tmp_path: Path) -> None:
    with filled(tmp_path, case_sensitive_pn=True) as face:
        assert studies(face, PatientName="doe*") == studies(face, PatientName="doe^jane") == []
        assert studies(face, PatientName="Doe*") == studies(face, PatientName="Doe^Jane") == ["1"]


@pytest.mark.parametrize("access", ["Never", "Answers"])
def test_without_access_to_files(tmp_path: Path, access: str) -> None:
    with filled(tmp_path, storage_access_on_find=access) as face:
        found = asked(face, "IMAGE", SOPInstanceUID=UID + "1.1.1", Rows="")
        assert found.texts("Rows") == ["8" if access == "Answers" else ""]
        assert asked(face, "IMAGE", BitsAllocated="16").data_sets == []


def test_extra_main_tags(tmp_path: Path) -> None:
    extra = {
        Level.SERIES: ("0040,0275",),
        Level.INSTANCE: ("0028,0010", "0010,4000"),
        Level.STUDY: ("0008,1032",),
    }
    code = Dataset()
    code.CodeValue = "X"
    with serving(tmp_path, extra_main_dicom_tags=extra, storage_access_on_find="Never") as face:
        face.upload(make_instance(1, PatientComments="Hello", ProcedureCodeSequence=[code]))
        face.upload(make_instance(2))
        found = asked(face, "IMAGE", PatientComments="H*", Rows="")
        assert (found.texts("PatientComments"), found.texts("Rows")) == (["Hello"], ["8"])
        found = asked(face, "STUDY", ProcedureCodeSequence=[keys(CodeValue="X", CodeMeaning="")])
        (one,) = found.data_sets
        ((item,),) = (one[number("ProcedureCodeSequence")].value,)
        assert item == keys(CodeValue="X", CodeMeaning="")


def test_what_is_deleted_meanwhile_is_left_out(
    store: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Answers.written
    monkeypatch.setattr(Answers, "written", lambda self, rows: written(self, [*rows, 10**6]))
    assert studies(store, PatientComments="") == EVERYTHING
