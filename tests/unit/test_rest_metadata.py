from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asgi import Reply
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits

CONFLICT, OUT_OF_RANGE = 43, 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, user_metadata={"my-meta": 4321}) as face:
        face.upload(make_instance())
        yield face


@pytest.fixture
def path(store: Face) -> str:
    return f"/instances/{store.json('/instances')[0]}"


@pytest.fixture
def study(store: Face) -> Iterator[str]:
    """A study whose user metadata are gone after the test."""
    path = f"/studies/{store.json('/studies')[0]}"
    yield path
    for name in store.json(f"{path}/metadata"):
        if name not in ("LastUpdate", "RemoteAET"):
            assert store.request("DELETE", f"{path}/metadata/{name}").status == 200


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Face]:
    """A server with ``CheckRevisions``."""
    with serving(tmp_path, check_revisions=True) as face:
        face.upload(make_instance())
        yield face


def put(face: Face, path: str, value: bytes, **headers: str) -> Reply:
    return face.request("PUT", path, value, {k.replace("_", "-"): v for k, v in headers.items()})


def tag_of(revision: int, value: bytes) -> str:
    return f'"{revision}-{hashlib.md5(value).hexdigest()}"'


def code(reply: Reply) -> int:
    return int(reply.json()["OrthancStatus"])


def test_names(store: Face, path: str) -> None:
    assert store.json(f"{path}/metadata") == [
        "IndexInSeries",
        "ReceptionDate",
        "RemoteAET",
        "Origin",
        "TransferSyntax",
        "SopClassUid",
        "RemoteIP",
        "HttpUsername",
        "PixelDataOffset",
    ]
    assert store.json(f"{path}/metadata?numeric") == [1, 2, 3, 8, 9, 10, 11, 13, 14]


def test_values(store: Face, path: str) -> None:
    values = store.json(f"{path}/metadata?expand")
    assert values["TransferSyntax"] == "1.2.840.10008.1.2.1"
    assert values["HttpUsername"] == ""
    numeric = store.json(f"{path}/metadata?expand&numeric")
    assert list(numeric.values()).sort() == list(values.values()).sort()
    assert numeric["9"] == "1.2.840.10008.1.2.1"


def test_upper_levels(store: Face) -> None:
    for level, names in (
        ("patients", ["LastUpdate"]),
        ("studies", ["LastUpdate"]),
        ("series", ["RemoteAET", "LastUpdate"]),
    ):
        (orthanc_id,) = store.json(f"/{level}")
        assert store.json(f"/{level}/{orthanc_id}/metadata") == names


def test_one_of_the_server(store: Face, path: str) -> None:
    text = b"1.2.840.10008.1.2.1"
    for name in ("TransferSyntax", "9", "09"):
        reply = store.get(f"{path}/metadata/{name}")
        assert (reply.body, reply.headers["etag"]) == (text, tag_of(0, text))
        assert reply.headers["content-type"] == "text/plain"


def test_what_is_absent(store: Face, path: str) -> None:
    for name in ("4001", "CalledAET", "99", "70000", "0"):
        reply = store.get(f"{path}/metadata/{name}")
        assert (reply.status, reply.body) == (404, b"")
    for name in ("nope", "-1", "１", "9" * 50, "a%00b", "%0d%0aX:%20y", "%ff"):
        assert code(store.get(f"{path}/metadata/{name}")) == 7


def test_unknown_resource(store: Face, path: str) -> None:
    wrong_level = path.replace("instances", "series")
    for root in ("/instances/nope", "/studies/%00", wrong_level):
        assert code(store.get(f"{root}/metadata")) == 17
        assert code(store.get(f"{root}/metadata/9")) == 17
        assert code(put(store, f"{root}/metadata/4321", b"x")) == 17
        assert code(store.request("DELETE", f"{root}/metadata/4321")) == 17


def test_a_value_of_a_user(store: Face, study: str) -> None:
    before = store.json("/changes?last")["Last"]
    value = "à la carte €".encode()
    reply = put(store, f"{study}/metadata/my-meta", value)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")
    assert reply.headers["etag"] == tag_of(0, value)
    for name in ("my-meta", "4321"):
        read = store.get(f"{study}/metadata/{name}")
        assert (read.body, read.headers["etag"]) == (value, tag_of(0, value))
    assert store.json(f"{study}/metadata") == ["LastUpdate", "my-meta"]
    last = store.json("/changes?last")
    assert last["Last"] == before + 1
    assert last["Changes"][0]["ChangeType"] == "UpdatedMetadata"
    assert last["Changes"][0]["Path"] == study


def test_an_empty_value(store: Face, study: str) -> None:
    assert put(store, f"{study}/metadata/1024", b"").headers["etag"] == tag_of(0, b"")
    read = store.get(f"{study}/metadata/1024")
    assert (read.status, read.body) == (200, b"")
    assert store.json(f"{study}/metadata?expand")["1024"] == ""


def test_a_packed_value(store: Face, study: str) -> None:
    name = f"{study}/metadata/1024"
    assert put(store, name, gzip.compress(b"text"), Content_Encoding="gzip").status == 200
    assert store.get(name).body == b"text"


def test_deletion(store: Face, study: str) -> None:
    name = f"{study}/metadata/1024"
    put(store, name, b"x")
    reply = store.request("DELETE", name)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")
    assert store.get(name).status == 404
    assert code(store.request("DELETE", name)) == 17


def test_what_belongs_to_the_server(store: Face, study: str) -> None:
    for name in ("LastUpdate", "7", "1023", "65536", "70000"):
        for method in ("PUT", "DELETE"):
            reply = store.request(method, f"{study}/metadata/{name}", b"x")
            assert (reply.status, reply.body) == (403, b"")
    for method in ("PUT", "DELETE"):
        assert code(store.request(method, f"{study}/metadata/nope", b"x")) == 7


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\0b", "\ud800".encode(errors="surrogatepass")])
def test_what_is_no_text(store: Face, study: str, value: bytes) -> None:
    reply = put(store, f"{study}/metadata/1024", value)
    assert (reply.status, code(reply)) == (400, 8)
    assert store.get(f"{study}/metadata/1024").status == 404


def test_bounds(store: Face, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{study}/metadata/1024"
    assert put(store, name, b"x" * (limits.METADATA_BYTES + 1)).status == 413
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE", 2)
    assert [put(store, f"{study}/metadata/{1024 + n}", b"x").status for n in range(3)] == [
        200,
        200,
        413,
    ]
    assert put(store, name, b"y").status == 200
    monkeypatch.setattr(limits, "METADATA_OF_RESOURCE_CHARACTERS", 5)
    assert put(store, name, b"12345").status == 413
    assert put(store, name, b"1234").status == 200


def test_what_the_client_has_already(store: Face, study: str) -> None:
    name = f"{study}/metadata/1024"
    tag = put(store, name, b"one").headers["etag"]
    bare = tag.strip('"')
    for known in (tag, bare, f"W/{tag}", f'"5-abc", {tag}'):
        reply = store.request("GET", name, headers={"If-None-Match": known})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    for other in (f'"1-{bare[2:]}"', '"0-abc"'):
        assert store.request("GET", name, headers={"If-None-Match": other}).body == b"one"
    for wrong in ("*", "x", '"0"', "0-abc\x00", '"' + "9" * 5000 + '-a"'):
        reply = store.request("GET", name, headers={"If-None-Match": wrong})
        assert (reply.status, code(reply)) == (400, OUT_OF_RANGE)


def test_a_claim_is_checked_although_it_need_not_be_there(store: Face, study: str) -> None:
    name = f"{study}/metadata/my-meta"
    assert put(store, name, b"one", If_Match='"7-abc"').status == 200  # there is nothing to claim
    assert put(store, name, b"two").headers["etag"] == tag_of(1, b"two")
    for stale in (tag_of(0, b"one"), tag_of(0, b"two"), tag_of(1, b"one")):
        reply = put(store, name, b"three", If_Match=stale)
        assert (reply.status, code(reply)) == (409, CONFLICT)
        assert store.request("DELETE", name, headers={"If-Match": stale}).status == 409
    reply = put(store, name, b"three", If_Match="garbage")
    assert (reply.status, code(reply)) == (400, OUT_OF_RANGE)
    assert reply.json()["Details"] == (
        'The "if-match" HTTP header should contain the ETag (revision followed by MD5 hash),'
        " but found: garbage"
    )
    assert put(store, name, b"three", If_Match=tag_of(1, b"two")).headers["etag"] == tag_of(
        2, b"three"
    )


def test_revisions_that_are_checked(strict: Face) -> None:
    name = f"/studies/{strict.json('/studies')[0]}/metadata/4321"
    assert put(strict, name, b"one").headers["etag"] == tag_of(0, b"one")
    reply = put(strict, name, b"two")
    assert (reply.status, code(reply)) == (409, CONFLICT)
    assert "Details" not in reply.json()
    assert put(strict, name, b"two", If_Match='"0"').status == 400
    assert put(strict, name, b"two", If_Match=tag_of(0, b"one")).headers["etag"] == tag_of(
        1, b"two"
    )
    reply = strict.request("DELETE", name)
    assert (reply.status, code(reply)) == (409, CONFLICT)
    assert (
        reply.json()["Details"]
        == 'HTTP header "If-Match" is missing, as "CheckRevisions" is "true"'
    )
    stale = {"If-Match": tag_of(0, b"one")}
    assert strict.request("DELETE", name, headers=stale).status == 409
    current = {"If-Match": tag_of(1, b"two")}
    assert strict.request("DELETE", name, headers=current).status == 200
    assert strict.request("DELETE", name).status == 409  # first the claim, then the item
    assert code(strict.request("DELETE", name, headers=current)) == 17
    assert put(strict, name, b"new").headers["etag"] == tag_of(0, b"new")
