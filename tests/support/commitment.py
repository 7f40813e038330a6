"""Storage commitment as pynetdicom speaks it: an AE that asks, and one that is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel

from tests.support.server import free_port

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"

type_pairs = Sequence[tuple[str, str]]
"""SOP class and SOP instance."""


@dataclass
class Reported:
    """One N-EVENT-REPORT."""

    event_type: int
    transaction: str
    committed: list[tuple[str, str]]
    failed: list[tuple[str, str, int]]
    calling: str
    """Title of whoever reports."""
    as_scp: bool
    """It had proposed to be the SCP, and not the SCU."""


def request_data_set(transaction: str, pairs: type_pairs) -> Dataset:
    """The data set of an N-ACTION."""
    data = Dataset()
    data.TransactionUID = transaction
    data.ReferencedSOPSequence = [reference(*pair) for pair in pairs]
    return data


def reference(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    """An item of one of the sequences."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_instance
    if reason is not None:
        item.FailureReason = reason
    return item


def report_data_set(
    transaction: str, committed: type_pairs, failed: Sequence[tuple[str, str, int]] = ()
) -> Dataset:
    """The data set of an N-EVENT-REPORT."""
    data = Dataset()
    data.TransactionUID = transaction
    if committed:
        data.ReferencedSOPSequence = [reference(*pair) for pair in committed]
    if failed:
        data.FailedSOPSequence = [reference(*one) for one in failed]
    return data


def read_report(event: evt.Event) -> Reported:
    """What such a data set says."""
    data = event.event_information
    role = event.assoc.requestor.role_selection.get(StorageCommitmentPushModel)
    return Reported(
        event.event_type,
        data.TransactionUID,
        [
            (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
            for item in data.get("ReferencedSOPSequence", [])
        ],
        [
            (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.FailureReason)
            for item in data.get("FailedSOPSequence", [])
        ],
        str(event.assoc.requestor.ae_title).strip(),
        role is not None and bool(role.scp_role) and not role.scu_role,
    )


@contextmanager
def associated(
    ae: AE, port: int, called: str, roles: Sequence[Any] = ()
) -> Iterator[Association | None]:
    """An association; None when it is not to be had. pynetdicom does not close its socket when the
    other end dies, so that is done here."""
    association = ae.associate("127.0.0.1", port, ae_title=called, ext_neg=list(roles))
    line = association.dul.socket
    connection = None if line is None else line.socket
    try:
        yield association if association.is_established else None
    finally:
        if association.is_established:
            association.release()
        if association.is_alive():
            association.join()
        if connection is not None:
            connection.close()


@dataclass
class Requester:
    """A modality that asks for commitment and takes the reports."""

    title: str = "MODALITY"
    port: int = field(default_factory=free_port)
    reports: Queue[Reported] = field(default_factory=Queue)
    status: int = 0
    """Its answer to reports."""

    def ask(
        self,
        port: int,
        transaction: str,
        pairs: type_pairs,
        *,
        called: str = "ORTHANC",
        action_type: int = 1,
        data_set: Dataset | None = None,
        instance: str = PUSH_MODEL_INSTANCE,
    ) -> int | None:
        """The status of an N-ACTION; None: no association, or no such context in it."""
        ae = AE(ae_title=self.title)
        ae.add_requested_context(StorageCommitmentPushModel)
        with associated(ae, port, called) as association:
            if association is None:
                return None
            status, _ = association.send_n_action(
                data_set or request_data_set(transaction, pairs),
                action_type,
                StorageCommitmentPushModel,
                instance,
            )
            return int(status.Status) if "Status" in status else None

    @contextmanager
    def listening(self) -> Iterator[Requester]:
        """Take reports."""
        ae = AE(ae_title=self.title)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

        def take(event: evt.Event) -> tuple[int, None]:
            self.reports.put(read_report(event))
            return self.status, None

        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)]
        )
        try:
            yield self
        finally:
            server.shutdown()


type_judge = Callable[[str, str], int]
"""The reason why an instance (class, instance) is not committed; 0: it is."""


@dataclass
class Committer:
    """An archive that is asked for commitment. With ``same_association`` it reports over the
    association of the request, before it has answered or after; else with ``report``."""

    title: str = "ARCHIVE"
    port: int = field(default_factory=free_port)
    status: int = 0
    """Its answer to requests."""
    judge: type_judge = lambda sop_class, sop_instance: 0
    same_association: bool = False
    requests: Queue[Dataset] = field(default_factory=Queue)
    answers: Queue[int | None] = field(default_factory=Queue)
    """Statuses of the answers to reports over the association of the request."""

    @contextmanager
    def listening(self) -> Iterator[Committer]:
        """Answer requests."""
        ae = AE(ae_title=self.title)
        ae.add_supported_context(StorageCommitmentPushModel)
        threads: list[threading.Thread] = []

        def act(event: evt.Event) -> tuple[int, None]:
            self.requests.put(event.action_information)
            if self.same_association and not self.status:
                reporting = threading.Thread(
                    target=self._report_on, args=(event.assoc, event.action_information)
                )
                threads.append(reporting)
                reporting.start()
            return self.status, None

        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_ACTION, act)]
        )
        try:
            yield self
        finally:
            for one in threads:
                one.join()
            server.shutdown()

    def report(self, port: int, data_set: Dataset, event_type: int, *, called: str) -> int | None:
        """Report over an association of its own; the status, None: there is no association."""
        ae = AE(ae_title=self.title)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        with associated(ae, port, called, [role]) as association:
            if association is None:
                return None
            return self._send(association, data_set, event_type)

    def verdict(self, request: Dataset) -> tuple[Dataset, int]:
        """The report on a request, and its event type."""
        committed, failed = [], []
        for item in request.ReferencedSOPSequence:
            pair = (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            if reason := self.judge(*pair):
                failed.append((*pair, reason))
            else:
                committed.append(pair)
        data = report_data_set(request.TransactionUID, committed, failed)
        return data, 2 if failed else 1

    def _report_on(self, association: Association, request: Dataset) -> None:
        self.answers.put(self._send(association, *self.verdict(request)))

    def _send(self, association: Association, data_set: Dataset, event_type: int) -> int | None:
        status, _ = association.send_n_event_report(
            data_set, event_type, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE
        )
        return int(status.Status) if "Status" in status else None
