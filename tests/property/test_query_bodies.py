"""Whatever a client sends about queries and retrievals is taken, or refused as its own fault."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.dicom.attributes import read, write
from wherry.dicom.plain import from_stored, plain, printed, to_stored
from wherry.dicom.preamble import EXPLICIT
from wherry.errors import Refused, UnknownDicomTag, WherryError
from wherry.modalities.asking.identifiers import identifier, spelled
from wherry.modalities.asking.levels import level_of
from wherry.model import Manufacturer
from wherry.rest.query_body import parsed, question, worklist_query
from wherry.rest.retrieving import retrieval_body

TAGS = st.sampled_from(
    (
        *("PatientName", "StudyDate", "Rows", "0040,0100", "ScheduledProcedureStepSequence"),
        *("0009,1001", "0009,0010", "SpecificCharacterSet", "QueryRetrieveLevel"),
        *("nope", "0010-0020"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TAGS, inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.dictionaries(TAGS, st.text(max_size=20) | st.sampled_from(["*", "A*\\B?", "1-2"]))
LEVELS = st.sampled_from(["Patient", "study", "SERIES", "Instance", "image", "nope"])


@settings(deadline=None)
@given(
    st.fixed_dictionaries({"Level": LEVELS, "Query": TEXTS}) | st.dictionaries(st.text(), VALUES),
    st.sampled_from(Manufacturer),
    st.booleans(),
)
def test_queries(body: dict[str, Any], manufacturer: Manufacturer, normalize: bool) -> None:
    try:
        wanted = question(body)
        found = identifier(level_of(wanted.level), wanted.query, manufacturer, normalize=normalize)
    except Refused:
        return
    back = read(write(found, EXPLICIT), EXPLICIT)
    assert list(back) == sorted(tag for tag in found if tag & 0xFFFF)


@settings(deadline=None)
@given(st.dictionaries(TAGS, VALUES, max_size=4))
def test_worklist_queries(body: dict[str, Any]) -> None:
    try:
        found = spelled(worklist_query(body))
    except (Refused, UnknownDicomTag):
        return
    values = plain(read(write(found, EXPLICIT), EXPLICIT))
    assert from_stored(json.loads(json.dumps(to_stored(values)))) == values
    for form in ("full", "short", "simplify"):
        json.dumps(printed(values, form))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_bodies_of_retrievals(body: bytes) -> None:
    try:
        found = retrieval_body(body)
    except WherryError:
        return
    assert found == (parsed(body) or found)
    assert set(found) <= {"TargetAet"} or parsed(body) is not None
