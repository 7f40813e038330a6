"""The job that pushes resources to a peer.

    ask what became of an earlier transaction, or what the peer holds (``plan``)
        ─▶ create ─▶ metadata and the like, if wanted ─▶ buckets, in parallel ─▶ commit

The checkpoint names the transaction and the buckets that the peer acknowledged, and is written
before the next bucket begins; a peer that is a Wherry is asked besides. So whatever dies in
between, no acknowledged bucket is sent again. A peer that has lost the transaction gets a new one.

A commit whose answer is lost is repeated. Stock peers answer a second commit like one for a
transaction that never was; whether the instances are there is then asked with ``/lookup``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from wherry import clock, limits
from wherry.errors import NetworkProtocol, PeerUnavailable, WherryError
from wherry.jobs.crew import Crew
from wherry.jobs.handler import JobControl
from wherry.jobs.ranges import parse
from wherry.jobs.saver import Saver
from wherry.model import Job, ManifestInstance, type_json
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Answer, PeerClient, Request
from wherry.peers.patience import Patience
from wherry.peers.refusal import PeerRefusal
from wherry.transfers import protocol
from wherry.transfers.delivery import Lost
from wherry.transfers.extras_push import ExtrasPush
from wherry.transfers.orders import TransferRequest, from_parameters
from wherry.transfers.plan import STOCK, WHERRY, all_there, ask_what_is_missing, plan
from wherry.transfers.progress import Progress, Retries
from wherry.transfers.protocol import AUTO
from wherry.transfers.receipts import extras_told
from wherry.transfers.sending import Sender, Shipment
from wherry.transfers.source import Holding
from wherry.transfers.stages import Stage, read_stage, watched
from wherry.transfers.tools import Tools, cause_of, digest_of

T = TypeVar("T")

log = logging.getLogger(__name__)

_JSON = "application/json"
_RESTARTS = 4
_ROUNDS = 3


class PushTransfer:
    """Runs jobs of type ``PushTransfer``."""

    type = "PushTransfer"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def run(self, control: JobControl) -> None:
        """Push everything that the job names; see ``JobHandler``."""
        tools = self._tools
        request = from_parameters(control.job.parameters)
        peer = tools.peers.get(request.peer)
        holding = tools.source.find(protocol.parse_resources(request.resources))
        with tools.client(peer) as client:
            try:
                _Push(tools, control, client, request, holding).run()
            except WherryError as error:
                raise cause_of(error) from error

    def settle(self, job: Job) -> None:
        """Give back the slot and the disk space at the peer."""
        path = job.checkpoint.get("Path")
        if path:
            request = from_parameters(job.parameters)
            with self._tools.client(self._tools.peers.get(request.peer)) as client:
                headers = _headers(request, job.checkpoint.get("Cookies", ""))
                _discard(client, path, headers)


class _Push:
    """One run of one job."""

    def __init__(
        self,
        tools: Tools,
        control: JobControl,
        client: PeerClient,
        request: TransferRequest,
        holding: Holding,
    ) -> None:
        self._tools = tools
        self._control = control
        self._client = client
        self._request = request
        self._holding = holding
        self._retries = Retries()
        self._sender = Sender(tools, client, holding, self._retries)
        self._extras = ExtrasPush(tools, request, holding.instances, self._retries)
        self._answered_s = 0.0
        """How long the peer took to say what it holds."""
        self._plan_for(range(len(holding.instances)), STOCK)
        self._path = ""
        self._cookies = ""
        self._committing = False
        self._saver = Saver(self._save)

    def run(self) -> None:
        """From wherever an earlier run got to, to the end."""
        if self._resume():
            self._fetch_receipt()
            return
        for restarts_left in reversed(range(_RESTARTS + 1)):
            try:
                if not self._path:
                    self._follow(*self._ask_what_is_missing())
                    self._extras.check(self._plan.dialect)
                    if not self._manifest.instances and self._plan.skipped:
                        self._control.report(self._progress.content(), 1.0)
                        return
                    self._create()
                self._send_extras()
                self._send_buckets()
                self._commit()
                self._tools.paces.remember(self._request.peer, self._pace)
                self._fetch_receipt()
            except Lost:
                if not restarts_left:
                    raise NetworkProtocol(
                        f"Peer {self._client.peer.name} forgets the transaction again and again"
                    ) from None
                self._begin_again()
            else:
                return

    # --- what an earlier run left ------------------------------------------------------------
    def _resume(self) -> bool:
        """Take up the checkpoint; True when the peer says that all is committed already."""
        checkpoint = self._control.job.checkpoint
        self._path = checkpoint.get("Path", "")
        self._cookies = checkpoint.get("Cookies", "")
        if not self._path:
            return False
        with suppress(KeyError, ValueError):  # other instances than before, or another version
            missing = parse(checkpoint["Missing"], len(self._holding.instances))
            self._follow(missing, checkpoint["Dialect"])
        if checkpoint.get("Manifest") != self._digest:
            _discard(self._client, self._path, self._headers())
            self._begin_again()
            return False
        self._committing = bool(checkpoint.get("Committing"))
        self._extras.digest = checkpoint.get("Extras", "")
        self._progress.start(parse(checkpoint.get("Acknowledged", ""), self._bucket_count))
        return self._ask_state()

    def _ask_state(self) -> bool:
        """Ask the peer what it has. Only a Wherry can say; of others the checkpoint is true."""
        request = Request(
            "GET",
            self._path,
            "look at the transaction",
            headers=self._headers(),
            tied=self._plan.wherry,
        )
        try:
            answer = self._alone(lambda: self._client.ask(request))
            state, received = protocol.read_state(answer.body, self._bucket_count)
        except PeerUnavailable:
            raise
        except PeerRefusal as error:
            self._client.reopen()
            if error.unknown and not self._committing:
                self._begin_again()
            return False
        except NetworkProtocol:  # it answers, but not as a Wherry does
            return False
        self._progress.start(received)
        return state == "committed"

    def _begin_again(self) -> None:
        self._client.reopen()
        if self._path and self._plan.wherry:  # it may be open, and have a slot
            _discard(self._client, self._path, self._headers())
        self._path = self._cookies = ""
        self._committing = False
        self._progress.start(())

    # --- what is to be sent ------------------------------------------------------------------
    def _follow(self, missing: Collection[int], dialect: str) -> None:
        """Send the instances at these positions."""
        if dialect == STOCK:
            self._with_md5()
        self._plan_for(missing, dialect)

    def _with_md5(self) -> Sequence[ManifestInstance]:
        self._holding = self._tools.source.with_md5(self._holding, self._control.check)
        return self._holding.instances

    def _plan_for(self, missing: Collection[int], dialect: str) -> None:
        unit = self._tools.config.transfers.bucket_size_bytes
        self._pace = self._tools.pace(
            self._client.peer,
            self._request.compression,
            blocks=dialect == WHERRY,
            answered_s=self._answered_s,
        )
        compression = AUTO if dialect == WHERRY else self._pace.encoding.name
        found = plan(
            self._holding.instances, missing, dialect, unit_bytes=unit, compression=compression
        )
        self._plan, self._manifest = found, found.manifest
        self._digest = digest_of(found.manifest)
        self._progress = Progress(
            self._request,
            self._holding.instances,
            found.manifest.buckets,
            "UploadedSizeMB",
            found.skipped,
            self._retries,
        )

    def _ask_what_is_missing(self) -> tuple[set[int], str]:
        def ask(request: Request, *, retries: bool) -> bytes:
            wanted = replace(request, headers=self._headers())
            try:
                return self._alone(lambda: self._client.ask(wanted), retries=retries).body
            except NetworkProtocol:
                self._client.reopen()  # it has cut the connections
                raise

        began = clock.monotonic()
        names = protocol.parse_resources(self._request.resources)
        patiently, once = partial(ask, retries=True), partial(ask, retries=False)
        found = ask_what_is_missing(patiently, once, names, self._holding.instances, self._with_md5)
        self._answered_s = clock.monotonic() - began
        return found

    # --- the phases --------------------------------------------------------------------------
    def _create(self) -> None:
        wherry = self._plan.wherry
        request = Request(
            "POST",
            "/transfers/push",
            "create",
            BytesBody(protocol.render_push(self._manifest), _JSON, digest=wherry),
            self._headers() | self._own_name(),
            self._tools.config.transfers.peer_commit_timeout_s,
            resend=False,
            tied=wherry,
        )
        answer = self._alone(lambda: self._client.ask(request))
        self._path = protocol.read_created(answer.body)
        self._cookies = "; ".join(answer.cookies)
        self._progress.start(())
        self._saver.save()

    def _send_extras(self) -> None:
        def ask(request: Request) -> Answer:
            return self._ask_known(replace(request, headers=self._headers()))

        self._extras.send(self._path, ask, self._crew)

    def _send_buckets(self) -> None:
        """Send what is not acknowledged. When an instance in several buckets turns out damaged,
        a Wherry says which of them it wants again; that is done a few times."""
        for rounds_left in reversed(range(_ROUNDS)):
            damaged = self._send_round()
            if not damaged:
                return
            if not rounds_left or self._ask_state() or not self._path:
                raise damaged[0]
            self._retries.more(self._bucket_count - len(self._progress.done))

    def _send_round(self) -> list[PeerRefusal]:
        shipment = Shipment(
            self._path, self._headers(), self._plan, self._pace, self._progress, self._saver.save
        )
        return self._sender.send(shipment, self._crew)

    def _commit(self) -> None:
        unanswered = self._committing
        self._committing = True
        self._saver.save()
        request = Request(
            "POST",
            f"{self._path}/commit",
            "commit",
            BytesBody(),
            self._headers(),
            self._tools.config.transfers.peer_commit_timeout_s,
            resend=False,
            tied=self._plan.wherry,
        )

        def look_up(question: Request) -> bytes:
            wanted = replace(question, headers=request.headers, timeout_s=request.timeout_s)
            return self._client.ask(wanted).body

        def there() -> bool:
            return all_there(look_up, self._manifest.instances, self._plan.dialect)

        def commit() -> None:
            nonlocal unanswered
            try:
                self._ask_known(request)
            except PeerUnavailable:
                unanswered = True
                raise
            except Lost:
                if not (unanswered and there()):
                    raise

        self._tell(Stage("Committing"))
        look = watched(self._ask_stage, self._tell) if self._plan.wherry else nullcontext()
        with look:
            self._alone(commit)
        self._progress.stage = None

    def _ask_stage(self) -> Stage | None:
        request = Request(
            "GET",
            self._path,
            "look at the commit",
            headers=self._headers(),
            timeout_s=limits.STAGE_LOOK_S,
            whole_s=limits.STAGE_LOOK_S,
            tied=True,
        )
        return read_stage(self._client.ask(request).body)

    def _tell(self, stage: Stage) -> None:
        self._progress.stage = stage
        self._control.report(self._progress.content(), self._progress.share)

    def _fetch_receipt(self) -> None:
        """Keep what a Wherry signs for. What was committed stays committed without."""
        if not self._plan.wherry:
            return
        receipt_id = self._path.rpartition("/")[2]
        target = f"/transfers/receipts/{receipt_id}"
        request = Request("GET", target, "fetch the receipt", headers=self._headers(), tied=True)
        try:
            data = self._alone(lambda: self._client.ask(request)).body
            receipt = self._tools.receipts.keep_of_peer(
                data, receipt_id, self._holding.instances, self._extras.digest
            )
        except NetworkProtocol as error:
            log.warning("No receipt of peer %s is kept: %s", self._client.peer.name, error)
            return
        self._progress.receipt = receipt_id
        self._progress.extras = extras_told(receipt.body)
        self._control.report(self._progress.content(), 1.0)

    # --- small things ------------------------------------------------------------------------
    @property
    def _bucket_count(self) -> int:
        return len(self._manifest.buckets)

    def _crew(self, threads: int | Callable[[], int]) -> Crew:
        return Crew(threads, self._control.check, self._client.abort)

    def _alone(self, ask: Callable[[], T], *, retries: bool = True) -> T:
        """One request, patiently unless told otherwise; cut short when the job is interrupted."""
        crew = self._crew(1)
        patiently = (
            self._tools.patience(crew.pause, self._retries)
            if retries
            else Patience(crew.pause, 0, 0.0)
        )
        results: list[T] = []
        crew.work([0], lambda _: results.append(patiently(ask)))
        return results[0]

    def _ask_known(self, request: Request) -> Answer:
        """Ask about our transaction. Raises ``Lost`` when the peer knows none."""
        try:
            return self._client.ask(request)
        except PeerRefusal as error:
            if error.unknown:
                raise Lost from None
            raise

    def _headers(self) -> dict[str, str]:
        return _headers(self._request, self._cookies)

    def _own_name(self) -> dict[str, str]:
        name = self._tools.config.name.encode("ascii", "ignore").decode()
        return {protocol.SENDER_NAME: name} if name and self._plan.wherry else {}

    def _save(self) -> None:
        checkpoint: dict[str, type_json] = {
            "Path": self._path,
            "Cookies": self._cookies,
            "Manifest": self._digest,
            "Acknowledged": self._progress.done_text(),
            "Committing": self._committing,
            "Missing": self._plan.missing,
            "Dialect": self._plan.dialect,
            "Extras": self._extras.digest,
        }
        self._control.save(checkpoint, self._progress.content(), self._progress.share)


def _headers(request: TransferRequest, cookies: str) -> dict[str, str]:
    headers = {}
    if request.sender_transfer_id:
        headers["sender-transfer-id"] = request.sender_transfer_id
    if cookies:
        headers["Cookie"] = cookies
    return headers


def _discard(client: PeerClient, path: str, headers: Mapping[str, str]) -> None:
    """Best effort: what the peer does not hear, it finds out when nobody comes back."""
    try:
        client.ask(Request("DELETE", path, "discard", headers=headers))
    except NetworkProtocol as error:
        log.info("A transaction at peer %s was not discarded: %s", client.peer.name, error)
