"""The job ``OrthancPeerStore``: every instance in one ``POST /instances`` to a peer.

Several connections at once; the checkpoint tells which instances the peer acknowledged
(``jobs.standing``).

The peer's word is not enough: the identifier that it says it stored must be that of the instance.

Not here: whole studies, all or nothing (``transfers``).
"""

from __future__ import annotations

from http import HTTPStatus

import orjson

from wherry import limits
from wherry.config import Config
from wherry.dicom.scan import scan
from wherry.errors import NetworkProtocol, PeerUnavailable, WherryError
from wherry.imaging.stored import checked_source
from wherry.imaging.transcoding import Transcoder
from wherry.index.database import Index
from wherry.jobs.crew import Crew
from wherry.jobs.handler import Interrupted, JobControl
from wherry.jobs.standing import Standing
from wherry.model import Attachment, Job
from wherry.peers.bodies import Body, file_body, instance_body
from wherry.peers.book import PeerBook
from wherry.peers.client import PeerClient, Request, connect
from wherry.peers.order import StoreOrder, files_of, from_parameters
from wherry.peers.patience import Patience
from wherry.peers.proxy import read_proxy
from wherry.storage.base import StorageArea
from wherry.storage.mapping import mapped
from wherry.storage.outgoing import FileRange

TYPE = "OrthancPeerStore"
_STORED = ("Success", "AlreadyStored")


class PeerStore:
    """Runs jobs of type ``OrthancPeerStore``."""

    type = TYPE

    def __init__(
        self,
        config: Config,
        index: Index,
        storage: StorageArea,
        peers: PeerBook,
        transcoder: Transcoder,
    ) -> None:
        read_proxy(config.http_proxy)  # an unusable one stops the server at its start
        self._config = config
        self._index = index
        self._storage = storage
        self._peers = peers
        self._transcoder = transcoder

    def run(self, control: JobControl) -> None:
        """Send everything that the job names; see ``JobHandler``."""
        order = from_parameters(control.job.parameters)
        peer = self._peers.get(order.peer)
        with self._index.read() as tx:
            files = files_of(tx, order)
        names = [name for name, _ in files]
        standing = Standing(names, order.content(peer, len(files)), control, sizes=True)
        standing.report()
        with connect(self._config, peer) as client:
            try:
                _Sending(
                    self._storage, self._transcoder, client, order, files, standing, control
                ).run()
            except Interrupted as interrupted:
                if interrupted.reason in ("pause", "stop"):
                    standing.save()
                raise
            except WherryError:
                control.report(standing.content(), None)
                raise

    def settle(self, job: Job) -> None:
        """The job holds nothing elsewhere."""


class _Sending:
    """One run of one job."""

    def __init__(
        self,
        storage: StorageArea,
        transcoder: Transcoder,
        client: PeerClient,
        order: StoreOrder,
        files: list[tuple[str, Attachment]],
        standing: Standing,
        control: JobControl,
    ) -> None:
        self._storage = storage
        self._transcoder = transcoder
        self._client = client
        self._order = order
        self._files = files
        self._standing = standing
        self._control = control
        self._out_of_reach = False

    def run(self) -> None:
        """Send what is left."""
        left = self._standing.left()
        threads = min(limits.PEER_STORE_CONNECTIONS, len(left))
        crew = Crew(threads, self._control.check, self._client.abort)
        crew.work(left, lambda place: self._send(place, crew))
        self._standing.save()

    def _send(self, place: int, crew: Crew) -> None:
        orthanc_id, attachment = self._files[place]
        retries = 0 if self._out_of_reach else limits.PEER_RETRIES
        try:
            sent_bytes = Patience(crew.pause, retries)(lambda: self._store(orthanc_id, attachment))
        except WherryError as error:
            self._control.check()  # connections that we cut ourselves say nothing of the peer
            if not self._order.permissive:
                raise
            self._out_of_reach = isinstance(error, PeerUnavailable)
            self._standing.failed(place, orthanc_id, str(error)[: limits.PEER_ERROR_CHARACTERS])
        else:
            self._out_of_reach = False
            self._standing.stored(place, sent_bytes)

    def _store(self, orthanc_id: str, attachment: Attachment) -> int:
        """Send one instance; the bytes of its body."""
        if self._order.transcode:
            return self._store_transcoded(orthanc_id, attachment)
        wanted = FileRange(orthanc_id, attachment, 0, attachment.uncompressed_size)
        body = instance_body(self._storage, wanted, compress=self._order.compress)
        what = f"Instance {orthanc_id}"
        return self._ask(body, what, orthanc_id)

    def _store_transcoded(self, orthanc_id: str, attachment: Attachment) -> int:
        """... in the transfer syntax that is wanted, or as it is where that cannot be had."""
        order, what = self._order, f"Instance {orthanc_id}"
        with checked_source(self._storage, attachment) as stored:
            making = self._transcoder.or_as_it_is(stored, [order.transcode], quality=order.quality)
            with making as made:
                source = stored if made is None else made.source
                body = file_body(source, compress=order.compress)
                if made is not None and made.is_new_image:
                    with mapped(source.file) as data:
                        orthanc_id = scan(data).identifiers.instance
                return self._ask(body, what, orthanc_id)

    def _ask(self, body: Body, what: str, orthanc_id: str) -> int:
        answer = self._client.ask(Request("POST", "/instances", what, body))
        check_stored(answer.body, orthanc_id, f"{what}: peer {self._client.peer.name}")
        return answer.sent_bytes


def check_stored(answer: bytes, orthanc_id: str, who: str) -> str:
    """The status in an answer to an upload. Raises ``NetworkProtocol`` when it is not about this
    instance, or does not say that it is stored."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise NetworkProtocol(f"{who} answered {HTTPStatus.OK:d}, but not like Orthanc")
    if document.get("ID") != orthanc_id:
        raise NetworkProtocol(f"{who} says that it stored another instance")
    status = document.get("Status")
    if status not in _STORED:
        raise NetworkProtocol(f"{who} did not store it ({str(status)[:64]})")
    return str(status)
