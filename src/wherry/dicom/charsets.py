"""Specific Character Set (0008,0005): from bytes of a file to Unicode (PS3.3 §C.12.1.1.2).

What: which codec reads the text of a data set; code extensions are left to ``iso2022``. Why not
pydicom: names and identifiers are decoded for every instance that comes in.

As in Orthanc, whose identifiers hang on it: no or an empty character set is the one that the server
assumes (``DefaultEncoding``: Latin 1 unless somebody chose another), an unknown one is ASCII, and
bytes that the character set does not know are left out.
Not here: padding, the splitting of multiple values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wherry.dicom import iso2022
from wherry.errors import ParameterOutOfRange

ESCAPE: Final = b"\x1b"

_CODECS: Final = {
    "6": "ascii",
    "13": "shift_jis",
    "58": "gb2312",
    "87": "iso2022_jp",
    "100": "latin-1",
    "101": "iso8859-2",
    "109": "iso8859-3",
    "110": "iso8859-4",
    "126": "iso8859-7",
    "127": "iso8859-6",
    "138": "iso8859-8",
    "144": "iso8859-5",
    "148": "iso8859-9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "iso8859-11",
    "192": "utf-8",
    "203": "iso8859-15",
}
_STAND_ALONE: Final = {"GB18030": "gb18030", "GBK": "gbk", "ISO 2022 GBK": "gbk"}
_TERM: Final = re.compile(r"ISO(?:_IR|[ _]2022[ _]IR) (\d+)")

_TEXT_DELIMITERS: Final = b"\\"
_NAME_DELIMITERS: Final = b"\\^="

_ESCAPING: Final = frozenset(("iso2022_jp", "iso2022_jp_2"))
"""Codecs that mean nothing without an escape."""
_DESIGNATED: Final = frozenset(("euc_kr", "gb2312"))
"""Codecs whose character set must be designated by an escape, which they do not write."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """How the text of one data set is written."""

    codec: str
    """Python codec of text without escapes."""
    is_extended: bool = False
    """Whether escapes may switch to other character sets."""

    def decode(self, raw: bytes, is_name: bool = False) -> str:
        """``raw`` in Unicode; ``is_name``: a VR of PN, where ``^`` and ``=`` reset the set too."""
        if self.is_extended and ESCAPE in raw:
            g0 = "shift_jis" if self.codec == "shift_jis" else "ascii"
            g1 = "ascii" if self.codec in _ESCAPING else self.codec
            delimiters = _NAME_DELIMITERS if is_name else _TEXT_DELIMITERS
            return iso2022.decode(raw, g0, g1, delimiters)
        return raw.decode(self.codec, "ignore")

    def encode(self, text: str) -> bytes:
        """``text`` in the first character set, without escapes; what it does not know becomes a
        question mark."""
        return text.encode(self.codec, "replace")

    def write(self, text: str) -> bytes | None:
        """``text`` in the first character set; None when that does not know all of it."""
        if text.isascii():
            return text.encode("ascii")
        if self.is_extended and self.codec in _DESIGNATED:
            return None
        try:
            written = text.encode(self.codec)
        except UnicodeError:
            return None
        # JIS X 0201 is the part of its codec that has one byte for each character.
        return None if self.codec == "shift_jis" and len(written) != len(text) else written


LATIN1: Final = CharacterSet("latin-1")
_UTF8: Final = CharacterSet("utf-8")

ENCODINGS: Final = {
    "Ascii": CharacterSet("ascii"),
    "Utf8": _UTF8,
    "Latin1": LATIN1,
    "Latin2": CharacterSet("iso8859-2"),
    "Latin3": CharacterSet("iso8859-3"),
    "Latin4": CharacterSet("iso8859-4"),
    "Latin5": CharacterSet("iso8859-9"),
    "Cyrillic": CharacterSet("iso8859-5"),
    "Windows1251": CharacterSet("cp1251"),
    "Arabic": CharacterSet("iso8859-6"),
    "Greek": CharacterSet("iso8859-7"),
    "Hebrew": CharacterSet("iso8859-8"),
    "Thai": CharacterSet("iso8859-11"),
    "Japanese": CharacterSet("shift_jis"),
    "Chinese": CharacterSet("gb18030"),
    "JapaneseKanji": CharacterSet("iso2022_jp", is_extended=True),
    "Korean": CharacterSet("euc_kr", is_extended=True),
    "SimplifiedChinese": CharacterSet("gb2312", is_extended=True),
}
"""Orthanc's names of encodings (configuration key ``DefaultEncoding``)."""

TERMS: Final = {
    "Ascii": "ISO_IR 6",
    "Utf8": "ISO_IR 192",
    "Latin1": "ISO_IR 100",
    "Latin2": "ISO_IR 101",
    "Latin3": "ISO_IR 109",
    "Latin4": "ISO_IR 110",
    "Latin5": "ISO_IR 148",
    "Cyrillic": "ISO_IR 144",
    "Arabic": "ISO_IR 127",
    "Greek": "ISO_IR 126",
    "Hebrew": "ISO_IR 138",
    "Thai": "ISO_IR 166",
    "Japanese": "ISO_IR 13",
    "Chinese": "GB18030",
    "JapaneseKanji": "\\ISO 2022 IR 87",
    "Korean": "\\ISO 2022 IR 149",
    "SimplifiedChinese": "\\ISO 2022 IR 58",
}
"""The values of (0008,0005) that say the same (PS3.3 §C.12.1.1.2); Windows 1251 has none."""

_ANY: Final = "ISO_IR 192"
"""What all text can be written in."""


class _Assumed:
    """What is assumed of files that do not say. One for the process, as in Orthanc: whoever reads
    a file must read it as it was read when it came in."""

    name = "Latin1"
    charset = LATIN1


def set_default(name: str) -> None:
    """Assume the encoding ``name``, a key of ``ENCODINGS``, of files that declare none.

    Raises ``ParameterOutOfRange`` when there is no such encoding.
    """
    charset = ENCODINGS.get(name)
    if charset is None:
        raise ParameterOutOfRange
    _Assumed.name, _Assumed.charset = name, charset


def default() -> str:
    """The name of the encoding that is assumed of files that declare none."""
    return _Assumed.name


def assumed() -> CharacterSet:
    """The character set of a data set that declares none and is part of no other."""
    return _Assumed.charset


def term_for(text: str, *wished: str) -> str:
    """The first of these values of (0008,0005) in which ``text`` can be written, otherwise that of
    UTF-8. "" stands for the encoding that is assumed."""
    for one in wished:
        term = one or TERMS.get(_Assumed.name, _ANY)
        if knows(term, text):
            return term
    return _ANY


def knows(term: str, text: str) -> bool:
    """Whether ``text`` can be written with this value of (0008,0005)."""
    if text.isascii():
        return True
    return character_set(term.encode("ascii", "replace")).write(text) is not None


def character_set(raw: bytes) -> CharacterSet:
    """The character set that a value of (0008,0005) declares."""
    if raw.startswith(b"ISO_IR 100") and len(raw) == 10:
        return LATIN1
    if raw == b"ISO_IR 192":
        return _UTF8
    text = raw.decode("latin-1").strip(" \0").upper()
    if not text:
        return _Assumed.charset
    terms = tuple(term.strip() for term in text.split("\\"))
    codec = _codec(next(filter(None, terms), ""))
    extended = len(terms) > 1 or "2022" in terms[0]
    return CharacterSet(codec, extended and codec not in ("utf-8", "gb18030", "gbk"))


def _codec(term: str) -> str:
    if alone := _STAND_ALONE.get(term):
        return alone
    match = _TERM.fullmatch(term)
    return _CODECS.get(match[1], "ascii") if match else "ascii"
