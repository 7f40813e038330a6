"""A genuine Orthanc and a Wherry side by side; for tests of transfers two servers, and a proxy in
front of the one that receives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import Face, serving
from tests.support.genuine import Orthanc, running_orthanc
from tests.support.proxy import Proxy, proxied
from tests.support.server import Server, running
from tests.support.transfers import TRANSFERS, fill


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A genuine Orthanc, for all tests of a module."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A Wherry without a port, for all tests of a module."""
    with serving(tmp_path_factory.mktemp("wherry")) as served:
        yield served


@pytest.fixture
def configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the sender and the receiver; a module may have others."""
    return TRANSFERS, TRANSFERS


@pytest.fixture
def receiver(tmp_path: Path, configs: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[Server]:
    """A server without anything."""
    with running(Server(tmp_path / "receiver", config=configs[1])) as server:
        yield server


@pytest.fixture
def proxy(receiver: Server) -> Iterator[Proxy]:
    """What the sender takes for the receiver."""
    with proxied(receiver.port) as proxy:
        yield proxy


@pytest.fixture
def sender(
    tmp_path: Path, proxy: Proxy, configs: tuple[dict[str, Any], dict[str, Any]]
) -> Iterator[Server]:
    """A server with the study, whose peer ``there`` is the proxy."""
    config = {**configs[0], "OrthancPeers": {"there": {"Url": proxy.url}}}
    with running(Server(tmp_path / "sender", config=config)) as server:
        fill(server)
        yield server
