"""The walk through a data set that notes what must change: places in the source and new bytes.

What: every element is asked for in the table of its data set (``plan``); what stays is stepped
over. The outcome is a list of splices in ascending order; whatever lies between them is copied.
Lengths of the items and sequences around a change, and group lengths, follow where there are any.
Why not a tree that is written anew: bytes that nobody asked to change must stay as they are.
Not here: what is done to one element (``changes``), the file meta information (``filemeta``).

Recursion is never deeper than ``limits.DICOM_NESTING``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from wherry import limits
from wherry.dicom.charsets import CharacterSet
from wherry.dicom.dictionary import lookup
from wherry.dicom.editing import changes
from wherry.dicom.editing.places import (
    TEXTS,
    Found,
    Group,
    Place,
    Splice,
    Standing,
    read_header,
)
from wherry.dicom.editing.plan import Do, Plan
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.elements import (
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
    UnreadableError,
    type_data,
)
from wherry.errors import BadFileFormat

_NEVER: Final = 1 << 32


class Walk:
    """One data set. ``splices`` and ``growth`` are the outcome."""

    def __init__(
        self,
        data: type_data,
        plan: Plan,
        pseudonyms: Pseudonyms,
        *,
        uids: Mapping[str, str],
        target: CharacterSet | None,
    ) -> None:
        """``uids``: the identifiers of this file, and what becomes of them, wherever they stand.
        ``target``: what all texts are converted to; None = they stay."""
        self.splices: list[Splice] = []
        self.growth = 0
        """Bytes that the outcome is longer."""
        self.data = data
        self.plan = plan
        self.pseudonyms = pseudonyms
        self.uids = uids
        self.target = target
        self.nested = 0
        """Elements seen in what is not looked into."""
        self._own = frozenset(uid.encode("ascii", "replace") for uid in uids)
        self._enters_all = plan.searches or target is not None
        self.left = limits.DICOM_ELEMENTS
        """Elements that may still come."""

    def whole(self, position: int, encoding: Encoding, charset: CharacterSet) -> None:
        """The data set from ``position`` to the end of the data.

        Raises ``UnreadableError``, ``struct.error`` at the end of the data, ``BadFileFormat`` when
        a bound is passed, and what ``encoding.element`` raises.
        """
        root = Place(encoding, self.plan.root, charset, 0)
        self.data_set(position, len(self.data), root, until_end=True)

    def data_set(self, position: int, end: int, place: Place, *, until_end: bool) -> int:
        """Elements from ``position`` to ``end``, or to the delimiter of their item; the position
        behind it."""
        data, (encoding, node, _, _) = self.data, place
        header, short, delimiters = encoding.header.unpack_from, encoding.short, encoding.delimiters
        explicit, is_big = encoding.explicit, encoding.big_endian
        action_of, default, own = node.actions.get, self.plan.default, self._own
        enters_all, entered = self._enters_all, node.entered
        remove, uid = Do.REMOVE, encoding.vr_key("UI")
        plain = _plain_vrs(encoding, self.target is not None)
        standing = Standing(place)
        puts = standing.puts
        next_put = puts[-1] if puts else _NEVER
        start = position
        left = self.left
        while not until_end or position < end:
            left -= 1
            if left < 0:
                raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")
            start = position
            if explicit and (read := header(data, position))[1] in short:  # nearly all of them
                key, vr, length = read
                value = position + 8
            else:
                key, vr, value, length = read_header(data, position, encoding)
                if key in delimiters:
                    if key == encoding.item_end and not until_end:
                        position = value
                        break
                    raise UnreadableError("an item at a wrong place")
            position = value if length == UNDEFINED else value + length
            if position > end:
                raise UnreadableError("a value longer than what holds it")
            tag = key if is_big else (key & 0xFFFF) << 16 | key >> 16
            if next_put <= tag or standing.group is not None:
                next_put = self._arrive(tag, start, standing)
            action = action_of(tag)
            if action is None:
                element = tag & 0xFFFF
                if tag & 0x10000 or tag < 0x00080000 or 0x50000000 <= tag < 0x61000000:
                    action = default(tag)
                    element = element >> 8  # what reserves a private block is looked at
                if action is None and length != UNDEFINED and element:
                    if enters_all:
                        if vr in plain if explicit else _is_plain(tag, self.target is not None):
                            if length < 4 or not own:
                                continue
                            if length > limits.DICOM_UID_BYTES:
                                if not (vr == uid if explicit else lookup(tag).vr == "UI"):
                                    continue
                            elif (
                                raw := bytes(data[value:position]).rstrip(b" \0")
                            ) not in own and b"\\" not in raw:
                                continue
                    elif tag not in entered:
                        continue
            if action is remove and length != UNDEFINED:
                self.remove(start, position)
                continue
            self.left = left
            name = encoding.vr_names.get(vr, "UN") if vr else ""
            position = changes.change(
                self, Found(tag, name, start, value, length), action, standing, end
            )
            left = self.left
        else:
            start = position
        self.left = left
        self._arrive(_NEVER, start, standing)
        return position

    def splice(self, start: int, stop: int, new: bytes) -> None:
        """Bytes ``start`` to ``stop`` make room for ``new``."""
        self.splices.append(Splice(start, stop, new))
        self.growth += len(new) - (stop - start)

    def remove(self, start: int, stop: int) -> None:
        """Bytes ``start`` to ``stop`` go; with those that go before them they are one splice."""
        splices = self.splices
        self.growth -= stop - start
        if splices and (last := splices[-1]).stop == start and not last.new:
            splices[-1] = Splice(last.start, stop, b"")
        else:
            splices.append(Splice(start, stop, b""))

    def enters(self, tag: int, place: Place) -> bool:
        """Whether a sequence is to be looked into."""
        return self._enters_all or tag in place.node.entered

    def holds_own(self, raw: bytes) -> bool:
        """Whether an identifier of this file is among these values."""
        return any(one.strip(b" \0") in self._own for one in raw.split(b"\\"))

    def put_length(self, index: int, position: int, encoding: Encoding, growth: int) -> None:
        """The length at ``position`` grows, as splice number ``index``."""
        if growth:
            (length,) = encoding.length.unpack_from(self.data, position)
            new = encoding.length.pack(length + growth & 0xFFFFFFFF)
            self.splices.insert(index, Splice(position, position + 4, new))

    def pass_group_length(self, found: Found, standing: Standing) -> None:
        """What it says will have to follow."""
        if found.length == 4:
            standing.group = Group(found.tag >> 16, found.value, len(self.splices), self.growth)

    def _arrive(self, tag: int, start: int, standing: Standing) -> int:
        """Make what belongs before the element ``tag`` at ``start``, and end the group before it;
        the next tag that is to be made."""
        puts, group = standing.puts, standing.group
        if group is not None and tag >> 16 != group.number:
            while puts and puts[-1] >> 16 <= group.number:
                changes.make(self, puts.pop(), start, standing)
            encoding = standing.place.encoding
            self.put_length(group.at, group.value, encoding, self.growth - group.growth)
            standing.group = None
        while puts and puts[-1] < tag:
            changes.make(self, puts.pop(), start, standing)
        if puts and puts[-1] == tag:
            puts.pop()
        return puts[-1] if puts else _NEVER


@lru_cache(maxsize=16)
def _plain_vrs(encoding: Encoding, converts: bool) -> frozenset[int]:
    """Keys of VRs of which there is nothing to look at but whole values."""
    other = {"SQ", "UN", *(TEXTS if converts else ())}
    return frozenset(encoding.vr_key(vr) for vr in (*SHORT_VRS, *LONG_VRS) if vr not in other)


@lru_cache(maxsize=16_384)
def _is_plain(tag: int, converts: bool) -> bool:
    """... and tags, where the file does not tell VRs."""
    if tag >> 16 & 1:
        return False
    vr = lookup(tag).vr
    return vr not in ("SQ", "UN") and not (converts and vr in TEXTS)
