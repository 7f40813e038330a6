"""The whole server in this process, without a socket: rooms, faces, and requests to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.asgi import Reply, call
from wherry import rest, server, transfers
from wherry.config import Config
from wherry.http.app import Application, build_app
from wherry.http.services import Services


@dataclass
class Face:
    """A server to speak to."""

    app: Application
    rooms: Services
    folder: Path

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return call(self.app, method, target, body, headers)

    def get(self, target: str) -> Reply:
        return self.request("GET", target)

    def json(self, target: str) -> Any:
        """A GET that must succeed."""
        reply = self.get(target)
        assert reply.status == 200, (target, reply.status, reply.body)
        assert reply.headers["content-type"] == "application/json; charset=utf-8"
        return reply.json()

    def post_json(self, target: str, value: Any) -> Reply:
        return self.request("POST", target, json.dumps(value).encode())

    def upload(self, data: bytes | Iterable[bytes], **headers: str) -> Any:
        """An upload that must succeed."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.request("POST", "/instances", data, names)
        assert reply.status == 200, (reply.status, reply.body)
        return reply.json()

    def files(self) -> list[str]:
        """Names of the stored files."""
        return sorted(p.name for p in (self.folder / "storage").glob("??/*/*"))


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Face]:
    """A server on SQLite in ``folder``; ``settings`` as in ``Config``."""
    config = replace(
        Config(storage_directory=folder / "storage", index_directory=folder / "index"), **settings
    )
    with server.running(config) as rooms:
        app = build_app([*rest.routes(), *transfers.routes()], rooms, config)
        yield Face(app, rooms, folder)
