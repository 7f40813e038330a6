"""Whatever a query holds: it is answered, or refused with a status of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.queries import ask, number
from wherry.config.worklists import WorklistsConfig
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT, IMPLICIT
from wherry.dimse.finding import find
from wherry.dimse.question import STUDY_ROOT
from wherry.dimse.worklists import WORKLIST_CLASS, find_worklist
from wherry.errors import BadFileFormat, Refused

TAGS = [
    number(name)
    for name in (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "StudyDate",
        "StudyTime",
        "StudyInstanceUID",
        "ModalitiesInStudy",
        "SOPClassUID",
        "NumberOfStudyRelatedSeries",
        "AcquisitionDateTime",
        "RequestAttributesSequence",
        "ScheduledProcedureStepSequence",
        "OperatorsName",
        "Rows",
        "PixelData",
        "TimezoneOffsetFromUTC",
    )
] + [0x00080000, 0x00091001, 0x00090010, 0x00020010, 0xFFFEE000 - 1, 0x00000002]
VRS = ["PN", "LO", "DA", "TM", "DT", "UI", "CS", "SQ", "US", "OB", "UN", "LT", "IS"]
TEXTS = st.text(st.sampled_from("aA*?-=^\\ 0129.:é山\0"), max_size=8)


def attributes(depth: int = 2) -> st.SearchStrategy[dict[int, Attribute]]:
    values = TEXTS.map(lambda text: text) | st.binary(max_size=4)
    if depth:
        values |= st.lists(attributes(depth - 1), max_size=2).map(tuple)
    one = st.builds(Attribute, st.sampled_from(VRS), values)
    return st.dictionaries(st.sampled_from(TAGS), one, max_size=4)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, worklists=WorklistsConfig(enable=True)) as face:
        face.upload(make_instance(1, OperatorsName="A^B\\C^D"))
        face.upload(make_instance(2, PatientName="Müller", SpecificCharacterSet="ISO_IR 192"))
        face.rooms.worklists.add({"PatientName": "A", "ScheduledProcedureStepSequence": [{}, {}]})
        yield face


def answered(face: Face, identifier: bytes, syntax: str) -> None:
    for service, sop_class in ((find, STUDY_ROOT), (find_worklist, WORKLIST_CLASS)):
        try:
            found = ask(service, face.rooms, sop_class, identifier, syntax=syntax)
        except Refused as error:
            assert error.dimse_status in (0xA900, 0xC000)
        else:
            assert found.status == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    keys=attributes(),
    level=st.sampled_from(["PATIENT", "STUDY", "SERIES", "IMAGE"]),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]),
)
@example(keys={number("PatientName"): Attribute("PN", "A\\")}, level="STUDY", syntax=EXPLICIT)
def test_keys_of_any_kind(face: Face, keys: dict[int, Attribute], level: str, syntax: str) -> None:
    keys[number("QueryRetrieveLevel")] = Attribute("CS", level)
    answered(face, write(keys, syntax), syntax)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=64), syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
@example(data=b"\x08\x00\x52\x00CS\x06\x00STUDY ", syntax=EXPLICIT)
def test_bytes_of_any_kind(face: Face, data: bytes, syntax: str) -> None:
    answered(face, data, syntax)
    level = write({number("QueryRetrieveLevel"): Attribute("CS", "STUDY")}, syntax)
    answered(face, level + data, syntax)
    with pytest.raises(BadFileFormat):
        ask(find, face.rooms, STUDY_ROOT, data, syntax="1.2.840.10008.1.2.4.50")
