"""The command of a DIMSE message: group 0000, little endian without VR (PS3.7 §6.3, Annex E).

Not here: what a status means, and which services there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Final, Literal

from wherry import limits
from wherry.errors import NetworkProtocol

NO_DATA_SET: Final = 0x0101
"""Value of CommandDataSetType that says that no data set follows (E.1)."""

_ELEMENT: Final = struct.Struct("<HHI")
_GROUP_LENGTH: Final = 0x0000
_DATA_SET_TYPE: Final = 0x0800
_FIELD: Final = 0x0100


class BadCommand(NetworkProtocol):
    """The command of a message cannot be read."""


class CommandField(IntEnum):
    """What is asked or answered (E.1); 0x8000 is in every answer."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    C_CANCEL_RQ = 0x0FFF
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150


@dataclass(frozen=True, slots=True)
class Command:
    """One command; members that are None are not in it. Named as in PS3.6, without "ID" spelt
    out."""

    field: CommandField
    has_data_set: bool = False
    affected_sop_class: str | None = None
    requested_sop_class: str | None = None
    message_id: int | None = None
    responded_to: int | None = None
    """MessageIDBeingRespondedTo."""
    move_destination: str | None = None
    priority: int | None = None
    """0 medium, 1 high, 2 low."""
    status: int | None = None
    offending_elements: tuple[int, ...] | None = None
    """Tags, group × 65,536 + element."""
    error_comment: str | None = None
    error_id: int | None = None
    affected_sop_instance: str | None = None
    requested_sop_instance: str | None = None
    event_type: int | None = None
    attributes: tuple[int, ...] | None = None
    """AttributeIdentifierList: tags."""
    action_type: int | None = None
    remaining: int | None = None
    """NumberOfRemainingSuboperations; so the next three."""
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    originator: str | None = None
    """MoveOriginatorApplicationEntityTitle."""
    originator_message_id: int | None = None


type_vr = Literal["UI", "AE", "LO", "US", "AT"]

_MEMBERS: Final[dict[int, tuple[str, type_vr]]] = {
    0x0002: ("affected_sop_class", "UI"),
    0x0003: ("requested_sop_class", "UI"),
    0x0110: ("message_id", "US"),
    0x0120: ("responded_to", "US"),
    0x0600: ("move_destination", "AE"),
    0x0700: ("priority", "US"),
    0x0900: ("status", "US"),
    0x0901: ("offending_elements", "AT"),
    0x0902: ("error_comment", "LO"),
    0x0903: ("error_id", "US"),
    0x1000: ("affected_sop_instance", "UI"),
    0x1001: ("requested_sop_instance", "UI"),
    0x1002: ("event_type", "US"),
    0x1005: ("attributes", "AT"),
    0x1008: ("action_type", "US"),
    0x1020: ("remaining", "US"),
    0x1021: ("completed", "US"),
    0x1022: ("failed", "US"),
    0x1023: ("warning", "US"),
    0x1030: ("originator", "AE"),
    0x1031: ("originator_message_id", "US"),
}
"""Element of group 0000 → member and VR; in the order in which they are written."""

assert {name for name, _ in _MEMBERS.values()} == {
    one.name for one in fields(Command) if one.name not in ("field", "has_data_set")
}


def decode(data: bytes | bytearray | memoryview) -> Command:
    """A whole command. Elements that nobody knows are passed over. Raises ``BadCommand``."""
    found: dict[str, object] = {}
    kind = data_set = None
    for element, value in _elements(memoryview(data)):
        if element == _FIELD:
            kind = _number(value)
        elif element == _DATA_SET_TYPE:
            data_set = _number(value)
        elif (member := _MEMBERS.get(element)) is not None and value:
            name, vr = member
            found[name] = _value(vr, value)
    if kind is None or data_set is None:
        raise BadCommand("A command has no CommandField or no CommandDataSetType")
    try:
        field = CommandField(kind)
    except ValueError:
        raise BadCommand(f"There is no command 0x{kind:04x}") from None
    return Command(field, data_set != NO_DATA_SET, **found)  # type: ignore[arg-type]


def encode(command: Command) -> bytes:
    """The whole command with its group length."""
    parts = {
        _FIELD: command.field.to_bytes(2, "little"),
        _DATA_SET_TYPE: (0 if command.has_data_set else NO_DATA_SET).to_bytes(2, "little"),
    }
    for element, (name, vr) in _MEMBERS.items():
        value = getattr(command, name)
        if value is not None:
            parts[element] = _bytes_of(vr, value)
    body = b"".join(
        _ELEMENT.pack(0, element, len(value)) + value for element, value in sorted(parts.items())
    )
    return _ELEMENT.pack(0, _GROUP_LENGTH, 4) + len(body).to_bytes(4, "little") + body


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Elements in ascending order, as a data set has them (PS3.5 §7.1). Those of other groups
    are passed over: some put them behind (Orthanc: (0008,0058) when a C-GET has failed)."""
    if len(data) > limits.COMMAND_BYTES:
        raise BadCommand(f"A command has {len(data)} bytes")
    at, before = 0, (0, -1)
    while at < len(data):
        if at + _ELEMENT.size > len(data):
            raise BadCommand("A command ends within an element")
        group, element, size = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if (group, element) <= before:
            raise BadCommand(f"The element ({group:04x},{element:04x}) is not where it could be")
        if size > len(data) - at:
            raise BadCommand(f"The element ({group:04x},{element:04x}) is longer than the command")
        if not group:
            yield element, data[at : at + size]
        at += size
        before = group, element


def _value(vr: type_vr, value: memoryview) -> object:
    if vr == "US":
        return _number(value)
    if vr == "AT":
        if len(value) % 4:
            raise BadCommand("A list of tags ends within one")
        pairs = struct.iter_unpack("<HH", value)
        return tuple(group << 16 | element for group, element in pairs)
    text = bytes(value).decode("ascii", "replace")
    return text.rstrip("\0 ") if vr == "UI" else text.strip("\0 ")


def _number(value: memoryview) -> int:
    if len(value) != 2:
        raise BadCommand(f"A number of a command has {len(value)} bytes instead of 2")
    return int.from_bytes(value, "little")


def _bytes_of(vr: type_vr, value: object) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(2, "little")
    if isinstance(value, tuple):
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    data = str(value).encode("ascii", "replace")
    return data + (b"\0" if vr == "UI" else b" ") * (len(data) % 2)
