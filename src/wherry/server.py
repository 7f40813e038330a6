"""The only place that puts everything together, and takes it apart again.

Start: index, storage, presence; then the dead are looked for and their leftovers cleared; then
workers, then the port. Stop, on SIGTERM, SIGINT or a shutdown over HTTP: the port first, then work
in progress goes back to the index, then the lease is given up. A reset is a stop and a start with
the configuration as it is by then, behind a port that stays open.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import logging
import resource
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
import uvloop

from wherry import clock, limits, logs, rest, transfers
from wherry.config import Config
from wherry.dicom import charsets, dictionary, extra, scan
from wherry.errors import ConfigurationError, WherryError
from wherry.http import threads
from wherry.http.app import build_app
from wherry.http.lifecycle import Lifecycle
from wherry.http.protocol import connection
from wherry.http.services import Services
from wherry.index import stability
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor, reclaim, restore
from wherry.jobs.engine import JobEngine
from wherry.metrics import Metrics
from wherry.model import Level
from wherry.peers import PeerBook
from wherry.peers.store import PeerStore
from wherry.presence import Presence
from wherry.receiving import Receiving
from wherry.storage.cache import FileCache
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.transfers.service import TransferService

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 75
_GRACE_S = 10
_STABLE_BATCH = 1000
_EXPIRE_EVERY_S = 60.0


def serve(
    config: Config,
    announce: Callable[[str], None],
    read_configuration: Callable[[], Config] | None = None,
) -> int:
    """Run the server until SIGTERM, SIGINT or a shutdown over HTTP; the exit code.

    ``announce`` is called once with the base URL when requests are answered;
    ``read_configuration`` gives the configuration of the life after a reset.
    Raises ``ConfigurationError``, ``IncompatibleDatabase``, ``DatabaseError`` before that.
    """
    _tune_allocator()
    _open_many_files()
    signals = _Signals()
    listener = _listen(config)
    while True:
        lifecycle = Lifecycle(read_configuration or partial(_same, config))
        with running(config, lifecycle) as parts:
            app = build_app([*rest.routes(), *transfers.routes()], parts, config)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_answer(app, config, listener, lifecycle, signals, announce))
        announce = partial(log.info, "Answering again at %s")
        if signals.came or lifecycle.next is None:
            listener.close()
            return 0
        log.info("Starting anew, as /tools/reset asked")
        if _address(lifecycle.next) != _address(config):
            listener.close()
            listener = _listen(lifecycle.next)
        config = lifecycle.next


def _same(config: Config) -> Config:
    return config


class _Signals:
    """Remembers that SIGTERM or SIGINT came, in whatever life or between two of them."""

    def __init__(self) -> None:
        self.came = False

    def catch(self) -> None:
        """From here on; before, they end the process at once, which has nothing to tidy up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self.came = True


def index_settings(config: Config) -> IndexSettings:
    """Where the index of this configuration is."""
    return IndexSettings(
        sqlite_path=None if config.postgresql else config.index_directory / "wherry.db",
        postgresql=config.postgresql,
    )


@contextmanager
def running(config: Config, lifecycle: Lifecycle | None = None) -> Iterator[Services]:
    """Everything below the faces, started; stopped in reverse order at the end."""
    threads.configure(config.wherry.worker_threads)
    _assume(config)
    _make_folder(config.index_directory, "IndexDirectory")
    metrics = Metrics()
    metrics.enabled = config.metrics_enabled
    warnings = logs.count_warnings()
    index = open_index(index_settings(config))
    try:
        _make_folder(config.storage_directory, "StorageDirectory")
        presence = Presence(index)
        presence.register()
        files = FilesystemStorage(config.storage_directory, presence.id)
        storage = CountingStorage(files, metrics)
        janitor = Janitor(index, storage)
        ingest = Ingest(
            index,
            storage,
            janitor,
            owner=presence.id,
            overwrite=config.overwrite_instances,
            max_instance_bytes=config.wherry.maximum_instance_bytes,
            compress=config.storage_compression,
            bounds=_bounds(config),
            signatures=_signatures(config),
        )
        peers = PeerBook(config, index)
        transfer_service = TransferService(config, index, storage, ingest, peers)
        jobs = JobEngine(
            index,
            [*transfer_service.handlers(), PeerStore(config, index, storage, peers)],
            process_id=presence.id,
            concurrency=config.concurrent_jobs,
            history_size=config.jobs_history_size,
        )
        parts = Services(
            config=config,
            index=index,
            storage=storage,
            files=FileCache(config.maximum_storage_cache_bytes),
            ingest=ingest,
            jobs=jobs,
            peers=peers,
            transfers=transfer_service,
            metrics=metrics,
            receiving=Receiving(config),
            warnings=warnings,
            lifecycle=lifecycle or Lifecycle(partial(_same, config)),
            process_id=presence.id,
        )
        housekeeping = Housekeeping(parts, presence)
        housekeeping.bury_the_dead()
        transfer_service.expire()
        janitor.start()
        jobs.start()
        housekeeping.start()
        try:
            yield parts
        finally:
            jobs.stop()  # may last longer than a lease: the heartbeat goes on meanwhile
            transfer_service.close()
            housekeeping.close()
            ingest.close()
            janitor.close()
            storage.close()
            presence.leave()
    finally:
        index.close()
        logs.stop_counting(warnings)


def _signatures(config: Config) -> dict[Level, str]:
    """Nothing is signed when just the main tags are kept."""
    kept = config.extra_main_dicom_tags
    return {level: extra.signature(level, kept) for level in Level} if any(kept.values()) else {}


def _assume(config: Config) -> None:
    """How files are read: what they do not say of themselves, and what is wanted of them."""
    scan.look_for(extra.extra_of(config.extra_main_dicom_tags))
    try:
        charsets.set_default(config.default_encoding)
    except WherryError:
        names = ", ".join(charsets.ENCODINGS)
        raise ConfigurationError(f'"DefaultEncoding" is none of {names}') from None
    dictionary.configure(
        [
            dictionary.OwnEntry(own.tag, dictionary.Entry(own.name, own.vr), own.creator)
            for own in config.dictionary
        ],
        load_private=config.load_private_dictionary,
        default_creator=config.default_private_creator,
    )


def _bounds(config: Config) -> Bounds | None:
    """None when the store may grow: then nobody counts."""
    if not (config.maximum_storage_bytes or config.maximum_patient_count):
        return None
    return Bounds(
        config.maximum_storage_bytes,
        config.maximum_patient_count,
        recycle=config.maximum_storage_mode == "Recycle",
    )


def _make_folder(folder: Path, key: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{key} {folder} cannot be made: {error.strerror}") from error


class Housekeeping:
    """The thread that renews the lease, takes over from the dead and marks what is stable."""

    def __init__(self, parts: Services, presence: Presence) -> None:
        self._parts = parts
        self._presence = presence
        self._stop = threading.Event()
        self._next_expiry = clock.monotonic() + _EXPIRE_EVERY_S
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def close(self) -> None:
        """End them."""
        self._stop.set()
        self._thread.join()

    def bury_the_dead(self) -> None:
        """Take over jobs and leftovers of dead processes."""
        index, storage = self._parts.index, self._parts.storage
        logs_left = set(storage.logs())
        dead = self._presence.dead()
        removed = reclaim(index, storage, dead, self._presence.id)
        lost = [*dead, *logs_left.difference(self._presence.known())]
        restored = sum(restore(index, storage, process_id) for process_id in lost)
        jobs = self._parts.jobs.adopt(dead)
        for process_id in dead:
            self._presence.bury(process_id)
        if not dead:
            return
        log.warning(
            "An earlier process ended without notice: %d unfinished files removed, "
            "%d files restored, %d jobs taken over",
            removed,
            restored,
            jobs,
        )

    def _run(self) -> None:
        while not self._stop.wait(limits.HEARTBEAT_S):
            try:
                self._round()
            except WherryError:
                log.exception("Housekeeping failed; it tries again")

    def _round(self) -> None:
        self._presence.renew()
        self.bury_the_dead()
        mark_stable(self._parts.index, self._parts.config.stable_age_s)
        if clock.monotonic() >= self._next_expiry:
            self._parts.transfers.expire()
            self._next_expiry = clock.monotonic() + _EXPIRE_EVERY_S


def mark_stable(index: Index, stable_age_s: float) -> None:
    """Announce what nothing was added to for so long."""
    before = clock.timestamp() - stable_age_s
    while index.write(lambda tx: stability.mark_stable(tx, before, _STABLE_BATCH)):
        pass


# --- the port ------------------------------------------------------------------------------
def _listen(config: Config) -> socket.socket:
    """A listening socket, taken before anything else so that a busy port is said at once."""
    try:
        return socket.create_server(_address(config), backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"HttpPort {config.http_port} cannot be used ({error.strerror}): "
            "is another server running? Choose another port in the configuration."
        ) from error


def _address(config: Config) -> tuple[str, int]:
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
        signals: _Signals,
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
        for server in self.servers:
            server.close()
        await asyncio.sleep(limits.LAST_REQUEST_S)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


async def _answer(
    app: Callable[..., object],
    config: Config,
    listener: socket.socket,
    lifecycle: Lifecycle,
    signals: _Signals,
    announce: Callable[[str], None],
) -> None:
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


def _open_many_files() -> None:
    """Each connection is a descriptor, and the usual 1,024 are few; the system allows more to who
    asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * limits.CONNECTIONS if hard < 0 else min(hard, 4 * limits.CONNECTIONS)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tune_allocator() -> None:
    """Keep the buffers of bodies in the heap: mapping and unmapping each one, and touching its
    fresh pages, costs several times more than the copy it is made for.

    glibc only (mallopt(3)); figures in docs/decisions/http-server.md.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        libc.mallopt(mmap_threshold, 32 * limits.MIB)  # the most that glibc takes
        libc.mallopt(trim_threshold, 64 * limits.MIB)
        libc.mallopt(top_pad, 16 * limits.MIB)
