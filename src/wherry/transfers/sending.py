"""The buckets of a push, in parallel: packed, sealed, slowed down and tried again as they need it.

Not here: what is sent, and what becomes of it (``push``); the attempts at one (``delivery``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wherry.jobs.crew import Crew
from wherry.model import Bucket
from wherry.peers.client import PeerClient, Request
from wherry.peers.refusal import PeerRefusal
from wherry.transfers import protocol
from wherry.transfers.bodies import bucket_body
from wherry.transfers.delivery import Damaged, Delivery
from wherry.transfers.encoding import Encoding
from wherry.transfers.lanes import Lanes
from wherry.transfers.pace import Pace
from wherry.transfers.plan import PushPlan
from wherry.transfers.progress import Progress, Retries
from wherry.transfers.source import Holding
from wherry.transfers.tools import Tools


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is on its way in one transaction."""

    path: str
    headers: Mapping[str, str]
    plan: PushPlan
    pace: Pace
    progress: Progress
    save: Callable[[], None]
    """Writes down that a bucket more was acknowledged."""


class Sender:
    """For one run of a job."""

    def __init__(
        self, tools: Tools, client: PeerClient, holding: Holding, retries: Retries
    ) -> None:
        self._tools = tools
        self._client = client
        self._holding = holding
        self._retries = retries
        self._sizes = {one.orthanc_id: one.size for one in holding.instances}

    def send(
        self, what: Shipment, make_crew: Callable[[Callable[[], int]], Crew]
    ) -> list[PeerRefusal]:
        """Send what is not acknowledged; what the peer said of instances in several buckets that
        turned out damaged. ``make_crew``: of so many threads."""
        buckets, done = what.plan.manifest.buckets, what.progress.done
        crew = make_crew(lambda: what.pace.workers)
        patiently = self._tools.patience(crew.pause, self._retries)
        throttle = self._tools.throttles.of(self._client.peer.name, crew.pause)
        damaged: list[PeerRefusal] = []

        def send(position: int) -> None:
            throttle.wait_until_open()
            ticket = what.pace.begin()
            delivery = self._delivery(what, position, ticket.encoding, throttle.pass_on)
            try:
                sent_bytes = patiently(delivery.attempt, progress=lambda: delivery.furthest)
            except Damaged as error:
                damaged.append(error.refusal)
                return
            what.pace.arrived(ticket, buckets[position].size)
            what.progress.finished(position, sent_bytes)
            what.save()

        lanes = Lanes(buckets, (n for n in range(len(buckets)) if n not in done))
        crew.work(lanes, send, lanes.done)
        return damaged

    def _delivery(
        self,
        what: Shipment,
        position: int,
        encoding: Encoding,
        pass_on: Callable[[int], None] | None,
    ) -> Delivery:
        bucket = what.plan.manifest.buckets[position]
        part = any(chunk.size < self._sizes[chunk.orthanc_id] for chunk in bucket.chunks)
        ranges = self._holding.ranges(bucket)
        told = {protocol.ENCODING: encoding.name} if what.plan.wherry else {}
        request = Request(
            "PUT",
            f"{what.path}/{position}",
            _name(position, bucket),
            bucket_body(self._tools.storage, ranges, encoding, seal=what.plan.wherry and part),
            {**what.headers, **told},
            pass_on=pass_on,
            resend=not what.plan.wherry,  # which is asked first how much it has
            tied=what.plan.wherry,
        )
        return Delivery(self._client, request, wherry=what.plan.wherry, part=part)


def _name(position: int, bucket: Bucket) -> str:
    """A bucket in words that lead to the instance when it holds one only."""
    instances = {chunk.orthanc_id for chunk in bucket.chunks}
    held = f"instance {instances.pop()}" if len(instances) == 1 else f"{len(instances)} instances"
    return f"bucket {position} ({held})"
