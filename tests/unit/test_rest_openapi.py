"""The OpenAPI document is that of the routes, and the table behind it has no line too many."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import serving
from wherry import rest, transfers
from wherry.http.routing import METHODS
from wherry.rest import openapi
from wherry.rest.described import OPERATIONS

ROUTES = [*rest.routes(), *transfers.routes()]
REST = Path(rest.__file__).parent


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with serving(tmp_path_factory.mktemp("api")) as face:
        yield face.json("/openapi.json")


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_routes_and_document_are_the_same(document: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in ROUTES
        for method in set(route.methods or ()) & set(METHODS)
    }
    assert set(operations(document)) == routes


def test_every_line_of_the_table_has_a_route() -> None:
    keys = {
        openapi.key_of(method, route.path) for route in ROUTES for method in route.methods or ()
    }
    assert set(OPERATIONS) - keys == set()


def test_every_argument_that_is_read_is_in_the_table() -> None:
    """Names of arguments in the code: ``flag(request, "expand")`` and the like."""
    read = set()
    for path in REST.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            named = node.args[1:2] if called in ("flag", "number") else node.args[:1]
            if called in ("flag", "number") or "query_params.get" in called:
                read |= {one.value for one in named if isinstance(one, ast.Constant)}
    told = {query.name for operation in OPERATIONS.values() for query in operation.query}
    assert {"expand", "since"} <= read
    assert read - told == set()


def test_operations_are_named_told_and_complete(document: dict[str, Any]) -> None:
    found = operations(document)
    identifiers = [operation["operationId"] for operation in found.values()]
    assert len(set(identifiers)) == len(identifiers)
    for (_, path), operation in found.items():
        assert re.match(r"[A-Z0-9`?]", operation["summary"]), path
        assert not re.match(r"(GET|PUT|POST|DELETE|Level)\b", operation["summary"]), path
        in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert "200" in operation["responses"]
    assert document["openapi"] == "3.1.0"


def test_a_few_by_hand(document: dict[str, Any]) -> None:
    found = operations(document)
    studies = found["GET", "/studies"]
    assert {"expand", "since", "limit"} <= {p["name"] for p in studies["parameters"]}
    assert "requestBody" in found["POST", "/instances"]
    find = found["POST", "/tools/find"]["requestBody"]["content"]["application/json"]["schema"]
    assert find["required"] == ["Level", "Query"]
    assert found["GET", "/tools/now"]["summary"] == "The time in UTC"


def test_a_worklist_and_a_question_for_worklists_are_two_things(document: dict[str, Any]) -> None:
    def schema(path: str, method: str, *way: str) -> Any:
        found = document["paths"][path][method]
        for step in (*way, "content", "application/json", "schema"):
            found = found[step]
        return found["properties"].keys()

    assert schema("/worklists/{id}", "get", "responses", "200") == {"ID", "Path", "Tags"}
    asked = schema("/modalities/{name}/find-worklist", "post", "requestBody")
    assert asked == {"Query", "Full", "Short"}


def test_it_is_valid(document: dict[str, Any]) -> None:
    schemas = pytest.importorskip("jsonschema_rs")
    meta = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["openapi", "info", "paths"],
    }
    assert schemas.is_valid(meta, document)
    for operation in operations(document).values():
        for parameter in operation["parameters"]:
            schemas.validator_for(parameter["schema"])
        body = operation.get("requestBody", {"content": {}})
        for media in body["content"].values():
            schemas.validator_for(media.get("schema", {}))
