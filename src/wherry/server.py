"""The only place that puts everything together, and takes it apart again.

Start: index, storage, presence; then the dead are looked for and their leftovers cleared; then
workers, then the port. Stop, on SIGTERM, SIGINT or a shutdown over HTTP: the port first, then work
in progress goes back to the index, then the lease is given up. A reset is a stop and a start with
the configuration as it is by then, behind a port that stays open.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvloop

from wherry import clock, dimse, limits, logs, rest, transfers
from wherry.archives.job import ArchiveJobs
from wherry.archives.order import ARCHIVE, MEDIA
from wherry.config import Config
from wherry.dicom import charsets, dictionary, extra, scan
from wherry.errors import ConfigurationError, StorageUnavailable, WherryError
from wherry.http import threads
from wherry.http.app import build_app
from wherry.http.lifecycle import Lifecycle
from wherry.http.port import Signals, address, answer, listen
from wherry.http.services import Services
from wherry.index import stability, staging
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor, reclaim, restore
from wherry.jobs.engine import JobEngine
from wherry.jobs.shop import Rules
from wherry.metrics import Metrics
from wherry.modalities import ModalityBook
from wherry.modalities.commitment import ask_to_commit
from wherry.modalities.commitment_scp import CommitmentScp
from wherry.modalities.pool import AssociationPool
from wherry.modalities.retrieving import GetJobs, MoveJobs
from wherry.modalities.store import MOVE_TYPE, ModalityStore
from wherry.modalities.store import TYPE as STORE_TYPE
from wherry.model import Level
from wherry.peers import PeerBook
from wherry.peers.store import PeerStore
from wherry.presence import Presence
from wherry.receiving import Receiving
from wherry.storage.base import StorageArea
from wherry.storage.building import storage_area
from wherry.storage.cache import FileCache
from wherry.transfers.service import TransferService
from wherry.webhooks.events import JOB_TYPE
from wherry.webhooks.job import WebhookJobs
from wherry.webhooks.lookout import Lookout
from wherry.worklists import WorklistBook

log = logging.getLogger(__name__)

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
    signals = Signals()
    listener = listen(config)
    modalities_port = dimse.listen(config)
    while True:
        lifecycle = Lifecycle(read_configuration or partial(_same, config))
        with running(config, lifecycle) as parts:
            app = build_app([*rest.routes(), *transfers.routes()], parts, config)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(
                    _answer_all(
                        answer(app, config, listener, lifecycle, signals, announce),
                        dimse.Listener(parts),
                        modalities_port,
                    )
                )
        announce = partial(log.info, "Answering again at %s")
        if signals.came or lifecycle.next is None:
            listener.close()
            return 0
        log.info("Starting anew, as /tools/reset asked")
        if address(lifecycle.next) != address(config):
            listener.close()
            listener = listen(lifecycle.next)
        if dimse.address(lifecycle.next) != dimse.address(config):
            if modalities_port is not None:
                modalities_port.close()
            modalities_port = dimse.listen(lifecycle.next)
        config = lifecycle.next


async def _answer_all(
    http: Coroutine[object, object, None], listener: dimse.Listener, port: socket.socket | None
) -> None:
    """Answer over HTTP and, when there is a port for it, over DICOM."""
    if port is None:
        await http
        return
    try:
        await listener.start(port)
    except BaseException:
        http.close()
        raise
    try:
        await http
    finally:
        await listener.close()


def _same(config: Config) -> Config:
    return config


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
        storage = storage_area(config, presence.id, metrics)
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
        modalities = ModalityBook(config, index)
        associations = AssociationPool(config.dimse.association_close_delay_s)
        receiving = Receiving(config)
        calls = threads.Pool(limits.QUERIES_AT_ONCE)
        transfer_service = TransferService(config, index, storage, ingest, peers, metrics)
        jobs = JobEngine(
            index,
            [
                *transfer_service.handlers(),
                PeerStore(config, index, storage, peers),
                *_modality_jobs(config, index, storage, modalities, associations),
                CommitmentScp(config, index, ingest.attachments, modalities),
                MoveJobs(config, modalities),
                GetJobs(config, modalities, ingest, receiving),
                *_archive_jobs(config, index, storage, janitor),
                WebhookJobs(config, index),
            ],
            _rules(config),
            process_id=presence.id,
            removed=janitor.wake,
            metrics=metrics,
        )
        parts = Services(
            config=config,
            index=index,
            storage=storage,
            files=FileCache(config.maximum_storage_cache_bytes),
            ingest=ingest,
            jobs=jobs,
            peers=peers,
            modalities=modalities,
            associations=associations,
            calls=calls,
            worklists=WorklistBook(config, index),
            transfers=transfer_service,
            metrics=metrics,
            receiving=receiving,
            warnings=warnings,
            lifecycle=lifecycle or Lifecycle(partial(_same, config)),
            process_id=presence.id,
        )
        housekeeping = Housekeeping(parts, presence)
        lookout = Lookout(index, jobs, config.wherry.webhooks)
        with _left_to_housekeeping():
            housekeeping.bury_the_dead()
        if not config.save_jobs:
            _give_up_waiting_jobs(jobs, presence)
        with _left_to_housekeeping():
            transfer_service.expire()
        janitor.start()
        jobs.start()
        housekeeping.start()
        lookout.start()
        try:
            yield parts
        finally:
            lookout.close()
            jobs.stop()  # may last longer than a lease: the heartbeat goes on meanwhile
            associations.close()
            transfer_service.close()
            calls.stop()
            housekeeping.close()
            ingest.close()
            janitor.close()
            storage.close()
            presence.leave()
    finally:
        index.close()
        logs.stop_counting(warnings)


@contextmanager
def _left_to_housekeeping() -> Iterator[None]:
    """A storage that is out of reach keeps no server from starting."""
    try:
        yield
    except StorageUnavailable as error:
        log.warning("What an earlier process left is looked at later: %s", error)


def _rules(config: Config) -> Rules:
    webhooks = len(config.wherry.webhooks)
    errands = {MOVE_TYPE: limits.MOVES}
    if webhooks:
        errands[JOB_TYPE] = min(webhooks, limits.WEBHOOK_WORKERS)
    return Rules(
        concurrency=config.concurrent_jobs,
        history_size=config.jobs_history_size,
        pending=min(config.limit_jobs or limits.PENDING_JOBS, limits.PENDING_JOBS),
        retries=config.wherry.job_retries,
        errands=errands,
    )


def _modality_jobs(
    config: Config,
    index: Index,
    storage: StorageArea,
    modalities: ModalityBook,
    associations: AssociationPool,
) -> list[ModalityStore]:
    commit = partial(ask_to_commit, config, index)
    return [
        ModalityStore(config, index, storage, modalities, associations, commit, type)
        for type in (STORE_TYPE, MOVE_TYPE)
    ]


def _archive_jobs(
    config: Config, index: Index, storage: StorageArea, janitor: Janitor
) -> list[ArchiveJobs]:
    keep, utf8 = config.media_archive_size, config.zip_use_utf8
    return [
        ArchiveJobs(type, index, storage, janitor.wake, keep=keep, utf8=utf8)
        for type in (ARCHIVE, MEDIA)
    ]


def _give_up_waiting_jobs(jobs: JobEngine, presence: Presence) -> None:
    """``SaveJobs: false``, ``--no-jobs``: nothing is taken up again."""
    if presence.known() == {presence.id}:
        jobs.give_up_waiting("The server was started anew, and was told not to go on with it")
    else:
        log.warning("Jobs go on: other servers that share the index have them too")


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
        self._next_worklist = clock.monotonic()
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
        jobs = self._parts.jobs.adopt(dead)
        with index.read() as tx:
            gone = [*dead, *staging.ownerless(tx)]
        removed = reclaim(index, storage, gone)
        lost = [*dead, *logs_left.difference(self._presence.known())]
        restored = sum(restore(index, storage, process_id) for process_id in lost)
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
            for duty in (
                self._presence.renew,
                self.bury_the_dead,
                self._mark_stable,
                self._expire_transfers,
                self._expire_worklists,
            ):
                try:
                    duty()
                except StorageUnavailable as error:
                    log.warning("Housekeeping waits: %s", error)
                except WherryError:
                    log.exception("Housekeeping failed; it tries again")

    def _mark_stable(self) -> None:
        mark_stable(self._parts.index, self._parts.config.stable_age_s)

    def _expire_transfers(self) -> None:
        if clock.monotonic() >= self._next_expiry:
            self._parts.transfers.expire()
            self._next_expiry = clock.monotonic() + _EXPIRE_EVERY_S

    def _expire_worklists(self) -> None:
        worklists = self._parts.config.worklists
        if worklists.enable and clock.monotonic() >= self._next_worklist:
            self._parts.worklists.expire()
            self._next_worklist = clock.monotonic() + worklists.housekeeping_s


def mark_stable(index: Index, stable_age_s: float) -> None:
    """Announce what nothing was added to for so long."""
    before = clock.timestamp() - stable_age_s
    while index.write(lambda tx: stability.mark_stable(tx, before, _STABLE_BATCH)):
        pass


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
        trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8
        libc.mallopt(mmap_threshold, 32 * limits.MIB)  # the most that glibc takes
        libc.mallopt(trim_threshold, 64 * limits.MIB)
        libc.mallopt(top_pad, 16 * limits.MIB)
        libc.mallopt(arena_max, 2)  # each keeps what it once had
