"""Whatever the OpenAPI document allows, and much that it does not, is sent to a running server.

It must go on answering: within seconds, never with a defect, and nothing that it holds may be lost
by a request that is not there to remove it. ``make fuzz`` sends thousands.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from tests.support import postgres
from tests.support.dicom_files import make_instance
from tests.support.server import Server, running
from wherry import rest, transfers
from wherry.model import Level
from wherry.rest.openapi import document

EXAMPLES = int(os.environ.get("WHERRY_FUZZ_EXAMPLES", "300"))
SLOWEST_S = 5.0
NAME = "<script>alert(1)</script>^../../etc/passwd"
INSTANCES = [make_instance(number=number, PatientName=NAME) for number in range(4)]

ENDING = ("/tools/reset", "/tools/shutdown")
DEFECT = " E wherry"
"""A line of the log that tells of an error."""
DEAD_PEER = "http://127.0.0.1:1/"

NAMES = ("1024", "dicom", "known", "0", "0010-0010", "LastUpdate")
"""Parts of paths that mean something somewhere."""
ANSWERS: Counter[int] = Counter()
"""How many there were of each status."""

_schema = schemathesis.openapi.from_dict(document([*rest.routes(), *transfers.routes()]))
OPERATIONS: list[APIOperation[Any, Any, Any, Any]] = [
    operation
    for result in _schema.get_all_operations()
    if (operation := result.ok()).path not in ENDING
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on each kind of index, which must have logged no error at the end."""
    config: dict[str, Any] = {
        "OrthancPeers": {"dead": [DEAD_PEER]},
        "Transfers": {"PeerConnectivityTimeout": 1},
    }
    with ExitStack() as stack:
        if request.param == "postgresql":
            conninfo = request.getfixturevalue("postgresql_conninfo")
            uri = stack.enter_context(postgres.database(conninfo))
            config["PostgreSQL"] = {"EnableIndex": True, "ConnectionUri": uri}
        ANSWERS.clear()
        folder = tmp_path_factory.mktemp(request.param)
        yield stack.enter_context(running(Server(folder, config)))
        log = (folder / "log").read_text(errors="replace")
        assert not [line for line in log.splitlines() if DEFECT in line]


@pytest.fixture(scope="module")
def known(server: Server) -> dict[str, str]:
    """Identifiers of what is there, by the first segment of a path."""
    for instance in INSTANCES:
        assert server.request("POST", "/instances", instance)[0] == 200
    found = {level.plural: server.json("GET", f"/{level.plural}")[0] for level in Level}
    for kind, orthanc_id in found.items():
        server.request("PUT", f"/{kind}/{orthanc_id}/labels/known")
        server.request("PUT", f"/{kind}/{orthanc_id}/metadata/1024", b"known")
        server.request("PUT", f"/{kind}/{orthanc_id}/attachments/1024", b"known")
    return found


def modes(operation: APIOperation[Any, Any, Any, Any]) -> list[GenerationMode]:
    """Requests as described, and, where something is described, others."""
    described = operation.query or operation.body
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if described else [])]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_operation(
    operation: APIOperation[Any, Any, Any, Any], server: Server, known: dict[str, str]
) -> None:
    kind = operation.path.split("/")[1]
    removes = operation.method.upper() == "DELETE" and operation.path.count("/") == 2
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes(operation)])

    @settings(
        max_examples=max(2, -(-EXAMPLES // len(OPERATIONS))),
        deadline=None,
        derandomize="WHERRY_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.sampled_from([True, True, True, False]), st.sampled_from(NAMES))
    def send(case: Any, real: bool, name: str) -> None:
        if real and not removes:
            for parameter in case.path_parameters or {}:
                if parameter == "id" and kind in known:
                    case.path_parameters["id"] = known[kind]
                else:
                    case.path_parameters[parameter] = name
        if operation.path == "/peers/{name}" and isinstance(case.body, dict):
            case.body["Url"] = DEAD_PEER  # whom else it would ask is not ours to try
        check(case.call(base_url=server.url, timeout=SLOWEST_S, allow_redirects=False))

    send()


def check(answer: Any) -> None:
    """No defect, and no server error but those that the document tells of."""
    status = answer.status_code
    ANSWERS[status] += 1
    if status < 500:
        return
    if status == requests.codes.unavailable:
        assert "retry-after" in {name.lower() for name in answer.headers}
        return
    error = json.loads(answer.content)
    assert (status, error["OrthancStatus"]) in ((500, 27), (500, 9)), error


def test_nothing_was_lost(server: Server, known: dict[str, str]) -> None:
    """Runs after the others. What was kept under its identifier is still what was sent. (Some may
    have been created.)"""
    assert server.json("GET", "/statistics")["CountInstances"] >= len(INSTANCES)
    print(dict(ANSWERS))  # shown with -s
    assert 3 * ANSWERS[200] > ANSWERS.total()  # not only refusals
    body = server.get(f"/instances/{known['instances']}/file")[1]
    assert body in INSTANCES
