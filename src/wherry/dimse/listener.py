"""The DICOM port: a listening socket, TLS, and the associations that are open.

Not here: what an association says.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from wherry import limits
from wherry.dimse.association import Association
from wherry.errors import ConfigurationError
from wherry.http.threads import Pool

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.http.services import Services

T = TypeVar("T")

log = logging.getLogger(__name__)


def listen(config: Config) -> socket.socket | None:
    """A listening socket; None when ``DicomServerEnabled`` is false. Raises
    ``ConfigurationError``."""
    where = address(config)
    if where is None:
        return None
    try:
        return socket.create_server(where, backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"DicomPort {config.dicom_port} cannot be used ({error.strerror}): is another server "
            'running? Choose another port, or say "DicomServerEnabled": false.'
        ) from error


def address(config: Config) -> tuple[str, int] | None:
    """Where to listen; None: nowhere."""
    if not config.dimse.server_enabled:
        return None
    return config.wherry.dicom_bind_address, config.dicom_port


class Listener:
    """All associations of one life of the server. On the event loop."""

    def __init__(self, rooms: Services) -> None:
        self.rooms = rooms
        self._open: set[Association] = set()
        self._server: asyncio.Server | None = None
        self._pool = Pool(limits.LENT_ASSOCIATIONS)
        self._free_threads = limits.LENT_ASSOCIATIONS

    @property
    def has_room(self) -> bool:
        """Whether one more association may be established; the one that asks is counted."""
        return len(self._open) <= limits.ASSOCIATIONS

    async def start(self, listener: socket.socket) -> None:
        """Answer what comes over a duplicate of ``listener``. Raises ``ConfigurationError`` when
        the files of TLS cannot be used."""
        context = server_context(self.rooms.config)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Association(self), sock=listener.dup(), ssl=context
        )

    async def close(self) -> None:
        """Nobody new; those who are there are told, and what they asked for is finished."""
        if self._server is not None:
            self._server.close()
        associations = list(self._open)
        for one in associations:
            one.close()
        for one in associations:
            await one.finished()
        self._pool.stop()

    def take_thread(self) -> bool:
        """Whether a thread is free for an association; then ``run`` must follow."""
        free = self._free_threads > 0
        self._free_threads -= free
        return free

    async def run(self, work: Callable[[], T]) -> T:
        """Let the thread that was taken do it."""
        try:
            return await self._pool.submit(work, (), {})
        finally:
            self._free_threads += 1

    def joined(self, association: Association) -> None:
        """A caller is there."""
        self._open.add(association)
        if len(self._open) > limits.ASSOCIATIONS + limits.ASSOCIATIONS_REJECTED:
            association.close()

    def left(self, association: Association) -> None:
        """It is gone."""
        self._open.discard(association)


def server_context(config: Config) -> ssl.SSLContext | None:
    """How callers are checked, and who we say we are, with ``DicomTlsEnabled`` (PS3.15 Annex B)."""
    dimse = config.dimse
    if not dimse.tls_enabled:
        return None
    assert dimse.tls_certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(dimse.tls_trusted_certificates)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = (
            ssl.CERT_REQUIRED if dimse.tls_remote_certificate_required else ssl.CERT_OPTIONAL
        )
        context.load_cert_chain(dimse.tls_certificate, dimse.tls_private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"The files of DICOM TLS cannot be used ({error})") from error
    return context
