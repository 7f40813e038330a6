from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits

LEVELS = ("patients", "studies", "series", "instances")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as face:
        face.upload(make_instance())
        yield face


@pytest.mark.parametrize("level", LEVELS)
def test_one_label(store: Face, level: str) -> None:
    (orthanc_id,) = store.json(f"/{level}")
    labels = f"/{level}/{orthanc_id}/labels"
    assert store.json(labels) == []
    absent = store.get(f"{labels}/hello")
    assert (absent.status, absent.body) == (404, b"")
    for _ in range(2):
        reply = store.request("PUT", f"{labels}/hello", b"whatever")
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")
        assert store.json(labels) == ["hello"]
    present = store.get(f"{labels}/hello")
    assert (present.status, present.body) == (200, b"")
    assert store.json(f"/{level}/{orthanc_id}")["Labels"] == ["hello"]
    for _ in range(2):
        reply = store.request("DELETE", f"{labels}/hello")
        assert (reply.status, reply.body) == (200, b"")
        assert store.json(labels) == []


def test_all_labels(store: Face) -> None:
    assert store.json("/tools/labels") == []
    for level, names in zip(LEVELS, ("b", "a", "b", "C"), strict=True):
        (orthanc_id,) = store.json(f"/{level}")
        assert store.request("PUT", f"/{level}/{orthanc_id}/labels/{names}").status == 200
    assert store.json("/tools/labels") == ["C", "a", "b"]
    store.request("DELETE", f"/patients/{store.json('/patients')[0]}")
    assert store.json("/tools/labels") == []
    assert store.json("/system")["HasLabels"] is True


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "label",
    ["a.b", "é", "a%20b", "a%2Fb", "a%00", "a%0d%0aX:%20y", "%ed%a0%80", "x" * 65, "%3Cscript%3E"],
)
def test_what_is_no_label(store: Face, method: str, label: str) -> None:
    reply = store.request(method, f"/studies/{store.json('/studies')[0]}/labels/{label}")
    if label == "a%2Fb":  # a path of its own
        assert reply.status == 404
    else:
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)
    assert store.json("/tools/labels") == []


def test_unknown_resource(store: Face) -> None:
    instance = store.json("/instances")[0]
    for root in ("/studies/nope", f"/studies/{instance}"):
        assert store.get(f"{root}/labels").json()["OrthancStatus"] == 17
        for method in ("GET", "PUT", "DELETE"):
            reply = store.request(method, f"{root}/labels/a")
            assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)


def test_the_bound(store: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LABELS_OF_RESOURCE", 2)
    labels = f"/studies/{store.json('/studies')[0]}/labels"
    assert [store.request("PUT", f"{labels}/{name}").status for name in "aabcb"] == [
        200,
        200,
        200,
        413,
        200,
    ]
    assert store.json(labels) == ["a", "b"]
    assert store.request("PUT", f"{labels}/{'x' * 64}").status == 413
