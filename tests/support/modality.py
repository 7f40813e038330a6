"""Another DICOM system, played by pynetdicom: answers what a test wants, and notes what came."""

from __future__ import annotations

import ssl
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket

from tests.support.server import free_port
from wherry.model import Modality

PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
ALL_SERVICES = (
    *(PATIENT_FIND, STUDY_FIND, WORKLIST_FIND),
    *(PATIENT_MOVE, STUDY_MOVE),
    *(PATIENT_GET, STUDY_GET),
)
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PENDING = 0xFF00


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    service: str
    """``find``, ``move``, ``get``."""
    model: str
    """SOP class."""
    identifier: Dataset
    calling: str
    destination: str = ""


type_answers = Iterable[tuple[Any, Dataset | None]]
type_find = Callable[[evt.Event], type_answers]


def answer(**tags: Any) -> Dataset:
    """A data set for an answer."""
    found = Dataset()
    for keyword, value in tags.items():
        setattr(found, keyword, value)
    return found


@dataclass
class Player:
    """What it is to do; a test may change it at any time."""

    port: int = field(default_factory=free_port)
    title: str = "PLAYER"
    find: type_find = lambda event: ()
    move: Callable[[evt.Event], Iterable[Any]] = lambda event: [(None, None)]
    get: Callable[[evt.Event], Iterable[Any]] = lambda event: (0,)
    asked: list[Asked] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    associations: int = 0
    ends: list[str] = field(default_factory=list)
    """How associations ended: ``released``, ``aborted``."""

    def reset(self) -> Player:
        """As if it were new, on the same port: to start one takes half a second, and to stop it
        too."""
        self.__init__(self.port, self.title)  # type: ignore[misc]
        return self

    def modality(self, name: str = "player", **options: Any) -> Modality:
        """As Wherry knows it."""
        return Modality(name, self.title, "127.0.0.1", self.port, **options)

    @property
    def identifiers(self) -> list[dict[str, Any]]:
        """What was asked for: keyword or tag → text."""
        with warnings.catch_warnings(action="ignore"):  # asterisks in UIDs
            return [texts(one.identifier) for one in self.asked]

    def _note(self, service: str, event: evt.Event) -> None:
        destination = getattr(event.request, "MoveDestination", None) or ""
        self.asked.append(
            Asked(
                service,
                str(event.request.AffectedSOPClassUID),
                event.identifier,
                event.assoc.requestor.ae_title,
                str(destination),
            )
        )

    def _find(self, event: evt.Event) -> Iterator[tuple[Any, Dataset | None]]:
        self._note("find", event)
        for status, data in self.find(event):
            if event.is_cancelled:
                self.cancelled.set()
                yield 0xFE00, None
                return
            yield status, data

    def _move(self, event: evt.Event) -> Iterator[Any]:
        self._note("move", event)
        yield from self._until_cancelled(event, self.move(event))

    def _get(self, event: evt.Event) -> Iterator[Any]:
        self._note("get", event)
        yield from self._until_cancelled(event, self.get(event))

    def _until_cancelled(self, event: evt.Event, steps: Iterable[Any]) -> Iterator[Any]:
        for step in steps:
            if event.is_cancelled:
                self.cancelled.set()
                yield 0xFE00, None
                return
            yield step

    def _accepted(self, event: evt.Event) -> None:
        self.associations += 1


def texts(data: Dataset) -> dict[str, Any]:
    """Keyword → text, or a list for a sequence."""
    return {
        element.keyword or str(element.tag): (
            [texts(item) for item in element.value]
            if element.VR == "SQ"
            else "\\".join(map(str, element.value))
            if element.VM > 1
            else ""
            if element.value is None
            else str(element.value)
        )
        for element in data
    }


@contextmanager
def playing(
    player: Player | None = None,
    services: Iterable[str] = ALL_SERVICES,
    syntaxes: Iterable[str] = (EXPLICIT, IMPLICIT),
    maximum_pdu_bytes: int = 16382,
    storage: Iterable[PresentationContext] = (),
    tls: ssl.SSLContext | None = None,
) -> Iterator[Player]:
    """A modality that listens; ``storage``: what it can send by C-GET."""
    player = player or Player()
    entity = AE(ae_title=player.title)
    entity.maximum_pdu_size = maximum_pdu_bytes
    for service in services:
        entity.add_supported_context(service, list(syntaxes))
    for context in storage:
        entity.add_supported_context(
            context.abstract_syntax, context.transfer_syntax, scu_role=True, scp_role=True
        )
    server = entity.start_server(
        ("127.0.0.1", player.port),
        block=False,
        ssl_context=tls,
        evt_handlers=[
            (evt.EVT_C_FIND, player._find),
            (evt.EVT_C_MOVE, player._move),
            (evt.EVT_C_GET, player._get),
            (evt.EVT_ACCEPTED, player._accepted),
            (evt.EVT_RELEASED, lambda event: player.ends.append("released")),
            (evt.EVT_ABORTED, lambda event: player.ends.append("aborted")),
        ],
    )
    try:
        with patch.object(AssociationSocket, "_shutdown_socket", _shut):
            yield player
    finally:
        server.shutdown()


_shutdown = AssociationSocket._shutdown_socket


def _shut(self: AssociationSocket) -> None:
    """pynetdicom leaves a socket to the collector when its other end has reset the connection."""
    connection = self.socket
    _shutdown(self)
    if connection is not None:
        connection.close()
