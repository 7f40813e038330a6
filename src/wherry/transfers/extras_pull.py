"""Fetching what hangs on the instances of a pull: the document, then the attachments in it.

Attachments come from the route that everybody reads them from; size and digest are those of the
document. One that is replaced at the source meanwhile does not fit any more: then the document is
asked for again.

Not here: how requests are made again (``pull``), where it is kept (``extras_reception``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

from wherry import limits
from wherry.errors import CorruptedFile, NetworkProtocol, Refused, TooLarge, WherryError
from wherry.jobs.crew import Crew
from wherry.model import ManifestInstance
from wherry.peers.bodies import BytesBody
from wherry.peers.client import Answer, PeerClient, Request
from wherry.peers.refusal import PeerRefusal
from wherry.transfers.extras import HEADER, Enclosure, Names, parse, render_question, resolve
from wherry.transfers.extras_push import refusal, type_crew
from wherry.transfers.orders import TransferRequest
from wherry.transfers.progress import Retries
from wherry.transfers.tools import Tools

T = TypeVar("T")

_ROUNDS: Final = 3
_JSON: Final = "application/json"


class ExtrasPull:
    """The extras of one pull, if its order wants them."""

    def __init__(
        self, tools: Tools, client: PeerClient, request: TransferRequest, retries: Retries
    ) -> None:
        """``retries`` counts."""
        self._retries = retries
        self._tools = tools
        self._client = client
        self._request = request
        self._names = Names.of(tools.config)

    def check(self, lookup: Answer) -> None:
        """Raises ``NetworkProtocol`` when they are wanted, and the peer that answered does not give
        them: nothing is fetched without what was asked for."""
        if self._request.metadata and not lookup.header(HEADER):
            raise refusal(self._request.peer)

    def fetch(
        self,
        transfer_id: str,
        instances: Sequence[ManifestInstance],
        crew: type_crew,
    ) -> None:
        """Bring them into an open transfer of our own; nothing when they are not wanted."""
        for rounds_left in reversed(range(_ROUNDS if self._request.metadata else 0)):
            changed = self._fetch_round(transfer_id, instances, crew)
            if not changed:
                return
            if not rounds_left:
                raise NetworkProtocol(
                    f"Attachments at peer {self._request.peer} change again and again"
                ) from changed[0]

    def _fetch_round(
        self, transfer_id: str, instances: Sequence[ManifestInstance], crew: type_crew
    ) -> list[WherryError]:
        """Declare and fetch. When attachments are not any more what the peer has just said, the
        errors that say so."""
        enclosures = self._ask(instances, crew(1))
        try:
            extras = resolve(enclosures, self._names)
            missing = self._tools.reception.extras.declare(transfer_id, enclosures, extras)
        except Refused as error:
            raise NetworkProtocol(f"What the peer has cannot be kept: {error}") from error
        targets = [(one, file.name) for one in enclosures for file in one.attachments]
        changed: list[WherryError] = []

        def fetch(number: int) -> None:
            try:
                self._fetch(transfer_id, number, *targets[number])
            except WherryError as error:
                if not _is_change(error):
                    raise
                changed.append(error)

        self._work(crew(self._tools.config.transfers.threads), missing, fetch)
        return changed

    def _work(self, crew: Crew, items: Sequence[T], do: Callable[[T], None]) -> None:
        patiently = self._tools.patience(crew.pause, self._retries)
        crew.work(items, lambda one: patiently(lambda: do(one)))

    def _ask(self, instances: Sequence[ManifestInstance], crew: Crew) -> list[Enclosure]:
        request = Request(
            "POST",
            "/transfers/extras",
            "metadata, labels and attachments",
            BytesBody(render_question([one.orthanc_id for one in instances]), _JSON),
            timeout_s=self._tools.config.transfers.peer_commit_timeout_s,
            limit=limits.EXTRAS_BYTES,
        )
        answers: list[Answer] = []
        self._work(crew, [request], lambda one: answers.append(self._client.ask(one)))
        try:
            return parse(answers[0].body)
        except Refused as error:
            raise NetworkProtocol(f"The peer's list of metadata is none: {error}") from None

    def _fetch(self, transfer_id: str, number: int, one: Enclosure, name: str) -> None:
        request = Request(
            "GET",
            f"/{one.level.plural}/{one.orthanc_id}/attachments/{quote(name, safe='')}/data",
            f"attachment {name} of {one.level.title.lower()} {one.orthanc_id}",
        )
        incoming = self._tools.reception.extras.attachment(transfer_id, number)
        try:
            self._client.fetch(request, incoming.receive)
            incoming.finish()
        finally:
            incoming.abort()


def _is_change(error: WherryError) -> bool:
    """Whether an attachment is gone, or is not what the document says."""
    gone = isinstance(error, PeerRefusal) and error.unknown
    return gone or isinstance(error, CorruptedFile | TooLarge)
