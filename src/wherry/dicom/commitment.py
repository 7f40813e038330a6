"""What is said of storage commitment: the request and the report as data sets (PS3.4 Annex J).

A request names instances; the report names each of them again, as committed or with the reason why
it is not (§J.3.3.1.2).

Not here: who may ask, whether the instances are there (``modalities``), the commands around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from wherry import limits
from wherry.dicom.attributes import Attribute, read, type_attributes
from wherry.dicom.wire.refusals import InvalidArgument
from wherry.errors import BadFileFormat

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The one instance of it, which all requests are for."""
REQUEST_ACTION: Final = 1
"""Action type: commit these (§J.3.2)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event types of reports (§J.3.3)."""

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119

_DESCRIPTIONS: Final = {
    PROCESSING_FAILURE: "A general failure in processing the operation was encountered",
    NO_SUCH_INSTANCE: "One or more of the elements in the Referenced SOP Instance Sequence was"
    " not available",
    CLASS_CONFLICT: "The SOP Class of an element in the Referenced SOP Instance Sequence did not"
    " correspond to the SOP class registered for this SOP Instance at the SCP",
    0x0122: "Storage Commitment has been requested for a SOP Instance with a SOP Class that is not"
    " supported by the SCP",
    0x0131: "The Transaction UID of the Storage Commitment Request is already in use",
    0x0213: "The SCP does not currently have enough resources to store the requested SOP"
    " Instance(s)",
}
"""Reasons for failure, in the words of PS3.3 §C.14.1.1."""

_TRANSACTION: Final = 0x00081195
_REFERENCED: Final = 0x00081199
_FAILED: Final = 0x00081198
_REASON: Final = 0x00081197
_CLASS: Final = 0x00081150
_INSTANCE: Final = 0x00081155

_UID_CHARACTERS: Final = 64
_NEVER: Final = frozenset(" \\")
"""Some leave spaces out; backslashes separate values."""

T = TypeVar("T")


class Reference(NamedTuple):
    """An instance, as both ends name it."""

    sop_class: str
    sop_instance: str


class Failure(NamedTuple):
    """An instance that is not committed."""

    reference: Reference
    reason: int
    """FailureReason (0008,1197)."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """Commit these."""

    transaction: str
    """TransactionUID, by which the report will be known."""
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What became of a request."""

    transaction: str
    committed: tuple[Reference, ...]
    failed: tuple[Failure, ...]


def describe(reason: int) -> str:
    """Why, for people."""
    return _DESCRIPTIONS.get(reason, f"Unknown reason: 0x{reason:04x}")


def is_uid(text: str) -> bool:
    """Whether a text can be sent as one UID; bad ones that others made are among them."""
    return (
        0 < len(text) <= _UID_CHARACTERS
        and text.isascii()
        and text.isprintable()
        and not _NEVER.intersection(text)
    )


def write_request(request: CommitmentRequest) -> type_attributes:
    """The data set of an N-ACTION (table J.3-1)."""
    return {
        _TRANSACTION: Attribute("UI", request.transaction),
        _REFERENCED: Attribute("SQ", tuple(map(_item, request.references))),
    }


def write_report(report: CommitmentReport) -> type_attributes:
    """The data set of an N-EVENT-REPORT (table J.3-2)."""
    found = {_TRANSACTION: Attribute("UI", report.transaction)}
    if report.committed or not report.failed:
        found[_REFERENCED] = Attribute("SQ", tuple(map(_item, report.committed)))
    if report.failed:
        items = (
            {**_item(one.reference), _REASON: Attribute("US", str(one.reason))}
            for one in report.failed
        )
        found[_FAILED] = Attribute("SQ", tuple(items))
    return found


def read_request(data: bytes, syntax: str) -> CommitmentRequest:
    """Raises ``InvalidArgument``."""
    found = _read(data, syntax)
    if _REFERENCED not in found:
        raise InvalidArgument("No ReferencedSOPSequence")
    return CommitmentRequest(_transaction(found), _items(found, _REFERENCED, _reference))


def read_report(data: bytes, syntax: str) -> CommitmentReport:
    """Raises ``InvalidArgument``."""
    found = _read(data, syntax)
    return CommitmentReport(
        _transaction(found),
        _items(found, _REFERENCED, _reference),
        _items(found, _FAILED, _failure),
    )


def _item(reference: Reference) -> dict[int, Attribute]:
    return {
        _CLASS: Attribute("UI", reference.sop_class),
        _INSTANCE: Attribute("UI", reference.sop_instance),
    }


def _read(data: bytes, syntax: str) -> type_attributes:
    try:
        return read(data, syntax)
    except BadFileFormat as error:
        raise InvalidArgument(error.details) from None


def _transaction(found: type_attributes) -> str:
    return _uid(found, _TRANSACTION, "TransactionUID")


def _items(found: type_attributes, tag: int, make: Callable[[type_attributes], T]) -> tuple[T, ...]:
    """What a sequence holds; nothing when it is not there."""
    if (attribute := found.get(tag)) is None:
        return ()
    items = attribute.value
    if not isinstance(items, tuple):
        raise InvalidArgument("A sequence of instances is none")
    check_count(items)
    return tuple(map(make, items))


def check_count(references: Sequence[object]) -> None:
    """Raises ``InvalidArgument`` when one transaction cannot be about so many."""
    if len(references) > limits.COMMITMENT_INSTANCES:
        raise InvalidArgument(f"More than {limits.COMMITMENT_INSTANCES} instances")


def _reference(item: type_attributes) -> Reference:
    return Reference(
        _uid(item, _CLASS, "ReferencedSOPClassUID"),
        _uid(item, _INSTANCE, "ReferencedSOPInstanceUID"),
    )


def _failure(item: type_attributes) -> Failure:
    """A reason that is missing or no number is no better than a failure without one."""
    attribute = item.get(_REASON)
    text = "" if attribute is None else attribute.text
    return Failure(_reference(item), int(text) if text.isdecimal() else PROCESSING_FAILURE)


def _uid(found: type_attributes, tag: int, name: str) -> str:
    text = found[tag].text.strip() if tag in found else ""
    if not is_uid(text):
        raise InvalidArgument(f"{name} is missing, or no UID")
    return text
