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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvloop

from wherry import dimse, handlers, limits, logs, rest, transfers
from wherry.config import Config
from wherry.config.settings import processors
from wherry.dicom import charsets, dictionary, extra, scan
from wherry.errors import ConfigurationError, WherryError
from wherry.housekeeping import Housekeeping, left_to_housekeeping
from wherry.http import threads
from wherry.http.app import build_app
from wherry.http.drawing import Drawing
from wherry.http.lifecycle import Lifecycle
from wherry.http.port import Signals, address, answer, listen
from wherry.http.services import Services
from wherry.imaging.pool import ImagingPool
from wherry.imaging.transcoding import Transcoder
from wherry.index import moves, settings
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.ingest.ingest import Ingest
from wherry.ingest.recoding import IngestRecoding
from wherry.ingest.recovery import Janitor
from wherry.jobs.engine import JobEngine
from wherry.metrics import Metrics
from wherry.modalities import ModalityBook
from wherry.modalities.associations.pool import AssociationPool
from wherry.modalities.commitment.scp import CommitmentScp
from wherry.modalities.retrieving.job import GetJobs, MoveJobs
from wherry.model import Level
from wherry.moving.policy import Policy
from wherry.moving.reads import ReadNotes
from wherry.peers import PeerBook
from wherry.peers.store import PeerStore
from wherry.presence import Presence
from wherry.receiving import Receiving
from wherry.replication.overlooked import overlooked
from wherry.storage.base import StorageArea
from wherry.storage.building import Built, ring_files, storage_area
from wherry.storage.cache import FileCache
from wherry.storage.hybrid import type_noted
from wherry.transfers.service import TransferService
from wherry.webhooks.job import WebhookJobs
from wherry.webhooks.lookout import Lookout
from wherry.worklists import WorklistBook

log = logging.getLogger(__name__)


def serve(
    config: Config,
    announce: Callable[[str, str], None],
    read_configuration: Callable[[], Config] | None = None,
) -> int:
    """Run the server until SIGTERM, SIGINT or a shutdown over HTTP; the exit code.

    ``announce`` is called once when requests are answered, with the base URL and what the operator
    must not overlook ("" = nothing);
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
            notice = overlooked(config, parts.index)
            if notice:
                log.warning("%s", notice)
            app = build_app([*rest.routes(), *transfers.routes()], parts, config)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(
                    _answer_all(
                        answer(
                            app,
                            config,
                            listener,
                            lifecycle,
                            signals,
                            partial(_say, announce, notice),
                        ),
                        dimse.Listener(parts),
                        modalities_port,
                    )
                )
        announce = _answering_again
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


def _say(announce: Callable[[str, str], None], notice: str, url: str) -> None:
    announce(url, notice)


def _answering_again(url: str, notice: str) -> None:
    log.info("Answering again at %s", url)


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
        reads = ReadNotes(index)
        noted = reads.note if config.wherry.storage_policy.takes_away else _ignore
        storage, stores = open_storage(config, index, presence.id, metrics, noted)
        presence.register()
        janitor = Janitor(index, storage, presence.id)
        imaging = ImagingPool(
            config.wherry.imaging_workers or processors(),
            config.wherry.imaging_memory_bytes,
            metrics,
        )
        transcoder = Transcoder(imaging, config.lossy_quality)
        ingest = Ingest(
            index,
            storage,
            janitor,
            owner=presence.id,
            overwrite=config.overwrite_instances,
            max_instance_bytes=config.wherry.maximum_instance_bytes,
            compression=config.compression,
            codec=config.wherry.storage_codec,
            bounds=_bounds(config),
            signatures=_signatures(config),
            recoding=_ingest_recoding(config, transcoder, storage),
        )
        peers = PeerBook(config, index)
        modalities = ModalityBook(config, index)
        associations = AssociationPool(config.dimse.association_close_delay_s)
        receiving = Receiving(config)
        calls = threads.Pool(limits.QUERIES_AT_ONCE)
        drawing = Drawing(imaging.size)
        transfer_service = TransferService(config, index, storage, ingest, peers, metrics)
        jobs = JobEngine(
            index,
            [
                *transfer_service.handlers(),
                PeerStore(config, index, storage, peers, transcoder),
                *handlers.modality_jobs(
                    config, index, storage, modalities, associations, transcoder
                ),
                CommitmentScp(config, index, ingest.attachments, modalities),
                MoveJobs(config, modalities),
                GetJobs(config, modalities, ingest, receiving),
                *handlers.archive_jobs(config, index, storage, janitor, transcoder),
                *handlers.edit_jobs(config, index, storage, ingest, transcoder),
                *handlers.move_jobs(index, storage, stores, janitor, presence.id),
                WebhookJobs(config, index),
            ],
            handlers.rules(config),
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
            imaging=imaging,
            drawing=drawing,
            transcoder=transcoder,
            worklists=WorklistBook(config, index),
            transfers=transfer_service,
            metrics=metrics,
            receiving=receiving,
            warnings=warnings,
            lifecycle=lifecycle or Lifecycle(partial(_same, config)),
            process_id=presence.id,
        )
        policy = Policy(index, jobs, config.wherry.storage_policy, presence.id)
        housekeeping = Housekeeping(parts, presence, reads, policy)
        lookout = Lookout(index, jobs, config.wherry.webhooks)
        with left_to_housekeeping():
            housekeeping.bury_the_dead()
        if not config.save_jobs:
            _give_up_waiting_jobs(jobs, presence)
        with left_to_housekeeping():
            transfer_service.expire()
        janitor.start()
        jobs.start()
        housekeeping.start()
        lookout.start()
        try:
            yield parts
        finally:
            lookout.close()
            imaging.close()  # a job in the middle of an image goes back to wait
            jobs.stop()  # may last longer than a lease: the heartbeat goes on meanwhile
            drawing.close()
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


def _ingest_recoding(
    config: Config, transcoder: Transcoder, storage: StorageArea
) -> IngestRecoding | None:
    if not config.ingest_transcoding:
        return None
    return IngestRecoding(
        transcoder,
        storage,
        config.ingest_transcoding,
        uncompressed=config.ingest_transcoding_of_uncompressed,
        compressed=config.ingest_transcoding_of_compressed,
    )


def _ignore(uuid: str) -> None:
    """Nobody asks which files are read."""


def _locate(index: Index, uuid: str) -> str | None:
    with index.read() as tx:
        return moves.place_of(tx, uuid)


def open_storage(
    config: Config, index: Index, owner: str, metrics: Metrics, noted: type_noted = _ignore
) -> Built:
    """The storage area of this configuration, with the keys that the index keeps for it; ``owner``
    names this process in what it leaves there. Raises ``ConfigurationError``."""
    with index.read() as tx:
        is_sealed = config.encryption is not None or settings.get(tx, settings.KEY_RING) is not None
    keys = None
    if is_sealed:
        from wherry.keyring import open_keys  # 6 MB of cryptography that most servers do not need

        keys = open_keys(config.encryption, index, ring_files(config))
    return storage_area(config, owner, metrics, keys, partial(_locate, index), noted)


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
