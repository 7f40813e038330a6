"""The job that pulls resources from a peer.

    lookup ─▶ open a transfer here ─▶ metadata and the like, if wanted ─▶ buckets, in parallel
        ─▶ commit

What is stored here already, with the digest that the peer tells, is not fetched. The receiving end
is that of a push (``reception``): what arrived is acknowledged in the index, so
that a run after a crash fetches only what is missing, after it has made sure that the peer still
has what it had; the commit makes all instances visible at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from wherry import clock, limits
from wherry.errors import (
    BadFileFormat,
    CorruptedFile,
    NetworkProtocol,
    PeerUnavailable,
    UnknownResource,
    WherryError,
)
from wherry.jobs.crew import Crew
from wherry.jobs.handler import JobControl
from wherry.jobs.ranges import parse, to_text
from wherry.model import Bucket, Job, Manifest, ManifestInstance
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Answer, PeerClient, Request
from wherry.peers.refusal import PeerRefusal
from wherry.storage.base import type_read
from wherry.transfers import protocol
from wherry.transfers.buckets import PullUrl, cut
from wherry.transfers.encoding import Encoding
from wherry.transfers.extras_pull import ExtrasPull
from wherry.transfers.lanes import Lanes
from wherry.transfers.orders import TransferRequest, from_parameters
from wherry.transfers.progress import Progress, Retries
from wherry.transfers.protocol import AUTO
from wherry.transfers.receipts import extras_told
from wherry.transfers.stages import Stage
from wherry.transfers.throttle import Throttled
from wherry.transfers.tools import Tools, cause_of, digest_of
from wherry.transfers.unpack import BadBlock, BadGzip

_JSON = "application/json"
_ATTEMPTS = 3
_ROUNDS = 3
_DAMAGED = (NetworkProtocol, BadFileFormat, BadGzip, BadBlock, CorruptedFile)
"""What a bucket that was damaged on its way may be taken for: fetching it again may help."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bucket that is fetched."""

    bucket: Bucket
    encoding: Encoding
    wherry: bool
    """Whether the peer is one."""
    sealed: bool

    def target(self, taken: int) -> str:
        """Path and query; ``taken`` bytes of the answer are here already."""
        text = str(self.encoding)
        if not self.wherry:
            return PullUrl.target(self.bucket, text, taken)
        seal = "&sealed=1" if self.sealed else ""
        return PullUrl.target(self.bucket, text) + seal + (f"&skip={taken}" if taken else "")


class PullTransfer:
    """Runs jobs of type ``PullTransfer``."""

    type = "PullTransfer"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def run(self, control: JobControl) -> None:
        """Pull everything that the job names; see ``JobHandler``."""
        request = from_parameters(control.job.parameters)
        with self._tools.client(self._tools.peers.get(request.peer)) as client:
            try:
                _Pull(self._tools, control, client, request).run()
            except WherryError as error:
                raise cause_of(error) from error

    def settle(self, job: Job) -> None:
        """Remove what had arrived."""
        transfer_id = job.checkpoint.get("Transfer")
        if transfer_id:
            with suppress(UnknownResource):
                self._tools.reception.discard(transfer_id)


class _Pull:
    """One run of one job."""

    def __init__(
        self, tools: Tools, control: JobControl, client: PeerClient, request: TransferRequest
    ) -> None:
        self._tools = tools
        self._reception = tools.reception
        self._control = control
        self._client = client
        self._request = request
        self._source_id = ""
        self._wherry = False
        self._pace = tools.pace(client.peer, request.compression, blocks=False)
        self._retries = Retries()
        self._extras = ExtrasPull(tools, client, request, self._retries)

    def run(self) -> None:
        """From wherever an earlier run got to, to the end."""
        earlier = self._control.job.checkpoint.get("Transfer", "")
        if earlier and self._reception.is_committed(earlier):
            content = self._control.job.content
            self._control.report({**content, "Receipt": earlier}, 1.0)
            return
        instances = self._look_up()
        manifest, missing = self._plan(instances)
        if not instances:
            self._control.report(self._progress(manifest, missing).content(), 0.0)
            return
        for attempts_left in reversed(range(_ATTEMPTS)):
            progress = self._progress(manifest, missing)
            self._control.report(progress.content(), 0.0)
            transfer_id = self._open(manifest, missing, earlier, progress)
            self._extras.fetch(transfer_id, instances, self._crew)
            self._fetch_all(transfer_id, manifest, progress)
            try:
                self._reception.commit(transfer_id, tell=partial(self._tell, progress))
            except UnknownResource:  # what was stored here, and so not fetched, is gone
                if not attempts_left:
                    raise
                earlier = transfer_id
                manifest, missing = self._fresh_plan(instances)
            else:
                self._tools.paces.remember(self._request.peer, self._pace)
                progress.stage = None
                progress.receipt = transfer_id
                progress.extras = extras_told(self._tools.receipts.body(transfer_id))
                self._control.report(progress.content(), 1.0)
                return

    # --- what is to be fetched ---------------------------------------------------------------
    def _plan(self, instances: Sequence[ManifestInstance]) -> tuple[Manifest, set[int]]:
        """The manifest, and the positions of what is to be fetched: that of an earlier run while
        it fits, so that its buckets count, else what is not stored here."""
        checkpoint = self._control.job.checkpoint
        with suppress(KeyError, ValueError):
            missing = parse(checkpoint["Missing"], len(instances))
            manifest = self._manifest(instances, missing)
            if digest_of(manifest) == checkpoint["Manifest"]:
                return manifest, missing
        return self._fresh_plan(instances)

    def _fresh_plan(self, instances: Sequence[ManifestInstance]) -> tuple[Manifest, set[int]]:
        self._reception.compare(instances, self._control.check)
        held = self._reception.held(instances)
        missing = {place for place, one in enumerate(instances) if one not in held}
        return self._manifest(instances, missing), missing

    def _manifest(
        self, instances: Sequence[ManifestInstance], missing: Collection[int]
    ) -> Manifest:
        wanted = [one for place, one in enumerate(instances) if place in missing]
        unit = self._tools.config.transfers.bucket_size_bytes
        compression = AUTO if self._wherry else self._pace.encoding.name
        longest = "gzip" if compression == AUTO else compression
        url = PullUrl(self._client.peer.url, longest)
        buckets = cut(wanted, unit, url, blocks=self._wherry)
        return Manifest(tuple(instances), buckets, compression)

    def _progress(self, manifest: Manifest, missing: Collection[int]) -> Progress:
        skipped = [one for n, one in enumerate(manifest.instances) if n not in missing]
        return Progress(
            self._request,
            manifest.instances,
            manifest.buckets,
            "DownloadedSizeMB",
            skipped,
            self._retries,
        )

    def _look_up(self) -> tuple[ManifestInstance, ...]:
        names = protocol.parse_resources(self._request.resources)
        request = Request(
            "POST",
            "/transfers/lookup",
            "lookup",
            BytesBody(protocol.render_resources(names), _JSON),
            self._headers() | {protocol.DIGESTS: protocol.BLAKE3},
            limit=limits.PUSH_MANIFEST_BYTES,
        )
        crew = self._crew(1)
        patiently = self._tools.patience(crew.pause, self._retries)
        answers: list[Answer] = []
        began = clock.monotonic()
        crew.work([0], lambda _: answers.append(patiently(lambda: self._ask_twice(request))))
        instances, originator = protocol.read_lookup(answers[0].body)
        self._source_id = originator
        self._wherry = "blocks" in answers[0].header(protocol.CODECS)
        self._extras.check(answers[0])
        self._pace = self._tools.pace(
            self._client.peer,
            self._request.compression,
            blocks=self._wherry,
            answered_s=clock.monotonic() - began,
        )
        if self._request.originator not in ("", originator):
            raise NetworkProtocol(
                f"Peer {self._client.peer.name} is not the server that asked for this transfer: "
                "check RemoteSelf in its configuration"
            )
        return instances

    def _ask_twice(self, request: Request) -> Answer:
        """A stock question has no digest: that something is not there is believed when it is said
        again."""
        try:
            return self._client.ask(request)
        except PeerRefusal as error:
            if not error.unknown:
                raise
            return self._client.ask(request)

    def _open(
        self, manifest: Manifest, missing: Collection[int], earlier: str, progress: Progress
    ) -> str:
        """The transfer of an earlier run if it still fits, else a new one."""
        digest = digest_of(manifest)
        absent = self._reception.missing(earlier) if earlier else None
        if absent is not None:
            if self._control.job.checkpoint.get("Manifest") == digest:
                progress.start(set(range(len(manifest.buckets))) - set(absent))
                return earlier
            with suppress(UnknownResource):
                self._reception.discard(earlier)
        source = {"ID": self._source_id, "Name": self._client.peer.name}
        declaration = self._reception.declare(manifest, kind="pull", other_end=source)
        transfer_id = declaration.transfer.id
        checkpoint = {"Transfer": transfer_id, "Manifest": digest, "Missing": to_text(missing)}
        self._control.save(checkpoint, also=declaration.write)
        progress.start(())
        return transfer_id

    def _fetch_all(self, transfer_id: str, manifest: Manifest, progress: Progress) -> None:
        """Of a stock source, nobody knows which part of a damaged instance was damaged: all of them
        are wanted again, a few times."""
        for _ in range(_ROUNDS):
            self._fetch_buckets(transfer_id, manifest, progress)
            absent = self._reception.missing(transfer_id)
            if not absent:
                return
            progress.start(set(range(len(manifest.buckets))) - set(absent))

    def _fetch_buckets(self, transfer_id: str, manifest: Manifest, progress: Progress) -> None:
        pace, sizes = self._pace, {one.orthanc_id: one.size for one in manifest.instances}
        crew = self._crew(lambda: pace.workers)
        patiently = self._tools.patience(crew.pause, self._retries)
        throttle = self._tools.throttles.of(self._request.peer, crew.pause)

        def fetch(position: int) -> None:
            bucket = manifest.buckets[position]
            throttle.wait_until_open()
            ticket = pace.begin()
            part = any(c.size < sizes[c.orthanc_id] for c in bucket.chunks)
            sealed = self._wherry and part
            wanted = Wanted(bucket, ticket.encoding, wherry=self._wherry, sealed=sealed)
            furthest, first = 0, True

            def attempt() -> int:
                nonlocal furthest, first
                taken = self._reception.running.taken(transfer_id, position)
                request = Request("GET", wanted.target(taken), f"bucket {position}")
                again, first = not first, False
                furthest = max(furthest, taken)
                return self._fetch(
                    transfer_id, position, request, wanted, taken, throttle, again=again
                )

            count = patiently(attempt, _DAMAGED, lambda: furthest)
            pace.arrived(ticket, bucket.size)
            progress.finished(position, count)
            self._control.report(progress.content(), progress.share)

        done = progress.done
        left = (n for n in range(len(manifest.buckets)) if n not in done)
        lanes = Lanes(manifest.buckets, left)
        crew.work(lanes, fetch, lanes.done)

    def _fetch(
        self,
        transfer_id: str,
        position: int,
        request: Request,
        wanted: Wanted,
        taken: int,
        throttle: Throttled,
        *,
        again: bool,
    ) -> int:
        if taken:
            bucket = self._reception.resume(transfer_id, position, taken)
        else:
            name = wanted.encoding.name
            bucket = self._reception.bucket(transfer_id, position, encoding=name)
        try:
            count = 0
            if taken < wanted.bucket.size or wanted.wherry:  # a size of 0 would mean all
                count = self._client.fetch(
                    request, lambda read: bucket.receive(_in_sips(throttle.read(read), again))
                )
            bucket.finish()
        except PeerUnavailable:
            bucket.cut_off()
            raise
        finally:
            bucket.abort()
        return count

    def _tell(self, progress: Progress, stage: Stage) -> None:
        progress.stage = stage
        self._control.report(progress.content(), progress.share)

    def _crew(self, threads: int | Callable[[], int]) -> Crew:
        return Crew(threads, self._control.check, self._client.abort)

    def _headers(self) -> dict[str, str]:
        sender = self._request.sender_transfer_id
        return {protocol.SENDER_TRANSFER_ID: sender} if sender else {}


def _in_sips(read: type_read, little: bool) -> type_read:
    """On a line that breaks, small portions: what came of one that is not complete is lost."""
    return (lambda room: read(room[: limits.SIP_BYTES])) if little else read
