"""Text with code extensions: ISO 2022 escapes as DICOM uses them (PS3.5 §6.1.2.4, §6.1.2.5).

What: two code elements at a time, G0 for bytes below 128 and G1 for those above; an escape
sequence puts another character set into one of them. Why not Python's codecs alone: they know the
Japanese escapes only. Why not pydicom: it leaves Chinese escapes in the text, and would cost
21 MB as soon as the first Japanese name arrives.
Not here: which character set a file declares (``charsets``).
"""

from __future__ import annotations

import re
from typing import Final

_G0: Final = {
    b"(B": "ascii",
    b"(J": "shift_jis",  # JIS X 0201 romaji
    b"$B": "iso2022_jp",
    b"$@": "iso2022_jp",
    b"$(D": "iso2022_jp_2",
}
"""Codecs of what an escape puts into G0 (PS3.3 tables C.12-3 and C.12-4)."""

_G1: Final = {
    b")I": "shift_jis",  # JIS X 0201 katakana
    b"-A": "latin-1",
    b"-B": "iso8859-2",
    b"-C": "iso8859-3",
    b"-D": "iso8859-4",
    b"-F": "iso8859-7",
    b"-G": "iso8859-6",
    b"-H": "iso8859-8",
    b"-L": "iso8859-5",
    b"-M": "iso8859-9",
    b"-T": "iso8859-11",
    b"-b": "iso8859-15",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}

_PREFIXES: Final = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
"""What Python's codecs of two-byte sets in G0 must be told."""

_PIECES: Final = re.compile(
    rb"\x1b(\(B|\(J|\)I|-[A-DFGHLMTb]|\$B|\$@|\$\(D|\$\)[AC])"  # an escape that is known
    rb"|([\x21-\x7e\x80-\xff ]+|[\x00-\x1f\x7f])"  # text, or one control character
)
_RUNS: Final = re.compile(rb"[\x00-\x7f]+|[\x80-\xff]+")


def decode(raw: bytes, g0: str, g1: str, delimiters: bytes) -> str:
    """``raw`` in Unicode; ``g0`` and ``g1`` are the codecs at its beginning.

    After each of ``delimiters``, and after control characters, they come back (PS3.5 §6.1.2.5.3).
    Bytes without a meaning are left out; escapes that are not known stay.
    """
    low, high = g0, g1
    text = []
    for match in _PIECES.finditer(raw):
        if escape := match[1]:
            low, high = _G0.get(escape, low), _G1.get(escape, high)
            continue
        piece = match[2]
        if piece < b" " or piece == b"\x7f":
            low, high = g0, g1
            text.append(piece.decode("ascii"))
        elif low in _PREFIXES:  # any byte may be half of a character: nothing can delimit
            text.append(_plain(piece, low, high))
        else:
            for part in re.split(b"([" + re.escape(delimiters) + b"])", piece):
                if part and part in delimiters:
                    low, high = g0, g1
                text.append(_plain(part, low, high))
    return "".join(text)


def _plain(raw: bytes, low: str, high: str) -> str:
    prefix = _PREFIXES.get(low, b"")
    return "".join(
        (prefix + run).decode(low, "ignore") if run < b"\x80" else run.decode(high, "ignore")
        for run in _RUNS.findall(raw)
    )
