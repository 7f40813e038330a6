"""Queries of DICOM systems, put to the services of the SCP without a network between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.dicom.attributes import Attribute, read, write
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.tags import tag_of
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import type_buffer
from wherry.dimse.requests import PENDING, Caller, Context, Request
from wherry.http.services import Services

type_service = Callable[[Request], Awaitable[None]]


@dataclass
class Answered:
    """What came back."""

    status: int = -1
    comment: str = ""
    data_sets: list[dict[int, Attribute]] = field(default_factory=list)

    def texts(self, name: str) -> list[str]:
        """The values of one tag, sorted."""
        return sorted(one[number(name)].text for one in self.data_sets)


class Recorder:
    """A line whose other end takes everything, and cancels after so many answers."""

    def __init__(self, cancel_after: int | None = None) -> None:
        self.sent: list[tuple[Command, bytes]] = []
        self.request: Request | None = None
        self._cancel_after = cancel_after

    async def send(self, context: Context, command: Command, data_set: type_buffer = b"") -> None:
        assert bool(data_set) == command.has_data_set
        self.sent.append((command, bytes(data_set)))
        if len(self.sent) == self._cancel_after:
            assert self.request is not None
            self.request.cancelled = True

    async def send_each(
        self, context: Context, command: Command, data_sets: Sequence[bytes]
    ) -> None:
        for data_set in data_sets:
            await self.send(context, command, data_set)


def number(name: str) -> int:
    """The tag of a keyword or of ``gggg,eeee``."""
    return int(tag_of(name).replace(",", ""), 16)


def keys(**texts: str | list[dict[int, Attribute]]) -> dict[int, Attribute]:
    """An identifier; VRs from the dictionary, sequences as lists of ``keys``."""
    from wherry.dicom.attributes import vr_of

    found = {}
    for name, value in texts.items():
        tag = number(name)
        whole = tuple(value) if isinstance(value, list) else value
        found[tag] = Attribute(vr_of(tag), whole)
    return dict(sorted(found.items()))


def ask(
    service: type_service,
    rooms: Services,
    sop_class: str,
    identifier: Mapping[int, Attribute] | bytes,
    *,
    syntax: str = EXPLICIT,
    cancel_after: int | None = None,
    command_class: str = "",
    calling: str = "TEST",
) -> Answered:
    """One request and its answers. Raises what the service raises."""
    line = Recorder(cancel_after)
    data = identifier if isinstance(identifier, bytes) else write(identifier, syntax)
    request = Request(
        rooms,
        Caller(calling, "ORTHANC", "127.0.0.1", None),
        Context(1, sop_class, syntax),
        Command(
            CommandField.C_FIND_RQ,
            has_data_set=True,
            affected_sop_class=command_class or sop_class,
            message_id=7,
        ),
        data,
        line,
    )
    line.request = request

    async def work() -> None:
        await service(request)

    asyncio.run(work())
    *pending, (last, rest) = line.sent
    assert not rest
    assert all(one.status == PENDING and one.responded_to == 7 for one, _ in pending)
    assert last.status is not None
    return Answered(
        last.status, last.error_comment or "", [read(data, syntax) for _, data in pending]
    )
