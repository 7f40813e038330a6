"""The job ``OrthancPeerStore``: every instance in one ``POST /instances`` to a peer.

Several connections at once. The checkpoint names the instances that the peer acknowledged, by
their place in the sorted list, and is written every few of them: whatever dies, a later run sends
only the last few again, which the peer then has already. Files that arrived or went meanwhile
change the list, and the run begins anew.

The peer's word is not enough: the identifier that it says it stored must be that of the instance.

Not here: whole studies, all or nothing (``transfers``).
"""

from __future__ import annotations

import hashlib
import threading
from http import HTTPStatus

import orjson

from wherry import clock, limits
from wherry.config import Config
from wherry.errors import NetworkProtocol, PeerUnavailable, WherryError
from wherry.index.database import Index
from wherry.jobs.crew import Crew
from wherry.jobs.handler import Interrupted, JobControl
from wherry.jobs.ranges import parse, to_text
from wherry.model import Attachment, Job, type_json
from wherry.peers.bodies import instance_body
from wherry.peers.book import PeerBook
from wherry.peers.client import PeerClient, Request, connect
from wherry.peers.order import StoreOrder, files_of, from_parameters
from wherry.peers.patience import Patience
from wherry.peers.proxy import read_proxy
from wherry.storage.base import StorageArea
from wherry.storage.outgoing import FileRange

TYPE = "OrthancPeerStore"
_CHECKPOINTS = 100
"""Checkpoints of a long job: its content may be long too."""
_STORED = ("Success", "AlreadyStored")


class PeerStore:
    """Runs jobs of type ``OrthancPeerStore``."""

    type = TYPE

    def __init__(self, config: Config, index: Index, storage: StorageArea, peers: PeerBook) -> None:
        read_proxy(config.http_proxy)  # an unusable one stops the server at its start
        self._config = config
        self._index = index
        self._storage = storage
        self._peers = peers

    def run(self, control: JobControl) -> None:
        """Send everything that the job names; see ``JobHandler``."""
        order = from_parameters(control.job.parameters)
        peer = self._peers.get(order.peer)
        with self._index.read() as tx:
            files = files_of(tx, order)
        standing = Standing([name for name, _ in files], order.content(peer, len(files)), control)
        standing.report()
        with connect(self._config, peer) as client:
            try:
                _Sending(self._storage, client, order, files, standing, control).run()
            except Interrupted as interrupted:
                if interrupted.reason in ("pause", "stop"):
                    standing.save()
                raise
            except WherryError:
                control.report(standing.content(), None)
                raise

    def settle(self, job: Job) -> None:
        """The job holds nothing elsewhere."""


class Standing:
    """What is done of a job; safe from any thread."""

    def __init__(
        self,
        instances: list[str],
        content: dict[str, type_json],
        control: JobControl,
    ) -> None:
        """``instances``: their sorted identifiers; ``content``: the public one at the beginning."""
        self._content = content
        self._control = control
        self._count = len(instances)
        self._digest = hashlib.sha256(orjson.dumps(instances)).hexdigest()
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self._failed: set[int] = set()
        self._told: list[dict[str, str]] = []
        self._sent_bytes = 0
        self._unsaved = 0
        self._save_after = max(limits.PEER_STORE_SAVED, self._count // _CHECKPOINTS)
        self._reported_at = float("-inf")
        self._saving = threading.Lock()
        self._take_up(control.job.checkpoint)

    def left(self) -> list[int]:
        """Places of the instances that are still to be sent."""
        with self._lock:
            return [n for n in range(self._count) if n not in self._done and n not in self._failed]

    def stored(self, place: int, sent_bytes: int) -> None:
        """The peer has this instance."""
        with self._lock:
            self._done.add(place)
            self._sent_bytes += sent_bytes
        self._step()

    def failed(self, place: int, orthanc_id: str, cause: str) -> None:
        """The peer will not have this instance; nor will it be sent again."""
        with self._lock:
            self._failed.add(place)
            if len(self._told) < limits.PEER_STORE_TOLD:
                self._told.append({"ID": orthanc_id, "Details": cause})
        self._step()

    def save(self) -> None:
        """Returns when everything that was true before the call is durable."""
        with self._lock:
            checkpoint = {
                "Instances": self._digest,
                "Done": to_text(self._done),
                "Failed": to_text(self._failed),
                "Told": list(self._told),
                "SentBytes": self._sent_bytes,
            }
            saved = self._unsaved
        self._control.save(checkpoint, self.content(), self._share())
        with self._lock:
            self._unsaved -= saved

    def content(self) -> dict[str, type_json]:
        """The public content of the job."""
        with self._lock:
            content = self._content | {
                "FailedInstancesCount": len(self._failed),
                "Size": str(self._sent_bytes),
                "SizeMB": self._sent_bytes // limits.MIB,
            }
            return content | {"FailedInstances": list(self._told)} if self._told else content

    def report(self) -> None:
        """Show how far it is, if that was not done a moment ago: contents may be long."""
        now = clock.monotonic()
        with self._lock:
            due = now - self._reported_at >= limits.JOB_REPORT_S
            if due:
                self._reported_at = now
        if due:
            self._control.report(self.content(), self._share())

    def _take_up(self, checkpoint: dict[str, type_json]) -> None:
        if checkpoint.get("Instances") == self._digest:
            self._done = parse(checkpoint["Done"], self._count)
            self._failed = parse(checkpoint["Failed"], self._count)
            self._told = checkpoint["Told"]
            self._sent_bytes = checkpoint["SentBytes"]

    def _step(self) -> None:
        with self._lock:
            self._unsaved += 1
        if not self._due():
            self.report()
            return
        with self._saving:  # on a slow disk the others wait here, else more would be sent again
            if self._due():
                self.save()

    def _due(self) -> bool:
        with self._lock:
            return self._unsaved >= self._save_after

    def _share(self) -> float:
        with self._lock:
            return (len(self._done) + len(self._failed)) / self._count if self._count else 1.0


class _Sending:
    """One run of one job."""

    def __init__(
        self,
        storage: StorageArea,
        client: PeerClient,
        order: StoreOrder,
        files: list[tuple[str, Attachment]],
        standing: Standing,
        control: JobControl,
    ) -> None:
        self._storage = storage
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
        wanted = FileRange(orthanc_id, attachment, 0, attachment.uncompressed_size)
        body = instance_body(self._storage, wanted, compress=self._order.compress)
        what = f"Instance {orthanc_id}"
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
