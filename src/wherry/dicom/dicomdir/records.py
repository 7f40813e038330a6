"""The directory records of one stored file, as bytes (PS3.3 §F.5).

What: records of the four levels from their type (0004,1430) on, with the values and the character
set of the file. Nothing is decoded that need not be, so no character is lost.
Not here: how records refer to each other, and the elements that do (``directory``).
"""

from __future__ import annotations

from typing import Final

from wherry import limits
from wherry.dicom.charsets import TERMS, assumed, character_set, default
from wherry.dicom.dicomdir import keys, values
from wherry.dicom.dicomdir.writing import element
from wherry.dicom.elements import UnreadableError, type_data
from wherry.dicom.json import readable
from wherry.dicom.preamble import read_preamble
from wherry.dicom.tree import Selection, Tree
from wherry.errors import BadFileFormat, InexistentTag

_CHARACTER_SET: Final = 0x00080005
_PATIENT_ID: Final = 0x00100020
_SOP_CLASS, _SOP, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_UIDS: Final = {
    _SOP_CLASS: "SOPClassUID",
    _SOP: "SOPInstanceUID",
    _STUDY: "StudyInstanceUID",
    _SERIES: "SeriesInstanceUID",
}
_RECORD_TYPE, _FILE_ID = 0x00041430, 0x00041500
_CLASS_IN_FILE, _SOP_IN_FILE, _SYNTAX_IN_FILE = 0x00041510, 0x00041511, 0x00041512

_NEEDED: Final = frozenset((_SOP, _STUDY, _SERIES))
_WANTED: Final = frozenset(
    (
        *(_CHARACTER_SET, _PATIENT_ID, *_UIDS),
        *(key.tag for key in (*keys.PATIENT, *keys.STUDY, *keys.SERIES, *keys.LEAF[keys.IMAGE])),
        *(keys.STUDY_DATE.tag, keys.STUDY_TIME.tag, keys.SERIES_DESCRIPTION.tag),
        *(tag for two in keys.OTHER_DATES for tag in two),
    )
)
_WANTED_OF_LEAF: Final = {
    kind: frozenset((keys.OBSERVERS, *(key.tag for key in wanted)))
    for kind, wanted in keys.LEAF.items()
}


class Instance:
    """What the directory says of one file."""

    patient: tuple[str, bytes]
    """What tells patients apart: the Patient ID, or the name of one who has none."""
    study: bytes
    series: bytes

    def __init__(self, header: type_data) -> None:
        """Read ``header``, a stored file or its part before the pixel data.

        Raises ``BadFileFormat`` (not DICOM; a UID or Patient ID that is too long or no text),
        ``InexistentTag`` (a UID is missing).
        """
        self._header = header
        with readable(header):
            self._tree: Tree = Selection(header, _WANTED)
            if not self._tree.root.keys() >= _NEEDED:  # elements that do not ascend
                self._tree = Tree(header)
        if len(self._tree.syntax) > limits.DICOM_UID_BYTES:
            raise BadFileFormat("a TransferSyntaxUID that is too long")
        self._charset = values.text(self._tree, _CHARACTER_SET) or b""
        self._sop_class = self._uid(_SOP_CLASS)
        self._sop = self._uid(_SOP)
        self.study = self._uid(_STUDY)
        self.series = self._uid(_SERIES)
        self._patient_id = self._identifying(_PATIENT_ID)
        charset = character_set(self._charset) if self._charset else assumed()
        shown = charset.decode(self._patient_id)
        self.patient = (
            shown,
            b"" if shown else values.text(self._tree, keys.PATIENT[0].tag) or b"",
        )

    def patient_record(self, number: int) -> bytes:
        """A PATIENT record; ``number`` tells those apart who have no ID."""
        patient_id = self._patient_id or b"NO PATIENT ID %d" % number
        found = values.of_keys(self._tree, keys.PATIENT)
        return self._record("PATIENT", [*found, (_PATIENT_ID, "LO", patient_id)])

    def study_record(self) -> bytes:
        """A STUDY record."""
        found = values.of_keys(self._tree, keys.STUDY)
        return self._record("STUDY", [*found, (_STUDY, "UI", self.study), *self._study_date()])

    def series_record(self, *, extended: bool) -> bytes:
        """A SERIES record; ``extended``: with its description."""
        wanted = (*keys.SERIES, keys.SERIES_DESCRIPTION) if extended else keys.SERIES
        found = values.of_keys(self._tree, wanted)
        return self._record("SERIES", [*found, (_SERIES, "UI", self.series)])

    def leaf_record(self, file_id: bytes) -> bytes:
        """The record that refers to the file."""
        kind = keys.type_of(self._sop_class)
        return self._record(
            kind,
            [
                (_FILE_ID, "CS", file_id),
                (_CLASS_IN_FILE, "UI", self._sop_class),
                (_SOP_IN_FILE, "UI", self._sop),
                (_SYNTAX_IN_FILE, "UI", self._tree.syntax.encode()),
                *values.of_keys(self._leaf_tree(kind), keys.LEAF[kind]),
            ],
        )

    def _leaf_tree(self, kind: str) -> Tree:
        """A file that was stored is not left out because its inside is damaged: of such a file the
        keys that cannot be read count as absent."""
        if kind == keys.IMAGE:
            return self._tree
        try:
            return Selection(self._header, _WANTED_OF_LEAF[kind])
        except (UnreadableError, BadFileFormat):
            return self._tree

    def _record(self, kind: str, found: values.type_values) -> bytes:
        """The elements of a record. Of a file that declares no character set, one is declared when
        any byte may be text that needs it; a length in a sequence may look like that."""
        charset = self._charset
        if not charset and not all([raw.isascii() for _, _, raw in found]):  # noqa: C419  (faster)
            charset = _assumed_term().encode()
        if charset:
            found.append((_CHARACTER_SET, "CS", charset))
        found.append((_RECORD_TYPE, "CS", kind.encode()))
        found.sort()
        return b"".join([element(*one) for one in found])

    def _identifying(self, tag: int) -> bytes:
        """A text that must not be ignored."""
        if tag not in self._tree.root:
            return b""
        if (raw := values.text(self._tree, tag)) is None:
            raise BadFileFormat("a PatientID or a UID that is too long or no text")
        return raw

    def _uid(self, tag: int) -> bytes:
        raw = self._identifying(tag).replace(b" ", b"")
        if not raw and tag == _SOP_CLASS:
            raw = read_preamble(self._header)[1].encode()
        if not raw:
            raise InexistentTag(f"no {_UIDS[tag]}")
        if len(raw) > limits.DICOM_UID_BYTES or not raw.isascii():
            raise BadFileFormat(f"a {_UIDS[tag]} that is too long or no text")
        return raw

    def _study_date(self) -> values.type_values:
        """Date and time of the study; what the file does not have, from the first that has any of
        what belongs to the study. A time comes only with its own date."""
        date, time = keys.STUDY_DATE, keys.STUDY_TIME
        day, moment = values.text(self._tree, date.tag), values.text(self._tree, time.tag)
        for date_tag, time_tag in () if day else keys.OTHER_DATES:
            if day := values.text(self._tree, date_tag):
                moment = moment or values.text(self._tree, time_tag)
                break
        return [
            (date.tag, date.vr, day or date.absent or b""),
            (time.tag, time.vr, moment or time.absent or b""),
        ]


def _assumed_term() -> str:
    """What the directory declares for text of a file that declares nothing: ASCII needs no term."""
    return "" if default() == "Ascii" else TERMS.get(default(), "")
