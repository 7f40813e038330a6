"""What patients, files and users are called comes back inert, and leads nowhere.

Names that hold script, line ends, pieces of paths and NUL are stored wherever a user may store a
text, and everything that can be read is read: JSON stays JSON, text is not to be taken for HTML,
no header breaks, no file outside the storage area is read or written.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running
from wherry import rest, transfers

SCRIPT = "<script>alert(1)</script>"
NAMES = [SCRIPT, '"><img src=x onerror=alert(1)>', "../../../etc/passwd", "a\r\nSet-Cookie: x=1"]
NAMES += ["a\0b", "/etc/passwd", "..", "%2e%2e%2f", "${jndi:x}", "'; DROP TABLE instances; --"]
ENDLESS = "/jobs/events"
"""A stream without an end; ``test_rest_jobs`` reads it."""
CANARY = b"canary-7d1f"
TRICKS = [
    "..",
    "../..",
    "../../canary",
    "..\\..\\canary",
    "/etc/passwd",
    "\0",
    "a\0b",
    "\r\nX-Evil: 1",
]
TRICKS += [SCRIPT, ".", "~", "%2e%2e", "\ud7ff", "a" * 5000, "-1", "99999999999999999999", "*", "?"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("safety") / "server"
    config = {"UserMetadata": {"note": 5000}, "UserContentType": {"page": [5001, "text/html"]}}
    with running(Server(folder, config)) as found:
        (folder / "canary").write_bytes(CANARY)
        (folder.parent / "canary").write_bytes(CANARY)
        yield found


@pytest.fixture(scope="module")
def instance(server: Server) -> str:
    """An instance whose every text is hostile, in a study with hostile notes."""
    data = make_instance(
        patient_id=SCRIPT,
        PatientName=SCRIPT,
        StudyDescription='"><img src=x onerror=alert(1)>'[:64],
        SeriesDescription="../../../etc/passwd",
        AccessionNumber="a\r\nX-Evil: 1",
        InstitutionName="<svg/onload=alert(1)>",
    )
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    stored = json.loads(answer)
    study = f"/studies/{stored['ParentStudy']}"
    for number, name in enumerate(NAMES):
        body = name.encode()
        noted, _ = server.request("PUT", f"{study}/metadata/{1024 + number}", body)
        assert noted == (400 if "\0" in name else 200)
        assert server.request("PUT", f"{study}/attachments/{1024 + number}", body)[0] == 200
    assert server.request("PUT", f"{study}/metadata/note", SCRIPT.encode())[0] == 200
    assert server.request("PUT", f"{study}/attachments/page", SCRIPT.encode())[0] == 200
    assert isinstance(stored["ID"], str)
    return stored["ID"]


def raw(
    server: Server, method: str, target: str, body: bytes = b""
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def inert(headers: list[tuple[str, str]], body: bytes, target: str) -> None:
    """Whatever the body holds, a browser runs nothing of it."""
    found = {name.lower(): value for name, value in headers}
    assert "set-cookie" not in found, target
    assert "x-evil" not in found, target
    assert "access-control-allow-origin" not in found, target
    assert found["x-content-type-options"] == "nosniff", target
    kind = found.get("content-type", "").split(";")[0]
    if kind in ("application/json", "application/dicom+json"):
        json.loads(body)
    elif SCRIPT.encode() in body:
        if "sandbox" in found.get("content-security-policy", ""):
            return
        if not kind:  # a described error: without a type, but it does not look like HTML
            assert json.loads(body)["HttpStatus"] >= 400, target
            return
        safe = ("text/plain", "application/dicom", "application/octet-stream", "application/zip")
        assert kind in safe or "attachment" in found.get("content-disposition", ""), (target, kind)
    assert CANARY not in body, target


def parameters() -> list[tuple[str, str]]:
    """Every method and path of the server."""
    routes = [*rest.routes(), *transfers.routes()]
    return sorted(
        {(m, route.path) for route in routes for m in (route.methods or {"GET"}) - {"HEAD"}}
    )


def test_everything_that_can_be_read_is_inert(server: Server, instance: str) -> None:
    ids = {"instances": instance}
    for level in ("series", "studies", "patients"):
        ids[level] = server.json("GET", f"/{level}")[0]
    values = {"name": "1024", "tag": "0010-0010", "path": "0010-0010"}
    read = 0
    for method, path in parameters():
        if method != "GET" or path == ENDLESS:
            continue
        level = path.split("/")[1]
        target = re.sub(
            r"\{(\w+)(:\w+)?\}", lambda m, level=level: fill(m[1], level, ids, values), path
        )
        for query in ("", "?expand", "?full", "?simplify", "?short", "?requestedTags=PatientName"):
            status, headers, body = raw(server, "GET", target + query)
            assert status < 500 or "Unknown DICOM tag" in body.decode("latin-1"), (target, status)
            inert(headers, body, target)
            read += status == 200
    assert read > 100


def fill(name: str, level: str, ids: dict[str, str], values: dict[str, str]) -> str:
    if name == "id":
        return ids.get(level, "unknown")
    return values.get(name, "1024")


@pytest.mark.parametrize("name", NAMES)
def test_notes_come_back_as_they_were(server: Server, instance: str, name: str) -> None:
    study = f"/studies/{server.json('GET', '/studies')[0]}"
    number = 1024 + NAMES.index(name)
    targets = [f"{study}/attachments/{number}/data", f"{study}/metadata/{number}"]
    for target in targets[: 1 if "\0" in name else 2]:
        status, headers, body = raw(server, "GET", target)
        assert (status, body) == (200, name.encode()), target
        inert(headers, body, target)


def test_a_page_of_a_user_runs_in_a_world_of_its_own(server: Server, instance: str) -> None:
    """The operator said that these attachments are HTML; who wrote them is another question."""
    study = server.json("GET", "/studies")[0]
    status, headers, body = raw(server, "GET", f"/studies/{study}/attachments/page/data")
    assert (status, body) == (200, SCRIPT.encode())
    assert dict(headers)["Content-Type"] == "text/html"
    assert dict(headers)["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_downloads(server: Server, instance: str, name: str) -> None:
    status, headers, _ = raw(server, "GET", f"/instances/{instance}/file?filename={quote(name)}")
    assert status == 200
    found = dict(headers)["Content-Disposition"]
    assert re.fullmatch(r'filename="[^"/\\;\x00-\x1f\x7f]*"', found), found
    inert(headers, b"", name)


def test_labels_are_words(server: Server, instance: str) -> None:
    for name in NAMES:
        target = f"/instances/{instance}/labels/{quote(name, safe='')}"
        status, headers, body = raw(server, "PUT", target)
        assert 400 <= status < 500, (name, status)
        inert(headers, body, target)
    assert server.json("GET", f"/instances/{instance}/labels") == []


def outside(server: Server) -> dict[str, bytes]:
    """Files that are none of the server's own."""
    own = (server.storage, server.folder / "index", server.folder / "log")
    return {
        str(path): path.read_bytes()
        for path in server.folder.parent.rglob("*")
        if path.is_file() and not any(path.is_relative_to(one) for one in own)
    }


@pytest.mark.parametrize("trick", TRICKS)
def test_no_parameter_leads_anywhere(server: Server, instance: str, trick: str) -> None:
    before = outside(server)
    stored = server.json("GET", "/statistics")
    encoded = quote(trick, safe="")
    for method, path in parameters():
        if "{" not in path:
            continue
        names = re.findall(r"\{(\w+)(?::\w+)?\}", path)
        for bad in names:
            target = re.sub(
                r"\{(\w+)(:\w+)?\}", lambda m, bad=bad: encoded if m[1] == bad else instance, path
            )
            status, headers, body = raw(server, method, target, b"" if method == "GET" else b"{}")
            if status >= 500:  # documented: a tag that no dictionary knows
                assert json.loads(body)["OrthancStatus"] in (2, 27), (method, target, body)
            inert(headers, body, f"{method} {target}")
    assert outside(server) == before
    assert server.json("GET", "/statistics") == stored


def test_names_inside_a_zip(server: Server, instance: str) -> None:
    """Uploaded ZIPs: entries with hostile names end in the storage area, under a UUID."""
    before = outside(server)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, name in enumerate(NAMES):
            archive.writestr(name, make_instance(study=7, number=number + 1))
    status, answer = server.request("POST", "/instances", packed.getvalue())
    assert status == 200, answer
    for one in json.loads(answer):
        assert SCRIPT not in json.dumps(one)
        server.request("DELETE", one["Path"])
    assert outside(server) == before


def test_no_other_site_may_read(server: Server) -> None:
    """CORS is off: no answer invites another origin."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
        connection.request(method, "/instances", headers=asked)
        answer = connection.getresponse()
        answer.read()
        assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-")]
    connection.close()


def test_a_link_changes_nothing(server: Server, instance: str) -> None:
    """``?_method=DELETE`` of a GET, or of an image on any page."""
    for query in ("_method=DELETE", "_METHOD=delete", "method=DELETE"):
        assert server.get(f"/instances/{instance}?{query}")[0] == 200
    assert server.get(f"/instances/{instance}/file")[0] == 200
    target = f"/instances/{instance}"
    headers: dict[str, Any] = {"X-HTTP-Method-Override": "DELETE"}
    assert server.request("GET", target, headers=headers)[0] == 200
    assert Path(server.folder / "canary").read_bytes() == CANARY
