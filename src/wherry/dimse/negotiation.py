"""Which associations are accepted, and what may be said in them (PS3.7 Annex D, PS3.8 §7.1).

Of the transfer syntaxes of a context the first that we take is chosen: a sender names the one
first in which it has its instances, and they are to stay as they are.

Not here: bytes (``dicom.wire``), sockets (``association``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wherry.dicom.attributes import SYNTAXES
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from wherry.dicom.wire.pdu import (
    APPLICATION_CONTEXT,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Outcome,
    ProposedContext,
    Roles,
    UserInformation,
)
from wherry.dimse.permissions import Permission, Rights, rights
from wherry.dimse.requests import Caller, Context
from wherry.dimse.services import SERVICES

if TYPE_CHECKING:
    from wherry.http.services import Services

NO_ROOM: Final = AssociateReject(2, 3, 2)
"""For now: local limit exceeded (PS3.8 table 9-21)."""
_NO_SUCH_APPLICATION_CONTEXT: Final = AssociateReject(1, 1, 2)
_UNKNOWN_CALLING: Final = AssociateReject(1, 1, 3)
_UNKNOWN_CALLED: Final = AssociateReject(1, 1, 7)

_QUERY_SYNTAXES: Final = frozenset(SYNTAXES) - {"1.2.840.10008.1.2.1.99"}
"""Of messages that are answered with data sets of our own."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends have agreed on."""

    accept: AssociateAccept
    caller: Caller
    permissions: frozenset[Permission]
    contexts: Mapping[int, Context]
    """By their numbers; the accepted ones."""
    maximum_length: int
    """Bytes of a P-DATA-TF that the caller takes; 0 = any number."""


def negotiate(
    rooms: Services, request: AssociateRequest, remote_ip: str
) -> Agreement | AssociateReject:
    """Look at a request. Blocking: it asks the index who is known."""
    config, dimse = rooms.config, rooms.config.dimse
    if request.application_context != APPLICATION_CONTEXT:
        return _NO_SUCH_APPLICATION_CONTEXT
    if dimse.check_called_aet and not rooms.modalities.same_title(request.called, config.dicom_aet):
        return _UNKNOWN_CALLED
    may = rights(dimse, rooms.modalities, request.calling, remote_ip)
    if not may.permissions:
        return _UNKNOWN_CALLING
    policy = _Policy(rooms, may, request)
    answers = [policy.answer(one) for one in request.contexts]
    roles = policy.roles(request.user.roles)
    scp_of = {one.sop_class for one in roles if one.scp}
    syntaxes = {one.id: one.abstract_syntax for one in request.contexts}
    return Agreement(
        accept=AssociateAccept(
            request.called,
            request.calling,
            tuple(answers),
            UserInformation(
                dimse.maximum_pdu_bytes, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION, roles=roles
            ),
        ),
        caller=Caller(request.calling, request.called, remote_ip, next(iter(may.modalities), None)),
        permissions=may.permissions,
        contexts={
            one.id: Context(
                one.id, syntaxes[one.id], one.transfer_syntax, syntaxes[one.id] in scp_of
            )
            for one in answers
            if one.outcome is Outcome.ACCEPTED
        },
        maximum_length=request.user.maximum_length,
    )


class _Policy:
    """What is accepted of one caller in one association."""

    def __init__(self, rooms: Services, may: Rights, request: AssociateRequest) -> None:
        self._config = rooms.config
        self._receiving = rooms.receiving
        self._may = may.permissions
        self._storable = frozenset(rooms.receiving.sop_classes())
        self._stored_as = frozenset(rooms.receiving.transfer_syntaxes)
        self._gets = any(
            (service := SERVICES.get(one.abstract_syntax)) is not None
            and service.takes_instances
            and not self._may.isdisjoint(service.permissions)
            for one in request.contexts
        )
        self._offered = {one.sop_class for one in request.user.roles if one.scp}

    def answer(self, proposed: ProposedContext) -> AnsweredContext:
        """What becomes of one context."""
        service = SERVICES.get(proposed.abstract_syntax)
        if service is not None:
            permitted = not self._may.isdisjoint(service.permissions)
            known = service.is_offered(self._config)
            syntaxes: frozenset[str] = _QUERY_SYNTAXES
        else:
            known = self._is_storage(proposed.abstract_syntax)
            sent_to_it = self._gets and proposed.abstract_syntax in self._offered
            permitted = Permission.STORE in self._may or sent_to_it
            syntaxes = self._stored_as
        if not known:
            return _refused(proposed, Outcome.UNKNOWN_ABSTRACT_SYNTAX)
        if not permitted:
            return _refused(proposed, Outcome.REJECTED_BY_USER)
        for syntax in proposed.transfer_syntaxes:
            if syntax in syntaxes:
                return AnsweredContext(proposed.id, Outcome.ACCEPTED, syntax)
        return _refused(proposed, Outcome.UNKNOWN_TRANSFER_SYNTAXES)

    def roles(self, proposed: Iterable[Roles]) -> tuple[Roles, ...]:
        """The roles that the caller may have, of those it wants (PS3.7 §D.3.3.4.1)."""
        answered = []
        for one in proposed:
            service = SERVICES.get(one.sop_class)
            if service is not None:
                answered.append(Roles(one.sop_class, one.scu, one.scp and service.both_roles))
            elif self._is_storage(one.sop_class):
                scu = one.scu and Permission.STORE in self._may
                answered.append(Roles(one.sop_class, scu, one.scp and self._gets))
        return tuple(answered)

    def _is_storage(self, abstract_syntax: str) -> bool:
        return abstract_syntax in self._storable or self._receiving.unknown_sop_class_accepted


def _refused(proposed: ProposedContext, outcome: Outcome) -> AnsweredContext:
    """Its transfer syntax means nothing, but must be there (PS3.8 §9.3.3.2)."""
    known = {EXPLICIT, IMPLICIT}.intersection(proposed.transfer_syntaxes)
    return AnsweredContext(proposed.id, outcome, next(iter(known), IMPLICIT))
