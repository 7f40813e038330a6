"""Requests for what stands inside instances, with anything in their paths: no surprise from us."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.test_dicom_mutations import damaged
from tests.support.dicom_bytes import data_set, explicit, item, meta, pixels
from tests.support.face import Face, serving

ANYTHING = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=8).map(lambda raw: raw.decode("latin-1")),
    st.sampled_from(("PixelData", "0008-1140", "0", "1", "-1", "..", "0010,0020", "%00", "١")),
)
BELOW = st.sampled_from(
    ("content", "tags", "header", "frames", "frames/0/raw", "frames/0/raw.gz", "pdf", "module")
)
QUERIES = st.sampled_from(
    ("", "?short", "?simplify=1", "?ignore-length=PatientName", "?whole", "?filename=%0d%0a")
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("store")) as served:
        yield served


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("empty")) as served:
        yield served


@pytest.fixture(scope="module")
def one(face: Face) -> str:
    inner = explicit(0x00081140, "SQ", item(explicit(0x00081155, "UI", b"1.2\0")))
    return str(face.upload(meta() + data_set() + inner + pixels())["Path"])


def ask(face: Face, target: str, **headers: str) -> int:
    """The status of a GET, which must be one that we know why we send."""
    reply = face.request("GET", target, headers=headers)
    if reply.status >= 500:
        assert reply.json()["OrthancStatus"] == 27, target
    return reply.status


@SETTINGS
@given(st.lists(ANYTHING, max_size=5))
def test_any_path(face: Face, one: str, steps: list[str]) -> None:
    path = "/".join(quote(step, safe="", errors="replace") for step in steps)
    # Steps upwards may lead to "/", which sends elsewhere (301).
    assert ask(face, f"{one}/content/{path}") in (200, 301, 400, 404, 500)
    assert ask(face, f"{one}/frames/{path}") in (200, 301, 400, 404)
    assert ask(face, f"/instances/{path}/content") in (200, 301, 400, 404, 500)


@settings(SETTINGS, max_examples=1000)  # one in ten is taken in
@given(damaged(), BELOW, QUERIES)
def test_any_file(empty: Face, data: bytes, below: str, query: str) -> None:
    face = empty
    answer = face.request("POST", "/instances", data)
    if answer.status != 200:
        assert answer.status in (400, 404)
        return
    assert answer.json()["Status"] == "Success"
    path = answer.json()["Path"]
    assert ask(face, f"{path}/{below}{query}") in (200, 400, 404)
    assert ask(face, f"{path}/file", accept="application/dicom+json") in (200, 400)
    assert ask(face, f"{path}/file", accept="application/dicom+xml") in (200, 400)
    series = answer.json()["ParentSeries"]
    for what in ("shared-tags", "instances-tags", "module"):
        assert ask(face, f"/series/{series}/{what}") in (200, 400)
    reply = face.get(f"/series/{series}/ordered-slices")
    assert reply.status in (200, 400) or reply.json()["OrthancStatus"] == 2040
    face.request("DELETE", path)
