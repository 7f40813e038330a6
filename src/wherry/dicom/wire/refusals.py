"""Why a request of a normalised service (DIMSE-N) is refused: errors with the statuses of PS3.7
Annex C.

Not here: the statuses of the composite services, which other errors bear; there the same numbers
mean other things.
"""

from __future__ import annotations

from wherry.errors import Refused


class NoSuchSopInstance(Refused):
    """The instance that the request is for does not exist."""

    dimse_status = 0x0112


class NoSuchEventType(Refused):
    """Events of this kind do not happen to instances of this class."""

    dimse_status = 0x0113


class InvalidArgument(Refused):
    """A value makes no sense, or not here."""

    dimse_status = 0x0115


class NoSuchSopClass(Refused):
    """The class that the request is for is another than that of the presentation context."""

    dimse_status = 0x0118


class NoSuchAction(Refused):
    """Instances of this class cannot do that."""

    dimse_status = 0x0123


class NotAuthorized(Refused):
    """Who asks may not."""

    dimse_status = 0x0124


class ResourceLimitation(Refused):
    """Too much at once."""

    dimse_status = 0x0213
