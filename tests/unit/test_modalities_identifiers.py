"""What is sent for a query: which tags, what of their values, in which letters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wherry.dicom import charsets
from wherry.dicom.attributes import Attribute
from wherry.dicom.tags import keyword_of, tag_of
from wherry.errors import BadFileFormat, ParameterOutOfRange
from wherry.modalities.asking.identifiers import (
    adapted,
    applicable_tags,
    identifier,
    retrieval_identifier,
    usual_keys,
)
from wherry.modalities.asking.levels import level_of
from wherry.model import Level, Manufacturer

# What Orthanc 1.10.1 sent to a modality that it asked for every tag of groups 0008 to 0054.
KEPT_BY_ORTHANC = {
    Level.PATIENT: "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime "
    "PatientSex OtherPatientIDs OtherPatientNames EthnicGroup PatientSpeciesDescription "
    "PatientBreedDescription ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization "
    "PatientComments PatientIdentityRemoved DeidentificationMethod NumberOfPatientRelatedStudies "
    "NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances",
    Level.STUDY: "StudyDate StudyTime AccessionNumber ModalitiesInStudy SOPClassesInStudy "
    "ReferringPhysicianName StudyDescription PhysiciansOfRecord NameOfPhysiciansReadingStudy "
    "PatientName PatientID StudyInstanceUID StudyID NumberOfStudyRelatedSeries "
    "NumberOfStudyRelatedInstances",
    Level.SERIES: "StudyDate SeriesDate SeriesTime Modality SeriesDescription "
    "PerformingPhysicianName OperatorsName PatientName BodyPartExamined ProtocolName "
    "PatientPosition SeriesNumber Laterality NumberOfSeriesRelatedInstances "
    "PerformedProcedureStepDescription CommentsOnThePerformedProcedureStep",
    Level.INSTANCE: "InstanceCreationDate SOPClassUID SOPInstanceUID StudyDate Modality "
    "InstanceNumber PatientName TimezoneOffsetFromUTC LongitudinalTemporalInformationModified",
}
LEFT_OUT_BY_ORTHANC = {
    Level.PATIENT: "StudyDate AccessionNumber Modality InstanceNumber PatientAge Rows",
    Level.STUDY: "InstitutionName SeriesDate Modality NumberOfPatientRelatedStudies PatientAge",
    Level.SERIES: "ModalitiesInStudy NumberOfStudyRelatedSeries StationName InstanceNumber Rows",
    Level.INSTANCE: "NumberOfSeriesRelatedInstances ModalitiesInStudy Rows ContentDate ImageType",
}


@pytest.fixture
def latin1() -> Iterator[None]:
    yield
    charsets.set_default("Latin1")


def tag(word: str) -> int:
    return int(tag_of(word).replace(",", ""), 16)


def sent(
    level: Level,
    manufacturer: Manufacturer = Manufacturer.GENERIC,
    *,
    normalize: bool = True,
    **query: str,
) -> dict[str, str]:
    texts = {tag(word): text for word, text in query.items()}
    found = identifier(level, texts, manufacturer, normalize=normalize)
    assert list(found) == sorted(found)
    return {keyword_of(f"{t >> 16:04x},{t & 0xFFFF:04x}"): one.text for t, one in found.items()}


@pytest.mark.parametrize("level", Level)
def test_what_means_nothing_at_a_level_is_left_out(level: Level) -> None:
    kept = applicable_tags(level)
    assert {word for word in KEPT_BY_ORTHANC[level].split() if tag(word) not in kept} == set()
    assert {word for word in LEFT_OUT_BY_ORTHANC[level].split() if tag(word) in kept} == set()


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        (Level.PATIENT, ["PatientID"]),
        (Level.STUDY, ["PatientID", "AccessionNumber", "StudyInstanceUID"]),
        (Level.SERIES, ["PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID"]),
        (
            Level.INSTANCE,
            [
                "PatientID",
                "AccessionNumber",
                "StudyInstanceUID",
                "SeriesInstanceUID",
                "SOPInstanceUID",
            ],
        ),
    ],
)
def test_what_every_answer_must_have_is_asked_for(level: Level, keys: list[str]) -> None:
    word = {1: "PATIENT", 2: "STUDY", 3: "SERIES", 4: "IMAGE"}[level]
    expected = {"SpecificCharacterSet": "ISO_IR 100", "QueryRetrieveLevel": word}
    assert sent(level) == expected | dict.fromkeys(keys, "")
    assert sent(level, Manufacturer.GE) == expected | dict.fromkeys(keys, "*")
    assert sent(level, Manufacturer.GE, PatientID="")["PatientID"] == ""


def test_a_query_as_it_is() -> None:
    found = sent(Level.STUDY, InstitutionName="a", normalize=False)
    assert found["InstitutionName"] == "a"
    assert found["StudyInstanceUID"] == ""
    assert "InstitutionName" not in sent(Level.STUDY, InstitutionName="a")


@pytest.mark.parametrize(
    ("manufacturer", "date", "name"),
    [
        (Manufacturer.GENERIC, "*", "*"),
        (Manufacturer.VITREA, "*", "*"),
        (Manufacturer.GE, "*", "*"),
        (Manufacturer.NO_WILDCARD_IN_DATES, "", "*"),
        (Manufacturer.NO_UNIVERSAL_WILDCARD, "", ""),
    ],
)
def test_asterisks_that_are_not_understood(
    manufacturer: Manufacturer, date: str, name: str
) -> None:
    found = sent(Level.STUDY, manufacturer, StudyDate="*", PatientName="*", PatientID="A*")
    assert (found["StudyDate"], found["PatientName"], found["PatientID"]) == (date, name, "A*")
    ranged = sent(Level.STUDY, manufacturer, StudyDate="20200101-*")
    assert ranged["StudyDate"] == "20200101-*"
    as_it_is = sent(Level.STUDY, manufacturer, StudyDate="*", PatientName="*", normalize=False)
    assert (as_it_is["StudyDate"], as_it_is["PatientName"]) == ("*", "*")


def test_asterisks_within_worklist_queries() -> None:
    step = {tag("Modality"): Attribute("CS", "*"), tag("StudyDate"): Attribute("DA", "*")}
    query = {tag("ScheduledProcedureStepSequence"): Attribute("SQ", (step,))}
    (found,) = adapted(query, Manufacturer.NO_WILDCARD_IN_DATES).values()
    assert isinstance(found.value, tuple)
    assert {t: one.value for t, one in found.value[0].items()} == {
        tag("Modality"): "*",
        tag("StudyDate"): "",
    }


@pytest.mark.usefixtures("latin1")
def test_the_letters_decide_in_which_character_set_it_is_written() -> None:
    assert sent(Level.STUDY, PatientName="Zoé*")["SpecificCharacterSet"] == "ISO_IR 100"
    assert sent(Level.STUDY, PatientName="山田*")["SpecificCharacterSet"] == "ISO_IR 192"
    charsets.set_default("Greek")
    assert sent(Level.STUDY, PatientName="Διον*")["SpecificCharacterSet"] == "ISO_IR 126"
    assert sent(Level.STUDY, PatientName="Zoé*")["SpecificCharacterSet"] == "ISO_IR 192"
    charsets.set_default("Korean")  # its letters need escapes, which are not written
    assert sent(Level.STUDY, PatientName="홍*")["SpecificCharacterSet"] == "ISO_IR 192"
    assert sent(Level.STUDY, PatientName="Hong*")["SpecificCharacterSet"] == "\\ISO 2022 IR 149"


def test_the_character_set_of_the_client() -> None:
    wanted = {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люк*"}
    assert sent(Level.STUDY, **wanted)["SpecificCharacterSet"] == "ISO_IR 144"
    with pytest.raises(BadFileFormat, match="ISO_IR 144 has no such letters"):
        sent(Level.STUDY, **wanted | {"PatientName": "山田"})


@pytest.mark.parametrize("value", ["*", "1-2", "70000", "x"])
def test_what_is_no_number_is_not_asked_for(value: str) -> None:
    """It would be sent as nothing, and everything would match."""
    with pytest.raises(BadFileFormat, match=r"tag \(0028,0010\) has out-of-range value"):
        sent(Level.STUDY, Rows=value, normalize=False)
    assert sent(Level.STUDY, Rows="12", normalize=False)["Rows"] == "12"
    assert sent(Level.STUDY, Rows="", normalize=False)["Rows"] == ""


def test_private_tags_have_the_vr_of_their_creator() -> None:
    texts = {0x00090010: "GEMS_IDEN_01", 0x00091001: "x", 0x00091027: "5"}
    found = identifier(Level.STUDY, texts, normalize=False)
    assert found[0x00091001].vr == "LO"
    assert found[0x00091027].vr == "SL"


def test_what_a_retrieval_names() -> None:
    found = retrieval_identifier(Level.SERIES, {0x0020000D: "1.2", 0x0020000E: "1.3"})
    assert {t: one.text for t, one in found.items()} == {
        0x00080005: "ISO_IR 100",
        0x00080052: "SERIES",
        0x0020000D: "1.2",
        0x0020000E: "1.3",
    }


def test_the_usual_keys_are_the_main_tags_of_a_level() -> None:
    words = [keyword_of(f"{t >> 16:04x},{t & 0xFFFF:04x}") for t in usual_keys(Level.PATIENT)]
    assert words == [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "OtherPatientIDs",
    ]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("Patient", 1),
        ("PATIENTS", 1),
        ("study", 2),
        ("Studies", 2),
        ("SERIES", 3),
        ("Instance", 4),
        ("instances", 4),
        ("IMAGE", 4),
    ],
)
def test_names_of_levels(name: str, level: int) -> None:
    assert level_of(name) == level


def test_a_level_that_is_none() -> None:
    with pytest.raises(ParameterOutOfRange):
        level_of("Nope")
