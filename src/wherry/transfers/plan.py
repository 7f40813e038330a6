"""What a push has to send: everything, or what the peer does not hold already.

A Wherry is asked about every instance by its size and digest (``/transfers/inventory``). It keeps
what it holds in the transaction, so that a commit is still about the whole study: what was sent and
what was there become one, or nothing does. Of a stock peer, ``/transfers/lookup`` tells what it has
of the resources that are sent; what has the same digest is left out.

Not here: sending (``push``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from wherry import limits
from wherry.errors import NetworkProtocol
from wherry.jobs import ranges
from wherry.model import Level, Manifest, ManifestInstance
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Request
from wherry.peers.refusal import PeerRefusal
from wherry.transfers import protocol
from wherry.transfers.buckets import cut
from wherry.transfers.protocol import ResourceName

WHERRY, STOCK = "wherry", "stock"
"""Dialects: who answers ``/transfers/inventory``, and who does not."""
_JSON: Final = "application/json"
NO_SUCH_ROUTE: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
)
"""What others than a Wherry answer on a route that only a Wherry has."""
_ASKED_AT_ONCE: Final = 500
_LOOKED_UP: Final = 10
"""Resources that a stock peer is asked about one by one: an unknown one refuses the others."""

type_ask = Callable[[Request], bytes]
"""Sends a request; the body of its answer."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What is declared to the peer, and what is not sent."""

    manifest: Manifest
    skipped: tuple[ManifestInstance, ...]
    """Those that the peer holds."""
    missing: str
    """Positions of the others among all instances (``ranges``): with it, the plan is made again."""
    dialect: str

    @property
    def wherry(self) -> bool:
        """Whether the peer is one."""
        return self.dialect == WHERRY


def plan(
    instances: Sequence[ManifestInstance],
    missing: Collection[int],
    dialect: str,
    *,
    unit_bytes: int,
    compression: str,
) -> PushPlan:
    """The plan when the peer lacks the instances at these positions."""
    sent = tuple(one for place, one in enumerate(instances) if place in missing)
    skipped = tuple(one for place, one in enumerate(instances) if place not in missing)
    declared = tuple(instances) if dialect == WHERRY else sent
    manifest = Manifest(declared, cut(sent, unit_bytes, blocks=dialect == WHERRY), compression)
    return PushPlan(manifest, skipped, ranges.to_text(missing), dialect)


def ask_what_is_missing(
    patiently: type_ask,
    once: type_ask,
    names: Sequence[ResourceName],
    instances: Sequence[ManifestInstance],
    with_md5: Callable[[], Sequence[ManifestInstance]],
) -> tuple[set[int], str]:
    """Positions of the instances that the peer lacks, and its dialect.

    ``names``: the resources that are sent; ``with_md5``: the instances as a stock peer knows them.
    Raises ``PeerUnavailable`` when the peer is out of reach.
    """
    body = BytesBody(protocol.render_inventory(instances), _JSON, digest=True)
    request = Request("POST", "/transfers/inventory", "ask what is there", body)
    try:
        return protocol.read_missing(patiently(request), len(instances)), WHERRY
    except PeerRefusal as error:
        if error.status not in NO_SUCH_ROUTE:
            raise
    there = _looked_up(once, names)
    return {place for place, one in enumerate(with_md5()) if one not in there}, STOCK


def _looked_up(ask: type_ask, names: Sequence[ResourceName]) -> set[ManifestInstance]:
    """What a stock peer has of these resources. It reads and hashes all of it before it answers:
    one that takes too long, or answers nonsense, is sent everything."""
    found: set[ManifestInstance] = set()
    for name in names if len(names) <= _LOOKED_UP else ():
        request = Request(
            "POST",
            "/transfers/lookup",
            "look up what is there",
            BytesBody(protocol.render_resources([name]), _JSON),
            limit=limits.PUSH_MANIFEST_BYTES,
        )
        try:
            found.update(protocol.read_lookup(ask(request))[0])
        except NetworkProtocol:  # among them 404: it has nothing of it
            continue
    return found


def all_there(ask: type_ask, instances: Sequence[ManifestInstance], dialect: str) -> bool:
    """Whether a peer has every instance, with the right digest."""
    if dialect == WHERRY:
        body = BytesBody(protocol.render_inventory(instances), _JSON, digest=True)
        answer = ask(Request("POST", "/transfers/inventory", "ask what is there", body))
        return not protocol.read_missing(answer, len(instances))
    for start in range(0, len(instances), _ASKED_AT_ONCE):
        portion = tuple(instances[start : start + _ASKED_AT_ONCE])
        names = [ResourceName(Level.INSTANCE, one.orthanc_id) for one in portion]
        body = BytesBody(protocol.render_resources(names), _JSON)
        request = Request("POST", "/transfers/lookup", "ask what is there", body)
        try:
            found, _ = protocol.read_lookup(ask(request))
        except PeerRefusal as error:
            if error.unknown:
                return False
            raise
        if found != portion:
            return False
    return True
