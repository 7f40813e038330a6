"""The transfers accelerator of one process: what the routes call, and what ``server`` wires."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from wherry import limits
from wherry.config import Config
from wherry.http.lending import Lender
from wherry.http.threads import Pool
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.jobs.handler import JobHandler
from wherry.metrics import Metrics
from wherry.model import Peer
from wherry.peers import PeerBook
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Request
from wherry.peers.patience import Patience
from wherry.storage.base import StorageArea
from wherry.transfers.declaring import Quota
from wherry.transfers.extras_push import check_peer
from wherry.transfers.orders import TransferRequest, read_job, render_pull
from wherry.transfers.pace import Paces
from wherry.transfers.probing import Probing
from wherry.transfers.pull import PullTransfer
from wherry.transfers.push import PushTransfer
from wherry.transfers.receipts import Receipts
from wherry.transfers.reception import Reception
from wherry.transfers.room import Room
from wherry.transfers.source import Source
from wherry.transfers.throttle import Throttles
from wherry.transfers.tools import Tools

P = ParamSpec("P")
T = TypeVar("T")

_LONG_WORKS = 4
_BUSY_S = 10.0
_JSON = "application/json"


class TransferService:
    """Everything of the transfers accelerator. Blocking; from any thread."""

    def __init__(
        self,
        config: Config,
        index: Index,
        storage: StorageArea,
        ingest: Ingest,
        peers: PeerBook,
        metrics: Metrics,
    ) -> None:
        self.storage = storage
        self.source = Source(index, ingest.digesting)
        self.receipts = Receipts(index, config.name, self.source.originator)
        self.reception = Reception(
            index,
            storage,
            ingest,
            Quota(
                instances=config.wherry.maximum_transfer_instances,
                total_bytes=config.wherry.maximum_transfer_bytes,
                instance_bytes=config.wherry.maximum_instance_bytes,
                pushes=config.transfers.max_push_transactions,
                store_bytes=0 if config.storage_compression else config.maximum_storage_bytes,
                idle_s=config.wherry.transfer_idle_s,
            ),
            self.receipts,
            announces=config.wherry.study_received_changes,
        )
        self.lender = Lender(limits.LENT_BODIES)
        self.room = Room(config.wherry.transfer_memory_bytes // limits.INCOMING_BUCKET_BYTES)
        self.reception.on_abort = partial(metrics.add, "orthanc_transfers_aborted_push_count")
        self._pool = Pool(max(_LONG_WORKS, config.transfers.commit_threads_count))
        self._peers = peers
        paces = Paces(config.transfers.threads)
        throttles = Throttles(config.transfers.links)
        self._tools = Tools(
            config, storage, peers, self.source, self.reception, self.receipts, paces, throttles
        )
        self.probing = Probing(config, peers, self._tools.client)

    def handlers(self) -> Sequence[JobHandler]:
        """The kinds of jobs that the accelerator has."""
        return [PushTransfer(self._tools), PullTransfer(self._tools)]

    def close(self) -> None:
        """A clean stop: long works are finished first."""
        self._pool.stop()
        self.lender.stop()

    def expire(self) -> int:
        """Discard transfers that nobody goes on with; at start, and once a minute."""
        return self.reception.expire()

    def peer(self, name: str) -> Peer:
        """One peer. Raises ``UnknownResource``."""
        return self._peers.get(name)

    def ask_to_pull(self, peer: Peer, request: TransferRequest) -> dict[str, str]:
        """Let the peer pull from us, as ``RemoteSelf`` of its entry wants it.

        Raises ``NetworkProtocol`` when it does not answer with a job, or cannot give what the order
        wants.
        """
        assert peer.remote_self is not None
        sender = request.sender_transfer_id
        headers = {"sender-transfer-id": sender} if sender else {}
        body = render_pull(request, peer.remote_self, self.source.originator())
        asking = Request(
            "POST", "/transfers/pull", "ask the peer to pull", BytesBody(body, _JSON), headers
        )
        with self._tools.client(peer) as client:
            patiently = Patience(time.sleep, busy_s=_BUSY_S)
            if request.metadata:
                check_peer(client, patiently)
            answer = patiently(lambda: client.ask(asking))
        job = read_job(answer.body)
        return {"Peer": peer.name, "RemoteJob": job, "URL": f"{peer.url}/jobs/{job}"}

    async def patiently(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` that may take long (a commit, other machines) on threads of its own, so
        that it does not hold up short work."""
        return await self._pool.submit(work, args, kwargs)
