"""What a request may call. Put together by ``server``, found again with ``services``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from wherry.config import Config
    from wherry.http.drawing import Drawing
    from wherry.http.lifecycle import Lifecycle
    from wherry.http.threads import Pool
    from wherry.imaging.pool import ImagingPool
    from wherry.imaging.transcoding import Transcoder
    from wherry.index.database import Index
    from wherry.ingest.ingest import Ingest
    from wherry.jobs.engine import JobEngine
    from wherry.logs import WarningCount
    from wherry.metrics import Metrics
    from wherry.modalities import ModalityBook
    from wherry.modalities.associations.pool import AssociationPool
    from wherry.peers import PeerBook
    from wherry.receiving import Receiving
    from wherry.storage.base import StorageArea
    from wherry.storage.cache import FileCache
    from wherry.transfers.service import TransferService
    from wherry.worklists import WorklistBook


@dataclass(frozen=True)
class Services:
    """The rooms below the faces."""

    config: Config
    index: Index
    storage: StorageArea
    files: FileCache
    ingest: Ingest
    jobs: JobEngine
    peers: PeerBook
    modalities: ModalityBook
    associations: AssociationPool
    calls: Pool
    """Threads that wait for modalities."""
    imaging: ImagingPool
    drawing: Drawing
    transcoder: Transcoder
    worklists: WorklistBook
    transfers: TransferService
    metrics: Metrics
    receiving: Receiving
    lifecycle: Lifecycle
    warnings: WarningCount
    process_id: str


def services(request: HTTPConnection) -> Services:
    """The rooms that serve this request."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found
