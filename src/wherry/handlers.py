"""The kinds of jobs that a server runs, each with the parts it needs, and the rules they run by.

Not here: the parts (``server``), states and threads (``jobs``), what a job does.
"""

from __future__ import annotations

from functools import partial

from wherry import limits
from wherry.archives.job import ArchiveJobs
from wherry.archives.order import ARCHIVE, MEDIA
from wherry.config import Config
from wherry.editing.editors import editor_of
from wherry.editing.job import EditJobs
from wherry.editing.order import TYPES as EDITING_TYPES
from wherry.editing.recoding import Recoding
from wherry.imaging.transcoding import Transcoder
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor
from wherry.jobs.shop import Rules
from wherry.modalities import ModalityBook
from wherry.modalities.associations.pool import AssociationPool
from wherry.modalities.commitment.requesting import ask_to_commit
from wherry.modalities.sending.store import MOVE_TYPE, ModalityStore
from wherry.modalities.sending.store import TYPE as STORE_TYPE
from wherry.moving.job import StorageMoves
from wherry.moving.order import MOVE, POLICY
from wherry.storage.base import StorageArea
from wherry.storage.moving import MovingStorage
from wherry.webhooks.events import JOB_TYPE


def rules(config: Config) -> Rules:
    """How many jobs run, wait and are remembered."""
    webhooks = len(config.wherry.webhooks)
    errands = {MOVE_TYPE: limits.MOVES}
    if config.has_two_stores:
        errands[POLICY] = limits.POLICY_JOBS
    if webhooks:
        errands[JOB_TYPE] = min(webhooks, limits.WEBHOOK_WORKERS)
    return Rules(
        concurrency=config.concurrent_jobs,
        history_size=config.jobs_history_size,
        pending=min(config.limit_jobs or limits.PENDING_JOBS, limits.PENDING_JOBS),
        retries=config.wherry.job_retries,
        errands=errands,
    )


def modality_jobs(
    config: Config,
    index: Index,
    storage: StorageArea,
    modalities: ModalityBook,
    associations: AssociationPool,
    transcoder: Transcoder,
) -> list[ModalityStore]:
    """What is sent to modalities, by order and by C-MOVE."""
    commit = partial(ask_to_commit, config, index)
    return [
        ModalityStore(config, index, storage, modalities, associations, commit, transcoder, type)
        for type in (STORE_TYPE, MOVE_TYPE)
    ]


def archive_jobs(
    config: Config,
    index: Index,
    storage: StorageArea,
    janitor: Janitor,
    transcoder: Transcoder,
) -> list[ArchiveJobs]:
    """Archives, with and without a DICOMDIR."""
    keep, utf8 = config.media_archive_size, config.zip_use_utf8
    return [
        ArchiveJobs(type, index, storage, janitor.wake, keep=keep, utf8=utf8, transcoder=transcoder)
        for type in (ARCHIVE, MEDIA)
    ]


def edit_jobs(
    config: Config, index: Index, storage: StorageArea, ingest: Ingest, transcoder: Transcoder
) -> list[EditJobs]:
    """What modifies, anonymizes, splits and merges."""
    secret = config.wherry.anonymization_secret
    editor = partial(editor_of, secret=secret, transcode=Recoding(transcoder).or_as_it_is)
    return [EditJobs(type, index, storage, ingest, editor) for type in EDITING_TYPES]


def move_jobs(
    index: Index,
    storage: StorageArea,
    stores: MovingStorage | None,
    janitor: Janitor,
    process_id: str,
) -> list[StorageMoves]:
    """None where there is one store only."""
    if stores is None:
        return []
    return [
        StorageMoves(type, index, storage, stores, janitor.wake, process_id)
        for type in (MOVE, POLICY)
    ]
