from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.http.routing import Table, normalise


async def first(request: Request) -> Response:
    return Response()


async def second(request: Request) -> Response:
    return Response()


def found(table: Table, method: str, path: str) -> tuple[object, dict[str, str]] | None:
    hit = table.find(path)
    if hit is None:
        return None
    place, values = hit
    return place.endpoints.get(method), dict(zip(place.names[method], values, strict=True))


def test_literals_win_over_parameters_whatever_the_order() -> None:
    table = Table([Route("/tools/{name}", first), Route("/tools/now", second)])
    assert found(table, "GET", "/tools/now") == (second, {})
    assert found(table, "GET", "/tools/other") == (first, {"name": "other"})


def test_a_literal_that_leads_nowhere_gives_way_to_a_parameter() -> None:
    table = Table([Route("/a/b/c", first), Route("/a/{x}/d", second)])
    assert found(table, "GET", "/a/b/d") == (second, {"x": "b"})
    assert found(table, "GET", "/a/b/e") is None


def test_parameter_names_belong_to_the_method() -> None:
    table = Table(
        [Route("/p/{id}", first, methods=["GET"]), Route("/p/{name}", second, methods=["PUT"])]
    )
    assert found(table, "GET", "/p/1") == (first, {"id": "1"})
    assert found(table, "PUT", "/p/1") == (second, {"name": "1"})
    hit = table.find("/p/1")
    assert hit is not None
    assert hit[0].allow == "GET,PUT"


def test_mixed_segments_and_rest_of_path() -> None:
    table = Table([Route("/log-{category}", first), Route("/content/{path:path}", second)])
    assert found(table, "GET", "/log-http") == (first, {"category": "http"})
    assert found(table, "GET", "/content/a/b/c") == (second, {"path": "a/b/c"})
    assert found(table, "GET", "/content") is None


def test_the_root() -> None:
    assert found(Table([Route("/", first)]), "GET", "/") == (first, {})
    assert Table([]).find("/") is None


def test_two_functions_for_one_route_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes for GET /a"):
        Table([Route("/a", first), Route("/a", second)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/", "/"),
        ("", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("//a//b/", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/a/./b/.", "/a/b"),
        ("/a/..", "/"),
        ("/a/.hidden", "/a/.hidden"),
        ("/a/...", "/a/..."),
    ],
)
def test_normalise(given: str, expected: str) -> None:
    assert normalise(given) == expected
