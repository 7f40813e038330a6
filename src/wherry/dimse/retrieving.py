"""What C-GET and C-MOVE share (PS3.4 §C.4.2, §C.4.3): which instances are meant, and the counts of
sub-operations that go with every answer.

Not here: the sending (``getting``, ``moving``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from wherry import limits
from wherry.dicom.attributes import Attribute, read, type_attributes
from wherry.dimse.identifier import QUERY_RETRIEVE_LEVEL, spelt
from wherry.dimse.question import LEVELS
from wherry.dimse.requests import Request
from wherry.errors import BadRequest
from wherry.index import search
from wherry.index.database import Transaction
from wherry.index.search_terms import Criteria
from wherry.modalities.asking.levels import UNIQUE_KEYS
from wherry.model import Level

WARNING: Final = 0xB000
"""Complete, but some could not be sent."""
NONE_SENT: Final = 0xA702
"""Unable to perform sub-operations."""
UNKNOWN_DESTINATION: Final = 0xA801

_FAILED_UIDS: Final = 0x00080058


def meant(request: Request, tx: Transaction) -> tuple[str, ...]:
    """Identifiers of the resources that a request names, sorted.

    The unique key of its level is needed, with one value or a list; those of levels above count
    when they are there. Raises ``BadFileFormat``, ``BadRequest``, ``ParameterOutOfRange``.
    """
    keys = read(request.data_set, request.context.transfer_syntax)
    level = LEVELS.get(_text(keys, QUERY_RETRIEVE_LEVEL).upper())
    if level is None:
        raise BadRequest("No QueryRetrieveLevel that there is")
    if not _text(keys, UNIQUE_KEYS[level]):
        raise BadRequest(f"What is to be retrieved at level {level.title} is not named")
    tags = []
    for at in Level:
        text = _text(keys, UNIQUE_KEYS[at]) if at <= level else ""
        if set(text) & set("*?"):
            raise BadRequest("A retrieval names what it wants, without wildcards")
        if text:
            tags.append((spelt(UNIQUE_KEYS[at]), text))
    return tuple(search.find(tx, Criteria(level, tuple(tags), case_sensitive=True)))


def _text(keys: type_attributes, tag: int) -> str:
    return keys.get(tag, Attribute("", "")).text.strip()


@dataclass
class Suboperations:
    """How far a retrieval is."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)
    """SOP instances, the first of them."""

    def fail(self, uid: str) -> None:
        """One of the remaining could not be sent."""
        self.remaining -= 1
        self.failed += 1
        if uid and len(self.failed_uids) < limits.FAILED_UIDS:
            self.failed_uids.append(uid)

    def done(self, *, with_warning: bool) -> None:
        """One of the remaining was sent."""
        self.remaining -= 1
        if with_warning:
            self.warning += 1
        else:
            self.completed += 1

    @property
    def status(self) -> int:
        """When nothing remains."""
        if not self.failed and not self.warning:
            return 0
        return WARNING if self.completed or self.warning else NONE_SENT

    def members(self, *, remaining: bool = False) -> dict[str, Any]:
        """Of an answer; ``remaining`` only in those that others follow, or that say that it was
        cancelled."""
        most = 0xFFFF  # numbers of commands have 16 bits
        counts = {
            "completed": min(self.completed, most),
            "failed": min(self.failed, most),
            "warning": min(self.warning, most),
        }
        return counts | {"remaining": min(self.remaining, most)} if remaining else counts

    def identifier(self) -> type_attributes | None:
        """The data set of a last answer: which instances failed (Failed SOP Instance UID List)."""
        if not self.failed_uids:
            return None
        return {_FAILED_UIDS: Attribute("UI", "\\".join(self.failed_uids))}
