"""Whatever JSON is sent to a search: an answer, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving

TAGS = (
    "PatientName",
    "0010,0020",
    "00080020",
    "StudyTime",
    "Modality",
    "Rows",
    "ModalitiesInStudy",
)
texts = st.text(max_size=6) | st.sampled_from(
    ["", "*", "?", "2020-", "-", "a\\b", "\0", "1\\*", "é"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
metadata = st.sampled_from(
    ["LastUpdate", "IndexInSeries", "9", "1024", "99999", "ExpectedNumberOfInstances"]
)
likely = {
    "Level": st.sampled_from(["Patient", "studies", "SERIES", "Instance"]),
    "Query": st.dictionaries(st.sampled_from(TAGS), texts, max_size=4),
    "MetadataQuery": st.dictionaries(metadata, texts, max_size=2),
    "Labels": st.lists(texts, max_size=3),
    "LabelsConstraint": st.sampled_from(["All", "Any", "None"]),
    "ParentPatient": texts,
    "ParentStudy": texts,
    "OrderBy": st.lists(
        st.fixed_dictionaries(
            {
                "Type": st.sampled_from(["DicomTag", "Metadata", "MetadataAsInt"]),
                "Key": st.sampled_from(TAGS) | metadata,
                "Direction": st.sampled_from(["ASC", "DESC"]),
            }
        ),
        max_size=3,
    ),
    "Limit": st.integers(0, 3),
    "Since": st.integers(0, 3),
    "Expand": st.booleans(),
    "CaseSensitive": st.booleans(),
    "RequestedTags": st.lists(st.sampled_from(TAGS), max_size=2),
    "ResponseContent": st.lists(st.sampled_from(["MainDicomTags", "Metadata", "Labels"])),
}
bodies = st.fixed_dictionaries(
    {name: likely[name] for name in ("Level", "Query")},
    optional={name: values for name, values in likely.items() if name not in ("Level", "Query")},
)
odd = st.fixed_dictionaries({}, optional={name: v | anything for name, v in likely.items()})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("store")) as face:
        face.upload(make_instance(1))
        face.upload(make_instance(2, patient_id="é"))
        yield face


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(body=bodies | odd | anything)
def test_every_body_is_answered(store: Face, body: Any) -> None:
    for route in ("/tools/find", "/tools/count-resources"):
        reply = store.post_json(route, body)
        code = reply.json()["OrthancStatus"] if reply.status >= 400 else 0
        # An unknown name of a tag is 500 with code 27, as in Orthanc.
        assert reply.status in (200, 400, 404) or (reply.status, code) == (500, 27), reply.body


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(body=bodies)
def test_as_many_are_counted_as_found(store: Face, body: Any) -> None:
    for name in ("Limit", "Since", "Expand", "ResponseContent"):
        body.pop(name, None)
    found = store.post_json("/tools/find", body)
    counted = store.post_json("/tools/count-resources", body)
    assert found.status == counted.status
    if found.status == 200:
        assert counted.json() == {"Count": len(found.json())}
