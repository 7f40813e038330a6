"""The requests about jobs. One attempt each: who waits and tries again is ``following``.

Not here: what a job's members mean (``view``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from wherry import limits
from wherry.errors import NetworkProtocol
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Request
from wherry.peers.refusal import PeerRefusal
from wherry.replication.remote import Remote

_ID = re.compile(r"[0-9A-Za-z_.-]{1,64}")
"""Orthanc has UUIDs; this much is safe in a terminal."""

_NOT_LET_IN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

type_raw = dict[str, Any]
"""A job as the server wrote it; its ``ID`` is known to be one."""


class JobServer(Remote):
    """A server and its jobs. Errors: ``PeerUnavailable``, ``PeerRefusal``, ``NetworkProtocol``."""

    def all(self) -> list[type_raw]:
        """Every job, in the server's order."""
        found = self._get("/jobs?expand", "The list of jobs")
        return [self._checked(one) for one in self._list(found)]

    def ids(self) -> list[str]:
        """Identifiers of all jobs."""
        found = self._get("/jobs", "The list of jobs")
        return [self._checked({"ID": one})["ID"] for one in self._list(found)]

    def job(self, job_id: str) -> type_raw | None:
        """One job; None = the server does not know it."""
        try:
            found = self._get(f"/jobs/{quote(job_id, safe='')}", f"Job {job_id}")
        except PeerRefusal as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return self._checked(found)

    def act(self, job_id: str, action: str) -> PeerRefusal | None:
        """Ask for ``cancel``, ``pause``, ``resume`` or ``resubmit``; None = it was accepted."""
        request = Request(
            "POST",
            f"/jobs/{quote(job_id, safe='')}/{action}",
            f"{action.capitalize()} job {job_id}",
            BytesBody(),
            timeout_s=limits.JOBS_TIMEOUT_S,
            resend=False,  # a second "resume" would be refused, and hide that the first was not
        )
        try:
            with self._explained():
                self._client.ask(request)
        except PeerRefusal as error:
            if error.status in _NOT_LET_IN:
                raise
            return error
        return None

    def _get(self, target: str, what: str) -> Any:
        request = Request(
            "GET",
            target,
            what,
            timeout_s=limits.JOBS_TIMEOUT_S,
            limit=limits.REPLICATION_LIST_BYTES,
        )
        with self._explained():
            body = self._client.ask(request).body
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._nonsense() from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Says what to do about answers that have nothing to do with jobs."""
        try:
            yield
        except PeerRefusal as error:
            details = ""
            if error.status == HTTPStatus.UNAUTHORIZED:
                details = (
                    f"{self.name} does not let in without the right user and password: put them "
                    "into the address, or into WHERRY_USERNAME and WHERRY_PASSWORD"
                )
            elif error.status == HTTPStatus.FORBIDDEN:
                details = f"{self.name} does not allow this user to see or steer its jobs"
            elif 300 <= error.status < 400:
                details = f"{self.name} answers that it is to be found elsewhere: which address?"
            if not details:
                raise
            raise PeerRefusal(
                details, status=error.status, peer_code=None, retry_after_s=None
            ) from error

    def _list(self, found: Any) -> list[Any]:
        if not isinstance(found, list):
            raise self._nonsense()
        return found

    def _checked(self, found: Any) -> type_raw:
        name = found.get("ID") if isinstance(found, dict) else None
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise self._nonsense()
        return found  # type: ignore[no-any-return]

    def _nonsense(self) -> NetworkProtocol:
        return NetworkProtocol(f"{self.name} does not speak of jobs as Orthanc does: is it one?")
