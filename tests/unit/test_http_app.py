from __future__ import annotations

import base64
import json
import logging
import threading
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.asgi import Reply, call
from wherry import limits
from wherry.errors import BadFileFormat, StorageFull, Unavailable, WherryError
from wherry.http.answers import empty_answer, json_answer, literal_json, text_answer
from wherry.http.app import build_app
from wherry.http.auth import username
from wherry.http.body import read_body
from wherry.http.services import Services
from wherry.metrics import Metrics

RAISED: dict[str, BaseException] = {
    "format": BadFileFormat('Not "DICOM"\r\nat all: é'),
    "full": StorageFull("No space"),
    "busy": Unavailable("Too many", retry_after_s=7),
    "defect": KeyError("secret of a patient"),
}


async def loop_route(request: Request) -> Response:
    return text_answer(f"{threading.current_thread() is threading.main_thread()}")


def thread_route(request: Request) -> Response:
    return text_answer(f"{threading.current_thread() is threading.main_thread()}")


def item(request: Request) -> Response:
    return json_answer({"id": request.path_params["id"], "user": username(request.scope)})


def failing(request: Request) -> Response:
    raise RAISED[request.path_params["how"]]


async def taking(request: Request) -> Response:
    await read_body(request, 10)
    return empty_answer()


async def literal(request: Request) -> Response:
    return literal_json()


ROUTES = [
    Route("/loop", loop_route),
    Route("/thread", thread_route),
    Route("/items/{id}", item, methods=["GET", "DELETE"]),
    Route("/items", item, methods=["POST"]),
    Route("/fail/{how}", failing, methods=["GET", "POST"]),
    Route("/take", taking, methods=["POST"]),
    Route("/literal", literal),
]


def make(embedded: bool = False, **config: Any) -> Any:
    settings = {
        "registered_users": {},
        "authentication_enabled": False,
        "remote_access_allowed": False,
        "http_describe_errors": True,
        "http_compression_enabled": False,
        **config,
    }
    rooms: dict[str, Any] = {room.name: None for room in fields(Services)}
    rooms |= {"index": SimpleNamespace(embedded=embedded, state=lambda: None), "metrics": Metrics()}
    services = Services(**rooms)
    return build_app(ROUTES, services, SimpleNamespace(**settings))  # type: ignore[arg-type]


def get(target: str, **config: Any) -> Reply:
    return call(make(**config), "GET", target)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_async_functions_run_on_the_loop_and_plain_ones_do_not() -> None:
    assert get("/loop").body == b"True"
    assert get("/thread").body == b"False"


def test_paths_are_normalised_and_percent_decoded() -> None:
    assert get("//items//a%20b%0d%0aX/").json()["id"] == "a b\r\nX"
    assert get("/nope/../items/1?x=1").json()["id"] == "1"
    assert get("/ITEMS/1").status == 404


@pytest.mark.parametrize("path", ["/items/1/..", "/items/x/%2e%2e/1", "/../items/1"])
def test_dots_lead_nowhere_but_to_what_is_read(path: str) -> None:
    assert call(make(), "DELETE", path).status == 404
    assert call(make(), "DELETE", "/items/..1").json()["id"] == "..1"
    assert get("/items/x/../1").json()["id"] == "1"


def test_an_unknown_route_is_described_as_orthanc_does() -> None:
    reply = get("//nope/?x=1")
    assert reply.status == 404
    assert "content-type" not in reply.headers
    assert reply.body == (
        b'{\n\t"HttpError" : "Not Found",\n\t"HttpStatus" : 404,\n'
        b'\t"Message" : "Unknown resource",\n\t"Method" : "GET",\n'
        b'\t"OrthancError" : "Unknown resource",\n\t"OrthancStatus" : 17,\n\t"Uri" : "/nope"\n}\n'
    )


def test_details_are_escaped() -> None:
    reply = get("/fail/format")
    assert reply.status == 400
    assert reply.json()["Details"] == 'Not "DICOM"\r\nat all: é'
    assert list(reply.json()) == sorted(reply.json())


def test_statuses_of_errors() -> None:
    assert get("/fail/full").status == 507
    assert get("/fail/full").json()["OrthancStatus"] == 19
    busy = get("/fail/busy")
    assert (busy.status, busy.headers["retry-after"]) == (503, "7")


def test_a_defect_shows_nothing_and_logs_no_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = get("/fail/defect")
    assert reply.status == 500
    assert reply.json()["OrthancStatus"] == -1
    assert "Details" not in reply.json()
    assert "secret" not in reply.body.decode() + caplog.text
    assert "KeyError" in caplog.text
    assert "failing" in caplog.text


def test_a_raw_error_of_ours_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    RAISED["raw"] = WherryError("a defect")
    assert get("/fail/raw").status == 500
    assert "WherryError" in caplog.text


def test_errors_without_description() -> None:
    reply = get("/nope", http_describe_errors=False)
    assert (reply.status, reply.body) == (404, b"")
    assert "content-type" not in reply.headers


def test_methods() -> None:
    wrong = call(make(), "PUT", "/items/1")
    assert (wrong.status, wrong.headers["allow"], wrong.body) == (405, "DELETE,GET", b"")
    assert call(make(), "HEAD", "/items/1").status == 404
    assert call(make(), "OPTIONS", "/items/1").status == 404
    assert call(make(), "PATCH", "/items/1").status == 400
    assert call(make(), "TRACE", "/items/1").status == 400


def test_method_override_of_a_post_only() -> None:
    override = {"X-HTTP-Method-Override": "delete"}
    assert call(make(), "POST", "/items/1", headers=override).status == 200
    assert call(make(), "GET", "/items", headers={"X-HTTP-Method-Override": "POST"}).status == 405
    assert call(make(), "GET", "/fail/format?_method=DELETE").status == 400


def test_empty_and_literal_answers_have_a_type() -> None:
    taken = call(make(), "POST", "/take", b"x")
    assert (taken.status, taken.headers["content-type"], taken.body) == (200, "text/plain", b"")
    reply = get("/literal")
    assert (reply.headers["content-type"], reply.body) == ("application/json", b"{}")
    assert get("/items/1").headers["content-type"] == "application/json; charset=utf-8"


def test_a_very_long_url() -> None:
    assert get("/items/" + "x" * limits.URL_BYTES).status == 414
    assert get("/items/1?" + "x" * limits.URL_BYTES).status == 414


def test_other_machines_are_refused_unless_allowed() -> None:
    def status(address: str, **config: Any) -> int:
        return call(make(**config), "GET", "/items/1", client=(address, 1)).status

    assert status("192.0.2.1") == 401
    assert status("192.0.2.1", remote_access_allowed=True) == 200
    for local in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        assert status(local) == 200
    for other in ("::ffff:192.0.2.1", "fe80::1%eth0", "nonsense"):
        assert status(other) == 401


USERS = {"authentication_enabled": True, "registered_users": {"alice": "pa:ss", "bob": "é"}}


def test_basic_authentication() -> None:
    app = make(**USERS)
    reply = call(app, "GET", "/items/1", headers=basic("alice", "pa:ss"))
    assert reply.json()["user"] == "alice"
    assert call(app, "GET", "/items/1", headers=basic("bob", "é")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("nobody", "pa:ss"),
        basic("", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic ?"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + base64.b64encode(b"alice").decode()},
    ],
)
def test_every_failure_looks_the_same(headers: dict[str, str]) -> None:
    for target in ("/items/1", "/nope"):
        reply = call(make(**USERS), "GET", target, headers=headers)
        assert reply.status == 401
        assert reply.body == b""
        assert reply.headers == {
            "content-length": "0",
            "www-authenticate": 'Basic realm="Orthanc Secure Area"',
        }


def test_a_refusal_in_mid_body_is_seen_before_the_connection_ends() -> None:
    headers = {"Content-Length": str(1 << 40)}
    reply = call(make(), "POST", "/take", [b"x" * 70_000] * 40, headers)
    assert reply.status == 413
    assert reply.headers["connection"] == "close"
    assert reply.ended
    assert json.loads(reply.body)["HttpStatus"] == 413


def test_lingering_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_S", 0.01)
    monkeypatch.setattr(limits, "LINGER_BYTES", 100_000)
    taken = 0

    def endless() -> Any:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * 50_000

    reply = call(make(), "POST", "/fail/format", endless(), {"Transfer-Encoding": "chunked"})
    assert (reply.status, reply.ended) == (400, True)
    assert call(make(), "POST", "/fail/format", [b"x", b""], {"Content-Length": str(1 << 40)}).ended


def test_small_bodies_do_not_cost_the_connection() -> None:
    reply = call(make(), "POST", "/fail/format", b"xy", {"Content-Length": "2"})
    assert "connection" not in reply.headers


def test_requests_are_measured() -> None:
    app = make()
    call(app, "GET", "/items/1")
    text = app.state.services.metrics.render()
    assert "orthanc_rest_api_active_requests 1 " in text
    assert "orthanc_rest_api_duration_ms " in text
