"""The editor: a DICOM file, and the same file as a request wants it.

What: the outcome is pieces of the source and new bytes between them, in the encoding of the source:
explicit or implicit, either byte order, deflated (which is inflated and deflated again). Values,
lengths and order of what nobody edits stay bit for bit. Why not pydicom: it reads all of a file and
writes it as it understood it. Not here: transcoding, files, jobs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from isal import isal_zlib

from wherry import limits
from wherry.dicom.charsets import CharacterSet, assumed, character_set
from wherry.dicom.editing import filemeta
from wherry.dicom.editing.encoding import CHARACTER_SET, UnwritableError
from wherry.dicom.editing.paths import Path
from wherry.dicom.editing.places import Splice, read_header, skip_value
from wherry.dicom.editing.plan import Do, Plan, Put
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import SERIES_UID, SOP_UID, STUDY_UID, Rules
from wherry.dicom.editing.walking import Walk
from wherry.dicom.elements import UNDEFINED, Encoding, UnreadableError, type_data
from wherry.dicom.inflate import inflate
from wherry.dicom.meta import meta_information
from wherry.dicom.preamble import DEFLATED, looks_explicit, other_encoding, read_preamble
from wherry.errors import BadFileFormat, ParameterOutOfRange, TooLarge

_SOP_CLASS: Final = 0x00080016
_FRAME_OF_REFERENCE: Final = 0x00200052
_OWN: Final = (SOP_UID, STUDY_UID, SERIES_UID, _FRAME_OF_REFERENCE)
_READ: Final = frozenset((CHARACTER_SET, _SOP_CLASS, *_OWN))
_NAMED: Final = {_SOP_CLASS: filemeta.CLASS_UID, SOP_UID: filemeta.INSTANCE_UID}
_UTF8: Final = "ISO_IR 192"
_PIECE_BYTES: Final = limits.MIB

type_part = bytes | tuple[int, int]
"""New bytes, or a range of the source."""
type_read_range = Callable[[int, int], Iterator[bytes]]
"""The bytes of the source from one offset until before another."""


@dataclass
class Edited:
    """An edited file. It reads the source, which must stay as it is meanwhile."""

    size: int
    sop_class_uid: str
    sop_instance_uid: str
    """Of the outcome."""
    syntax: str
    """Its transfer syntax: that of the source."""
    _source: type_data = field(repr=False)
    _parts: list[type_part] = field(repr=False)

    def pieces(self, read: type_read_range | None = None) -> Iterator[bytes | memoryview]:
        """The file, in pieces of at most 1 MiB or one value. ``read``: a better way to long ranges
        of the source than by its buffer, which may have to fetch each page of them by itself."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            start, stop = part
            if read is not None and stop - start > _PIECE_BYTES // 8:
                yield from read(start, stop)
                continue
            while start < stop:
                piece = self._source[start : min(start + _PIECE_BYTES, stop)]
                start += len(piece)
                yield piece if isinstance(piece, memoryview) else bytes(piece)


class Editor:
    """Edits one instance after the other by the same rules."""

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms, version: str) -> None:
        """``version``: of this program, which anonymized files name."""
        self._rules = rules
        self._pseudonyms = pseudonyms
        self._version = version
        self._plan = Plan(rules, pseudonyms, version)
        self._in_utf8: Plan | None = None

    def edit(self, data: type_data) -> Edited:
        """The file ``data`` as the rules want it.

        Raises ``BadFileFormat`` (not a DICOM file, a bound of ``limits``), ``TooLarge`` (deflated,
        and too long for the memory), ``ParameterOutOfRange`` (text that the wanted character set
        does not know).
        """
        try:
            try:
                return self._edited(data, self._plan)
            except UnwritableError:
                if self._plan.character_set is None:
                    return self._edited(data, self._plan_in_utf8())
            raise ParameterOutOfRange("SpecificCharacterSet does not know all of the text")
        except UnreadableError as error:
            raise BadFileFormat(f"Cannot parse an invalid DICOM file: {error}") from None
        except struct.error:
            raise BadFileFormat("Cannot parse an invalid DICOM file: it is cut off") from None

    def _plan_in_utf8(self) -> Plan:
        """For files whose character set does not know a text that is put into them."""
        if self._in_utf8 is None:
            charset = (Path((), CHARACTER_SET), _UTF8)
            rules = replace(self._rules, replace=(*self._rules.replace, charset))
            self._in_utf8 = Plan(rules, self._pseudonyms, self._version)
        return self._in_utf8

    def _edited(self, data: type_data, plan: Plan) -> Edited:
        syntax, meta_class, encoding, begin = read_preamble(data)
        deflated = syntax == DEFLATED
        body: type_data = _inflated(data, begin) if deflated else data
        position = 0 if deflated else begin
        if looks_explicit(body, position) is not encoding.explicit and position < len(body):
            encoding = other_encoding(encoding)
        values = _values(body, position, encoding)
        source = _charset(values.get(CHARACTER_SET))
        uids = {tag: _uid(values.get(tag, b"")) for tag in (_SOP_CLASS, *_OWN)}
        new = {tag: self._new_uid(plan, tag, old) for tag, old in uids.items()}
        walk = Walk(
            body,
            plan,
            self._pseudonyms,
            uids={uids[tag]: new[tag] for tag in _OWN if uids[tag] and new[tag] != uids[tag]},
            target=_target(plan, source),
        )
        walk.whole(position, encoding, source)
        sop_class, sop_instance = new[_SOP_CLASS] or meta_class, new[SOP_UID]
        if begin:
            named = {
                element: new[tag]
                for tag, element in _NAMED.items()
                if new[tag] and (new[tag] != uids[tag] or plan.anonymizes)
            }
            edits = filemeta.splices(data, begin, named, anonymize=plan.anonymizes)
            parts = _ranges(edits, 0, begin)
        else:
            parts = [meta_information(sop_class, sop_instance, syntax, "")]
        if deflated:
            parts += _deflated(bytes(body), walk.splices)
        else:
            parts += _ranges(walk.splices, begin, len(data))
        return Edited(
            sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts),
            sop_class,
            sop_instance,
            syntax,
            data,
            parts,
        )

    def _new_uid(self, plan: Plan, tag: int, old: str) -> str:
        """What becomes of a UID of the data set."""
        action = plan.root.actions.get(tag)
        if isinstance(action, Put):
            return str(action.value or "").rstrip(" \0")
        if action is Do.UID and old:
            return self._pseudonyms.uid(old)
        return "" if action in (Do.REMOVE, Do.EMPTY) else old


def _values(data: type_data, position: int, encoding: Encoding) -> dict[int, bytes]:
    """The elements that are needed before the walk."""
    found: dict[int, bytes] = {}
    used = 0
    for _ in range(limits.DICOM_ELEMENTS):
        if position >= len(data):
            break
        key, vr, value, length = read_header(data, position, encoding)
        tag = encoding.tag_of(key)
        if tag >> 16 > _FRAME_OF_REFERENCE >> 16:
            break
        if tag in _READ and tag not in found and length <= limits.DICOM_VALUE_BYTES:
            found[tag] = bytes(data[value : value + length])
        if length == UNDEFINED:
            position, used = skip_value(data, value, encoding, vr, used)
        else:
            position = value + length
    return found


def _charset(raw: bytes | None) -> CharacterSet:
    return assumed() if raw is None else character_set(raw)


def _target(plan: Plan, source: CharacterSet) -> CharacterSet | None:
    """What texts must be converted to."""
    wanted = plan.character_set
    if wanted is None:
        return None
    target = character_set(wanted.encode("latin-1", "replace"))
    return None if target == source else target


def _uid(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def _ranges(splices: Iterable[Splice], start: int, stop: int) -> list[type_part]:
    """The parts of the source from ``start`` to ``stop`` with these splices."""
    parts: list[type_part] = []
    for first, end, new in splices:
        if start < first:
            parts.append((start, first))
        if new:
            parts.append(new)
        start = end
    if start < stop:
        parts.append((start, stop))
    return parts


def _inflated(data: type_data, position: int) -> bytes:
    whole = bytearray()
    for piece in inflate(data, position):
        whole += piece
        if len(whole) > limits.EDIT_INFLATED_BYTES:
            raise TooLarge("A deflated data set that is too long to be edited")
    return bytes(whole)


def _deflated(body: bytes, splices: Iterable[Splice]) -> list[type_part]:
    """The edited data set in a raw DEFLATE stream (PS3.5 §A.5)."""
    packer = isal_zlib.compressobj(wbits=-15)
    parts: list[type_part] = []
    for part in _ranges(splices, 0, len(body)):
        parts.append(packer.compress(part if isinstance(part, bytes) else body[slice(*part)]))
    parts.append(packer.flush())
    if sum(map(len, parts)) & 1:
        parts.append(b"\0")
    return [part for part in parts if part]
