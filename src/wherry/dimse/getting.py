"""C-GET (PS3.4 §C.4.3): the caller is given instances over its own association.

Each is a C-STORE of ours in a context for which the caller has taken the role of SCP. Files are
read in pieces by worker threads: the event loop waits for no disk.

Not here: which instances are meant (``retrieving``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Final

from wherry import limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dimse.requests import CANCELLED, PENDING, Context, Request
from wherry.dimse.retrieving import Suboperations, meant
from wherry.errors import NetworkProtocol, NoAcceptableContext, WherryError
from wherry.http.threads import in_thread
from wherry.index import sending
from wherry.modalities.associations.negotiation import Recoding, recoding
from wherry.modalities.sending.cstore import OneByOne, as_taken
from wherry.modalities.sending.order import Instance, StoreOrder, instances_of
from wherry.modalities.sending.outgoing import Outgoing

log = logging.getLogger(__name__)

GET_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.2.1.3",
    "1.2.840.10008.5.1.4.1.2.2.3",
    "1.2.840.10008.5.1.4.1.2.3.3",
)
"""Patient root, study root, and the retired patient/study only."""


async def get(request: Request) -> None:
    """Answer a C-GET."""
    instances = await in_thread(_instances, request)
    counts = Suboperations(len(instances))
    contexts = [one for one in request.contexts if one.as_scp]
    rooms = request.rooms
    rules = recoding(rooms.config, request.caller.modality, rooms.transcoder)
    files = OneByOne(rooms.storage, ((one.orthanc_id, one.attachment) for one in instances))
    try:
        await _give_all(request, instances, files, contexts, rules, counts)
    finally:
        await in_thread(files.close)


async def _give_all(
    request: Request,
    instances: list[Instance],
    files: OneByOne,
    contexts: list[Context],
    rules: Recoding,
    counts: Suboperations,
) -> None:
    for instance in instances:
        if request.cancelled:
            await request.respond(CANCELLED, counts.identifier(), **counts.members(remaining=True))
            return
        try:
            status, uid = await _give(request, files, contexts, rules)
        except NetworkProtocol as error:
            if not isinstance(error, NoAcceptableContext):
                raise
            counts.fail(await in_thread(_uid, request, instance))
        except WherryError as error:
            log.warning("An instance cannot be given: %s", type(error).__name__)
            counts.fail(await in_thread(_uid, request, instance))
        else:
            if status == 0 or status & 0xF000 == 0xB000:
                counts.done(with_warning=status != 0)
            else:
                counts.fail(uid)
        if counts.remaining:
            await request.respond(PENDING, **counts.members(remaining=True))
    await request.respond(counts.status, counts.identifier(), **counts.members())


def _instances(request: Request) -> list[Instance]:
    with request.rooms.index.read() as tx:
        return instances_of(tx, StoreOrder("", meant(request, tx)))


def _uid(request: Request, instance: Instance) -> str:
    with request.rooms.index.read() as tx:
        return next((uid for _, uid in sending.sop_pairs(tx, [instance.orthanc_id])), "")


async def _give(
    request: Request, files: OneByOne, contexts: list[Context], rules: Recoding
) -> tuple[int, str]:
    """Status and UID of one sub-operation."""
    async with _opened(files) as outgoing:
        async with _taken(request, outgoing, contexts, rules) as (context, taken):
            command = Command(
                CommandField.C_STORE_RQ,
                has_data_set=True,
                affected_sop_class=outgoing.kind.sop_class,
                affected_sop_instance=outgoing.sop_instance,
                priority=request.command.priority or 0,
            )
            pieces = _read(_pieces(taken, context.transfer_syntax))
            answer = await request.ask(context, command, pieces)
        return answer.status or 0, outgoing.sop_instance


@asynccontextmanager
async def _opened(files: OneByOne) -> AsyncIterator[Outgoing]:
    stack = ExitStack()
    outgoing = await in_thread(stack.enter_context, files.next())
    try:
        yield outgoing
    finally:
        await in_thread(stack.close)


@asynccontextmanager
async def _taken(
    request: Request, outgoing: Outgoing, contexts: list[Context], rules: Recoding
) -> AsyncIterator[tuple[Context, Outgoing]]:
    stack = ExitStack()
    as_it_is = outgoing.kind in [(one.abstract_syntax, one.transfer_syntax) for one in contexts]
    run = in_thread if as_it_is else request.rooms.drawing.make
    making = as_taken(outgoing, contexts, rules)
    found = await run(partial(stack.enter_context, making))
    try:
        yield found
    finally:
        await in_thread(stack.close)


def _pieces(outgoing: Outgoing, syntax: str) -> Iterator[bytes]:
    """The data set, some of it at once, read from the file by whoever asks."""
    found = outgoing.data_set(syntax)
    if isinstance(found, memoryview):
        for start in range(0, len(found), limits.BODY_CHUNK_BYTES):
            yield bytes(found[start : start + limits.BODY_CHUNK_BYTES])
        return
    for piece in found:
        yield bytes(piece)


async def _read(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await in_thread(next, pieces, None)) is not None:
        yield piece
