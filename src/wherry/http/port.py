"""The port: a listening socket, uvicorn behind it, TLS, and how their time ends.

Not here: what is answered (``app``), how HTTP is parsed (``protocol``), what else must be started
and stopped (``server``).
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from wherry import limits
from wherry.config import Config
from wherry.errors import ConfigurationError
from wherry.http.lifecycle import Lifecycle
from wherry.http.protocol import connection

_KEEP_ALIVE_S = 75
_GRACE_S = 10


class Signals:
    """Remembers that SIGTERM or SIGINT came, in whatever life or between two of them."""

    def __init__(self) -> None:
        self.came = False

    def catch(self) -> None:
        """From here on; before, they end the process at once, which has nothing to tidy up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self.came = True


def listen(config: Config) -> socket.socket:
    """A listening socket, taken before anything else so that a busy port is said at once."""
    try:
        return socket.create_server(address(config), backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"HttpPort {config.http_port} cannot be used ({error.strerror}): "
            "is another server running? Choose another port in the configuration."
        ) from error


def address(config: Config) -> tuple[str, int]:
    """Where to listen: "" = every interface."""
    host = config.wherry.bind_address or ("" if config.remote_access_allowed else "127.0.0.1")
    return host, config.http_port


def _host_of(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    local = ipaddress.ip_address(address)
    return f"{'localhost' if local.is_loopback or local.is_unspecified else address}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, with its signals left to us: alone it would end by its own signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        lifecycle: Lifecycle,
        signals: Signals,
        announce: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._signals = signals
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        self._signals.catch()
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is over."""
        return self._signals.came or self._lifecycle.ending or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, and hear out who was let in at the last moment."""
        self._lifecycle.ending = True  # what has no end by itself looks at it
        for server in self.servers:
            server.close()
        await asyncio.sleep(limits.LAST_REQUEST_S)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


async def answer(
    app: Callable[..., object],
    config: Config,
    listener: socket.socket,
    lifecycle: Lifecycle,
    signals: Signals,
    announce: Callable[[str], None],
) -> None:
    """Answer requests until a signal comes or this life of the server is to end.

    ``announce`` is called with the base URL once it answers. The listener stays open.
    """
    settings = uvicorn.Config(
        app,
        http=connection,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        proxy_headers=False,
    )
    if config.ssl_enabled:
        settings.load()
        settings.ssl = _tls(config)
    url = f"{'https' if config.ssl_enabled else 'http'}://{_host_of(listener)}/"
    server = _Server(settings, lifecycle, signals, lambda: announce(url))
    # A duplicate, because it is closed at the end: the port itself stays ours for another life.
    await server.serve(sockets=[listener.dup()])


def _tls(config: Config) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest_only = config.ssl_minimum_protocol_version >= 5
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest_only else ssl.TLSVersion.TLSv1_2
    try:
        if config.ssl_ciphers_accepted:
            context.set_ciphers(":".join(config.ssl_ciphers_accepted))
    except ssl.SSLError as error:
        raise ConfigurationError("SslCiphersAccepted names no cipher known here") from error
    try:
        if config.ssl_verify_peers:
            context.load_verify_locations(config.ssl_trusted_client_certificates)
            context.verify_mode = ssl.CERT_REQUIRED
            # The file may name the clients' own certificates, not only those of an authority.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"SslTrustedClientCertificates {config.ssl_trusted_client_certificates} cannot be "
            f"used: it must be a PEM file of certificates ({error})"
        ) from error
    try:
        context.load_cert_chain(config.ssl_certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"SslCertificate {config.ssl_certificate} cannot be used: it must be one PEM file "
            f"with the certificate and its private key ({error})"
        ) from error
    return context
