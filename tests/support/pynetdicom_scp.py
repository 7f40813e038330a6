"""pynetdicom as the system that instances are sent to, in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from tests.support.server import free_port


class Archive:
    """What came: SOP instance UID → transfer syntax and data set."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stored: dict[str, tuple[str, bytes]] = {}
        self.messages = 0
        self.proposed: list[int] = []
        """Presentation contexts of each association."""
        self.rule: Callable[[Any, int], int] = lambda event, number: 0
        """Status of a C-STORE, from its event and its number."""
        self._lock = threading.Lock()

    def store(self, event: Any) -> int:
        request = event.request
        with self._lock:
            self.messages += 1
            number = self.messages
        status = self.rule(event, number)
        if status == 0:
            syntax = str(event.context.transfer_syntax)
            with self._lock:
                uid = str(request.AffectedSOPInstanceUID)
                self.stored[uid] = syntax, request.DataSet.getvalue()
        return status

    def requested(self, event: Any) -> None:
        contexts = event.assoc.requestor.primitive.presentation_context_definition_list
        with self._lock:
            self.proposed.append(len(contexts))


@contextmanager
def archive(
    maximum_pdu: int = 16_382, associations: int = 10, syntaxes: Any = AllTransferSyntaxes
) -> Iterator[Archive]:
    """One that listens."""
    found = Archive(free_port())
    entity = AE(ae_title="ARCHIVE")
    entity.maximum_pdu_size = maximum_pdu
    entity.maximum_associations = associations
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        entity.add_supported_context(context.abstract_syntax, syntaxes)
    handlers: Any = [(evt.EVT_C_STORE, found.store), (evt.EVT_REQUESTED, found.requested)]
    server = entity.start_server(("127.0.0.1", found.port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield found
    finally:
        server.shutdown()
