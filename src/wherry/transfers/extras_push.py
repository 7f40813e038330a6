"""Sending what hangs on the instances of a push: the document, then the attachments it asks for.

Only a Wherry takes it. It is read when it is sent, so that a job that goes on later sends what is
there then; what has arrived already is not sent again.

Not here: how requests are made, and made again (``push``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from wherry.errors import BadFileFormat, MissingFile, NetworkProtocol
from wherry.index.extras import Extras
from wherry.jobs import ranges
from wherry.jobs.crew import Crew
from wherry.model import Attachment, ManifestInstance
from wherry.peers.bodies import BytesBody, PlainBody
from wherry.peers.client import Answer, PeerClient, Request
from wherry.peers.refusal import PeerRefusal
from wherry.storage.outgoing import FileRange
from wherry.transfers.extras import HEADER, Names, digest, enclose, render
from wherry.transfers.orders import TransferRequest
from wherry.transfers.plan import NO_SUCH_ROUTE, WHERRY
from wherry.transfers.progress import Retries
from wherry.transfers.protocol import a_text, an_object, parse_json, render_inventory
from wherry.transfers.tools import Tools

_ROUNDS: Final = 3
_JSON: Final = "application/json"
_BYTES: Final = {"Content-Type": "application/octet-stream"}

type_ask = Callable[[Request], Answer]
"""Sends a request about the transaction once."""
type_crew = Callable[[int], Crew]
"""So many threads."""
type_do = Callable[[Request], None]


class ExtrasPush:
    """The extras of one push, if its order wants them."""

    def __init__(
        self,
        tools: Tools,
        request: TransferRequest,
        instances: Sequence[ManifestInstance],
        retries: Retries,
    ) -> None:
        """``retries`` counts."""
        self._tools = tools
        self._retries = retries
        self._request = request
        self._instances = instances
        self._names = Names.of(tools.config)
        self.digest = ""
        """Of the document as it was sent last; empty when nothing was."""

    def check(self, dialect: str) -> None:
        """Raises ``NetworkProtocol`` when they are wanted and the peer cannot take them: nothing is
        sent without what was asked for."""
        if self._request.metadata and dialect != WHERRY:
            raise refusal(self._request.peer)

    def send(self, path: str, ask: type_ask, crew: type_crew) -> None:
        """Send them to the transaction ``path``; nothing when they are not wanted."""
        for rounds_left in reversed(range(_ROUNDS if self._request.metadata else 0)):
            gone = self._send_round(path, ask, crew)
            if not gone:
                return
            if not rounds_left:
                raise gone[0]

    def _send_round(self, path: str, ask: type_ask, crew: type_crew) -> list[MissingFile]:
        """Declare and send. When attachments were replaced or taken away after we looked, the
        errors that say so."""
        found = self._tools.source.extras([one.orthanc_id for one in self._instances])
        files = [(one, file) for one in found for file in one.attachments]
        missing = self._declare(path, found, partial(self._alone, crew, ask), len(files))
        requests = [self._request_of(path, number, *files[number]) for number in missing]
        gone: list[MissingFile] = []

        def put(request: Request) -> None:
            try:
                ask(request)
            except MissingFile as error:
                gone.append(error)

        self._work(crew(self._tools.config.transfers.threads), requests, put)
        return gone

    def _alone(self, crew: type_crew, ask: type_ask, request: Request) -> Answer:
        answers: list[Answer] = []
        self._work(crew(1), [request], lambda one: answers.append(ask(one)))
        return answers[0]

    def _work(self, crew: Crew, requests: Sequence[Request], do: type_do) -> None:
        patiently = self._tools.patience(crew.pause, self._retries)
        crew.work(requests, lambda one: patiently(lambda: do(one)))

    def _declare(
        self, path: str, found: Sequence[Extras], ask: type_ask, file_count: int
    ) -> list[int]:
        enclosures = enclose(found, self._names)
        self.digest = digest(enclosures)
        request = Request(
            "POST",
            f"{path}/extras",
            "metadata, labels and attachments",
            BytesBody(render(enclosures), _JSON),
            timeout_s=self._tools.config.transfers.peer_commit_timeout_s,
        )
        try:
            answer = ask(request)
        except PeerRefusal as error:
            if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
                raise refusal(self._request.peer) from error
            raise
        try:
            told = a_text(an_object(parse_json(answer.body), "Answer"), "Missing")
            return sorted(ranges.parse(told, file_count))
        except (BadFileFormat, ValueError) as error:
            raise NetworkProtocol(f"The peer does not say what it needs: {error}") from None

    def _request_of(self, path: str, number: int, one: Extras, file: Attachment) -> Request:
        wanted = FileRange(one.orthanc_id, file, 0, file.uncompressed_size)
        return Request(
            "PUT",
            f"{path}/attachments/{number}",
            f"attachment {file.content_type} of {one.level.title.lower()} {one.orthanc_id}",
            PlainBody(self._tools.storage, [wanted], _BYTES),
        )


def check_peer(client: PeerClient, patiently: Callable[[Callable[[], Answer]], Answer]) -> None:
    """Raises ``NetworkProtocol`` when a peer knows nothing of all this: without a word it would
    leave out what it is asked for."""
    request = Request(
        "POST", "/transfers/inventory", "ask who it is", BytesBody(render_inventory(()), _JSON)
    )
    try:
        answer = patiently(lambda: client.ask(request))
    except PeerRefusal as error:
        if error.status in NO_SUCH_ROUTE:
            raise refusal(client.peer.name) from error
        raise
    if not answer.header(HEADER):
        raise refusal(client.peer.name)


def refusal(peer: str) -> NetworkProtocol:
    """The error of an order that a peer cannot fulfil."""
    return NetworkProtocol(
        f'Peer {peer} neither takes nor gives metadata, labels and attachments ("Metadata": true):'
        " only a Wherry does, of a version that knows them"
    )
