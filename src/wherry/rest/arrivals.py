"""PUT of an attachment: the body is the file, streamed to its final place while it arrives.

What can be refused is refused before the body is read; the client hears "yes" after the commit.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from wherry import limits
from wherry.http.answers import PLAIN_JSON, Answer, empty_answer
from wherry.http.body import Pieces, is_gzip
from wherry.http.inflate import Inflating
from wherry.http.services import Services, services
from wherry.http.threads import in_thread, post, promise, type_settle
from wherry.index import attachments
from wherry.model import Level, Revision
from wherry.rest.names import content_number, of_user
from wherry.rest.revisions import claimed, state_of, tag_header


async def put(request: Request, level: Level) -> Response:
    """PUT /{level}/{id}/attachments/{name}."""
    rooms = services(request)
    number = content_number(rooms.config, request.path_params["name"])
    if not of_user(number):
        return empty_answer(403)
    arrival = _Arrival(rooms, level, request.path_params["id"], number, claimed(request))
    await in_thread(arrival.check)
    limit = rooms.config.wherry.maximum_instance_bytes
    decoder = Inflating(arrival.deposit.write, limit) if is_gzip(request) else None
    try:
        async with Pieces(request, limit) as pieces:
            first = await pieces.gather(limits.BODY_CHUNK_BYTES)
            await pieces.pour(decoder.write if decoder else arrival.deposit.write, first)
    except Exception:
        await in_thread(arrival.deposit.abort)
        raise
    except BaseException:  # cancelled: nobody may wait here
        post(arrival.deposit.abort)
        raise
    attached, settle = promise()
    post(arrival.attach, decoder, settle)
    state = state_of(rooms.config, await attached)
    return Answer(b"{}", 200, PLAIN_JSON, tag_header(state))


class _Arrival:
    """One file on its way in. All methods are blocking."""

    def __init__(
        self, rooms: Services, level: Level, orthanc_id: str, number: int, claim: Revision | None
    ) -> None:
        self._rooms = rooms
        self._resource = (level, orthanc_id)
        self._claim = claim
        self._required = rooms.config.check_revisions
        self.deposit = rooms.ingest.attachments.deposit(number)

    def check(self) -> None:
        """Raises at once what would be raised in the end."""
        with self._rooms.index.read() as tx:
            attachments.check(
                tx,
                *self._resource,
                self.deposit.content_type,
                claimed=self._claim,
                required=self._required,
            )

    def attach(self, decoder: Inflating | None, settle: type_settle) -> None:
        """After the last byte; ``settle`` learns the end."""
        try:
            if decoder is not None:
                decoder.finish()
            attached = self._rooms.ingest.attachments.attach(
                *self._resource, self.deposit, claimed=self._claim, required=self._required
            )
        except BaseException as error:
            self.deposit.abort()
            settle(None, error)
        else:
            settle(attached, None)
