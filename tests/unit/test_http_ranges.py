from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.support.asgi import Reply, call, http_scope
from tests.unit.test_http_answers import Bytes
from wherry.errors import RangeNotSatisfiable
from wherry.http.answers import content_answer, error_answer
from wherry.http.ranges import ByteRange, range_of, tag_matches

TAG = '"0-abc"'


def asking(**headers: str) -> Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(http_scope("GET", "/", names))


def answered(data: bytes, **headers: str) -> Reply:
    """A file of these bytes, as a route answers it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        file = Bytes(data)
        try:
            answer: Response = content_answer(request, file, file.size, "text/plain", tag=TAG)
        except RangeNotSatisfiable as error:
            answer = error_answer(error, request)
        await answer(scope, receive, send)
        assert file.closed

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, "GET", "/", headers=names)


@pytest.mark.parametrize(
    ("asked", "offset", "size"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, 95),
        ("bytes=-3", 97, 3),
        ("bytes=-1000", 0, 100),
        ("bytes=99-99", 99, 1),
        ("bytes=90-1000000000000000000", 90, 10),
        ("Bytes = 1 - 2 ", 1, 2),
    ],
)
def test_one_range(asked: str, offset: int, size: int) -> None:
    assert range_of(asking(range=asked), 100) == ByteRange(offset, size, 100)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "lines=1-2",
        "bytes=0-1,5-6",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=" + "9" * 5000 + "-",
        "bytes=0x1-2",
        "bytes=١-2",
    ],
)
def test_what_is_no_single_range_is_ignored(asked: str) -> None:
    assert range_of(asking(range=asked), 100) is None


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_that_hold_nothing(asked: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        range_of(asking(range=asked), 100)
    with pytest.raises(RangeNotSatisfiable):
        range_of(asking(range="bytes=0-"), 0)


def test_a_range_of_another_version_is_the_whole() -> None:
    assert range_of(asking(range="bytes=0-0", if_range=TAG), 9, TAG) is not None
    assert range_of(asking(range="bytes=0-0", if_range='"0-old"'), 9, TAG) is None
    assert range_of(asking(range="bytes=0-0", if_range="Sat, 01 Jan 2000"), 9, TAG) is None


def test_tags() -> None:
    assert tag_matches(f'"x", W/{TAG}', TAG)
    assert tag_matches("*", TAG)
    assert not tag_matches('"x"', TAG)
    assert not tag_matches(None, TAG)
    assert not tag_matches("*", "")


def test_answers() -> None:
    whole = answered(b"0123456789")
    assert (whole.status, whole.body) == (200, b"0123456789")
    assert whole.headers["etag"] == TAG
    part = answered(b"0123456789", range="bytes=2-4")
    assert (part.status, part.body) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert part.headers["content-length"] == "3"
    outside = answered(b"0123456789", range="bytes=10-")
    assert (outside.status, outside.headers["content-range"]) == (416, "bytes */10")
    assert outside.json()["OrthancStatus"] == 41
    known = answered(b"0123456789", if_none_match=TAG, range="bytes=0-1")
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", TAG)
