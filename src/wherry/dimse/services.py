"""Which services there are: SOP class → what is done with each kind of request for it.

C-STORE is not among them: its data set is streamed (``storing``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wherry.dicom.commitment import PUSH_MODEL
from wherry.dicom.wire.commands import CommandField
from wherry.dimse import commitment, finding, worklists
from wherry.dimse.getting import GET_CLASSES, get
from wherry.dimse.moving import MOVE_CLASSES, move
from wherry.dimse.permissions import Permission
from wherry.dimse.requests import SUCCESS, Request

if TYPE_CHECKING:
    from wherry.config import Config

type_service = Callable[[Request], Awaitable[None]]

VERIFICATION: Final = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class Service:
    """One SOP class."""

    requests: Mapping[CommandField, tuple[Permission, type_service]]
    """What may be asked, and who may ask it."""
    takes_instances: bool = False
    """Whether the caller may offer to be the SCP of storage in the same association (C-GET)."""
    is_offered: Callable[[Config], bool] = lambda _: True
    """Whether this server has it at all."""
    both_roles: bool = False
    """Whether the caller may be the SCP as well (it reports what became of a commitment)."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """Each of them lets a caller in."""
        return frozenset(permission for permission, _ in self.requests.values())


async def echo(request: Request) -> None:
    """C-ECHO (PS3.4 Annex A)."""
    await request.respond(SUCCESS)


SERVICES: Final[Mapping[str, Service]] = {
    VERIFICATION: Service({CommandField.C_ECHO_RQ: (Permission.ECHO, echo)}),
    **dict.fromkeys(MOVE_CLASSES, Service({CommandField.C_MOVE_RQ: (Permission.MOVE, move)})),
    **dict.fromkeys(
        GET_CLASSES,
        Service({CommandField.C_GET_RQ: (Permission.GET, get)}, takes_instances=True),
    ),
    PUSH_MODEL: Service(
        {
            CommandField.N_ACTION_RQ: (Permission.N_ACTION, commitment.action),
            CommandField.N_EVENT_REPORT_RQ: (Permission.EVENT_REPORT, commitment.event),
        },
        both_roles=True,
    ),
    **{
        sop_class: Service({CommandField.C_FIND_RQ: (Permission.FIND, finding.find)})
        for sop_class in finding.SOP_CLASSES
    },
    worklists.WORKLIST_CLASS: Service(
        {CommandField.C_FIND_RQ: (Permission.FIND_WORKLIST, worklists.find_worklist)},
        is_offered=lambda config: config.worklists.enable,
    ),
}
