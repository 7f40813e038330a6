"""What is done to one element of a data set, as splices.

What: each ``plan`` action as bytes; the way into sequences. Not here: which elements are looked at
(``walking``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from wherry import limits
from wherry.dicom.charsets import ESCAPE, CharacterSet, character_set
from wherry.dicom.dictionary import lookup
from wherry.dicom.editing.encoding import (
    CHARACTER_SET,
    UnwritableError,
    Writing,
    element,
    vr_of,
    whole,
)
from wherry.dicom.editing.places import TEXTS, Found, Place, Standing, skip_value
from wherry.dicom.editing.plan import Do, Put, type_action
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    UNDEFINED,
    Encoding,
    UnreadableError,
)
from wherry.dicom.preamble import other_encoding
from wherry.errors import BadFileFormat

if TYPE_CHECKING:
    from wherry.dicom.editing.walking import Walk

_ITEMS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""How a sequence begins, in little and in big endian."""
_CREATOR_BYTES: Final = 64


def change(
    walk: Walk, found: Found, action: type_action | None, standing: Standing, end: int
) -> int:
    """Do ``action`` to the element ``found``, and what must be done anyhow; the offset behind it.

    Raises ``UnreadableError``, ``BadFileFormat`` and what ``encoding.element`` raises.
    """
    tag, place = found.tag, standing.place
    if tag in standing.done:
        action = Do.REMOVE
    elif isinstance(action, Put) and action.only_if_absent:
        standing.done.add(tag)
        action = Do.KEEP
    if action is None or action is Do.KEEP:
        return _stay(walk, found, action, standing, end)
    standing.done.add(tag)
    stop = _stop(walk, found, place.encoding)
    if action is Do.REMOVE:
        walk.remove(found.start, stop)
    elif action is Do.EMPTY:
        _empty(walk, found, stop, place.encoding)
    elif isinstance(action, Put):
        _put(walk, found, stop, action, standing)
    elif found.length > limits.DICOM_VALUE_BYTES:  # no identifier
        walk.remove(found.start, stop)
    else:
        raw = bytes(walk.data[found.value : stop])
        if action is Do.UID:
            new = _mapped(walk, raw)
            walk.splice(found.start, stop, whole(tag, "UI", new, place.encoding))
        else:
            walk.splice(found.start, stop, _patient_id(walk, raw, place))
    return stop


def make(walk: Walk, tag: int, position: int, standing: Standing) -> None:
    """Make the element ``tag`` at ``position``. Raises what ``encoding.element`` raises."""
    if tag in standing.done:
        return
    standing.done.add(tag)
    place = standing.place
    action = place.node.actions[tag]
    if isinstance(action, Put):
        new = element(tag, action.value, _writing(walk, tag, action, standing))
    else:
        new = _patient_id(walk, b"", place)
    walk.splice(position, position, new)


# --- what stays ----------------------------------------------------------------------------------
def _stay(
    walk: Walk, found: Found, action: type_action | None, standing: Standing, end: int
) -> int:
    """An element without an action of its own: sequences are entered, texts converted."""
    tag, place = found.tag, standing.place
    if not tag & 0xFFFF:
        walk.pass_group_length(found, standing)
    elif tag >> 16 & 1 and not tag & 0xFF00 and found.length <= _CREATOR_BYTES:
        raw = bytes(walk.data[found.value : found.stop])
        standing.creators[tag] = place.charset.decode(raw).strip("\0 ")
    elif tag == CHARACTER_SET and found.length <= limits.DICOM_VALUE_BYTES:
        charset = character_set(bytes(walk.data[found.value : found.stop]))
        standing.place = place._replace(charset=charset)
        if walk.target is not None and place.depth:
            walk.remove(found.start, found.stop)  # that of the file holds for it too
            return found.stop
    if walk.enters(tag, place):
        inner = _inner(found, place.encoding)
        if inner is not None:
            return _sequence(walk, found, inner, standing.place, end)
        if _is_hidden(walk, found):
            return _hidden(walk, found, standing.place)
    if found.length == UNDEFINED:
        return _stop(walk, found, place.encoding)
    if walk.plan.anonymizes and action is None and found.length <= limits.DICOM_VALUE_BYTES:
        raw = bytes(walk.data[found.value : found.stop])
        if walk.holds_own(raw):
            new = _mapped(walk, raw, only_own=True)
            walk.splice(found.start, found.stop, _same_kind(found, new, place.encoding))
            return found.stop
    if walk.target is not None:
        _convert(walk, found, standing.place, walk.target)
    return found.stop


def _same_kind(found: Found, new: bytes, encoding: Encoding) -> bytes:
    return whole(found.tag, found.vr or lookup(found.tag).vr, new, encoding)


def _convert(walk: Walk, found: Found, place: Place, target: CharacterSet) -> None:
    """A text to another character set. Raises ``UnwritableError``."""
    vr = found.vr or lookup(found.tag).vr
    if vr not in TEXTS:
        return
    raw = bytes(walk.data[found.value : found.stop])
    if raw.isascii() and ESCAPE not in raw:
        return
    new = target.write(place.charset.decode(raw, vr == "PN"))
    if new is None:
        raise UnwritableError
    walk.splice(found.start, found.stop, whole(found.tag, vr, new, place.encoding))


# --- sequences -----------------------------------------------------------------------------------
def _inner(found: Found, encoding: Encoding) -> Encoding | None:
    """How the items of a sequence are written; None when the element is none."""
    if found.vr == "SQ":
        return encoding
    if found.tag == PIXEL_DATA:
        return None
    known = found.vr == "" and not found.tag >> 16 & 1 and lookup(found.tag).vr == "SQ"
    if known or (found.length == UNDEFINED and found.vr in ("", "UN")):
        # Where it is not told in an explicit data set, its content is implicit (PS3.5 §6.2.2).
        return other_encoding(encoding) if encoding.explicit else encoding
    return None


def _is_hidden(walk: Walk, found: Found) -> bool:
    """Whether a value that should be plain begins as a sequence does, or should be one."""
    if found.vr not in ("", "UN") or found.length in (0, UNDEFINED) or found.tag == PIXEL_DATA:
        return False
    begin = bytes(walk.data[found.value : found.value + 4])
    return begin in _ITEMS or (not found.tag >> 16 & 1 and lookup(found.tag).vr == "SQ")


def _hidden(walk: Walk, found: Found, place: Place) -> int:
    """A sequence whose VR is lost: mostly implicit little endian (PS3.5 §6.2.2). What nobody can
    read goes when the file is anonymized."""
    mark, growth = len(walk.splices), walk.growth
    is_big = bytes(walk.data[found.value : found.value + 4]) == _ITEMS[1]
    for inner in (IMPLICIT_BIG, EXPLICIT_BIG) if is_big else (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
        try:
            return _sequence(walk, found, inner, place, found.stop)
        except (UnreadableError, struct.error):
            del walk.splices[mark:]
            walk.growth = growth  # what was read is not given back: it may be tried again inside
    if walk.plan.anonymizes:
        walk.remove(found.start, found.stop)
    return found.stop


def _sequence(walk: Walk, found: Found, inner: Encoding, place: Place, end: int) -> int:
    if place.depth >= limits.DICOM_NESTING:
        raise BadFileFormat(f"sequences nested more than {limits.DICOM_NESTING} deep")
    data, position = walk.data, found.value
    undefined = found.length == UNDEFINED
    stop = end if undefined else found.stop
    mark, growth = len(walk.splices), walk.growth
    item_header = inner.item_header.unpack_from
    node, charset, depth = place.node, place.charset, place.depth + 1
    number = 0
    while undefined or position < stop:
        key, size = item_header(data, position)
        position += 8
        if key == inner.sequence_end:
            if undefined:
                break
            continue
        if key != inner.item:
            raise UnreadableError("a sequence with something else than items in it")
        until_end = size != UNDEFINED
        item_end = position + size if until_end else stop
        if item_end > stop:
            raise UnreadableError("an item longer than its sequence")
        item = Place(inner, node.item(found.tag, number), charset, depth)
        item_mark, item_growth, length_at = len(walk.splices), walk.growth, position - 4
        position = walk.data_set(position, item_end, item, until_end=until_end)
        if until_end:
            walk.put_length(item_mark, length_at, inner, walk.growth - item_growth)
        number += 1
    if not undefined:
        walk.put_length(mark, found.value - 4, place.encoding, walk.growth - growth)
    return position


# --- single actions ------------------------------------------------------------------------------
def _stop(walk: Walk, found: Found, encoding: Encoding) -> int:
    if found.length != UNDEFINED:
        return found.stop
    vr = encoding.vr_key(found.vr) if found.vr else 0
    stop, walk.nested = skip_value(walk.data, found.value, encoding, vr, walk.nested)
    return stop


def _empty(walk: Walk, found: Found, stop: int, encoding: Encoding) -> None:
    if found.length:
        size = found.value - found.start  # that of the length is 2 bytes in the short form alone
        width = 2 if size == 8 and encoding.explicit and found.vr else 4
        walk.splice(found.value - width, stop, bytes(width))


def _put(walk: Walk, found: Found, stop: int, put: Put, standing: Standing) -> None:
    writing = _writing(walk, found.tag, put, standing)
    vr = vr_of(found.tag, writing.creator)
    told = found.vr
    if (vr == "UN" and told not in ("", "SQ")) or (vr == "US or SS" and told in ("US", "SS")):
        vr = told
    walk.splice(found.start, stop, element(found.tag, put.value, writing, vr))


def _writing(walk: Walk, tag: int, put: Put, standing: Standing) -> Writing:
    place = standing.place
    creator = standing.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, "") or put.creator
    return Writing(place.encoding, walk.target or place.charset, creator)


def _mapped(walk: Walk, raw: bytes, *, only_own: bool = False) -> bytes:
    """The new UIDs of these."""
    old = [one.strip(" \0") for one in raw.decode("latin-1").split("\\")]
    uid = walk.pseudonyms.uid
    new = [walk.uids.get(one) or (one if only_own or not one else uid(one)) for one in old]
    return "\\".join(new).encode("latin-1", "replace")


def _patient_id(walk: Walk, raw: bytes, place: Place) -> bytes:
    old = place.charset.decode(raw).strip("\0 ")
    new = walk.pseudonyms.patient_id(old).encode("ascii")
    return whole(0x00100020, "LO", new, place.encoding)
