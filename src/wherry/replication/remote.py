"""The server at the other end, a Wherry or an Orthanc: the few requests that are needed.

Credentials come out of the address, and never appear in a message.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson

from wherry import limits
from wherry.errors import ConfigurationError, NetworkProtocol, PeerUnavailable, WherryError
from wherry.model import Peer
from wherry.peers.bodies import ReaderBody
from wherry.peers.client import PeerClient, Request
from wherry.peers.patience import Patience
from wherry.peers.refusal import PeerRefusal
from wherry.peers.tls import Tls
from wherry.storage.base import FileReader, type_read

_MD5 = re.compile(r"[0-9a-f]{32}")
_STORED = ("Success", "AlreadyStored")
_HOPELESS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.INSUFFICIENT_STORAGE,
)
type_wait = Callable[[float], None]


class Remote:
    """One server. All requests may be made from any thread; close it in the end."""

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: str = "",
        authorities: Path | None = None,
    ) -> None:
        """``username`` and ``password`` count when the address holds none; ``authorities`` = the
        certificates to trust, None = those of the system. Raises ``ConfigurationError``."""
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise ConfigurationError("The port in the address of a server is no number") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigurationError(
                "The address of a server looks like http://host:8042/ or https://user:pw@host/"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.name = f"{host}{port}"
        self.url = urlunsplit((parts.scheme, self.name, parts.path.rstrip("/") + "/", "", ""))
        if parts.username is not None:
            username, password = unquote(parts.username), unquote(parts.password or "")
        peer = Peer(self.name, self.url, username, password)
        tls = Tls(authorities=authorities)
        self._client = PeerClient(peer, timeout_s=limits.REPLICATION_TIMEOUT_S, tls=tls)
        self.wait: type_wait = _no_pause

    def abort(self) -> None:
        """Cut all connections: requests fail from now on."""
        self._client.abort()

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- questions -------------------------------------------------------------------------
    def count(self) -> int:
        """Instances that the server holds; also shows that it is one."""
        found = self._json("/statistics")
        count = found.get("CountInstances") if isinstance(found, dict) else None
        if not isinstance(count, int):
            raise NetworkProtocol(f"{self.url} is no Orthanc: it has no statistics")
        return count

    def studies(self) -> list[str]:
        """All studies, in the server's order."""
        return _texts(self._json("/studies", limits.REPLICATION_LIST_BYTES), self.url)

    def instances_of(self, study: str) -> list[str]:
        """The instances of a study; none when it is not there."""
        target = f"/studies/{study}/instances?expand=false"
        try:
            found = self._json(target, limits.REPLICATION_LIST_BYTES)
        except PeerRefusal as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return []
            raise
        if isinstance(found, list):  # releases before 1.12 expand them whatever one says
            found = [one.get("ID") if isinstance(one, dict) else one for one in found]
        return _texts(found, self.url)

    def md5_of(self, instance: str) -> str:
        """Lower-case hex; "" when the instance is not there, or has no digest."""
        target = f"/instances/{instance}/attachments/dicom/md5"
        request = Request("GET", target, f"Instance {instance}")
        try:
            found = self._patiently(request).decode("ascii", "replace").strip().lower()
        except PeerRefusal as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return ""
            raise
        return found if _MD5.fullmatch(found) else ""

    # --- files -----------------------------------------------------------------------------
    def fetch(self, instance: str, file: IO[bytes]) -> str:
        """Write an instance into an empty file; the MD5 of what came."""
        request = Request("GET", f"/instances/{instance}/file", f"Instance {instance}")

        def once() -> str:
            file.seek(0)
            file.truncate()
            digest = hashlib.md5(usedforsecurity=False)

            def take(read: type_read) -> None:
                buffer = memoryview(bytearray(limits.READ_CHUNK_BYTES))
                while size := read(buffer):
                    piece = buffer[:size]
                    digest.update(piece)
                    while piece:
                        piece = piece[file.write(piece) :]

            self._client.fetch(request, take)
            return digest.hexdigest()

        return Patience(self.wait)(once)

    def store(self, reader: FileReader) -> tuple[str, bool]:
        """Hand in a DICOM file: its identifier there, and whether it was there already.

        Raises ``NetworkProtocol`` when the server does not say that it has it now.
        """
        request = Request("POST", "/instances", "The file", ReaderBody(reader))
        answer = _parsed(self._patiently(request), self.url)
        if not isinstance(answer, dict) or not isinstance(answer.get("ID"), str):
            raise NetworkProtocol(f"{self.url} answers an upload, but not like Orthanc")
        status = answer.get("Status")
        if status not in _STORED:
            raise NetworkProtocol(f"{self.url} does not store it ({str(status)[:64]})")
        return answer["ID"], status == "AlreadyStored"

    # --- inside ----------------------------------------------------------------------------
    def _json(self, target: str, limit: int = limits.PEER_ANSWER_BYTES) -> Any:
        request = Request("GET", target, f"ask for {target.partition('?')[0]}", limit=limit)
        return _parsed(self._patiently(request), self.url)

    def _patiently(self, request: Request) -> bytes:
        return Patience(self.wait)(lambda: self._client.ask(request).body)


def ends_it(error: WherryError) -> bool:
    """Whether there is no point in going on with other files."""
    if isinstance(error, PeerRefusal):
        return error.status in _HOPELESS
    return isinstance(error, PeerUnavailable)


def _no_pause(seconds: float) -> None:
    """Replaced while threads are at work."""


def _parsed(body: bytes, url: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NetworkProtocol(f"{url} does not answer with JSON: is it an Orthanc?") from None


def _texts(value: Any, url: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise NetworkProtocol(f"{url} does not answer with a list")
    return value
