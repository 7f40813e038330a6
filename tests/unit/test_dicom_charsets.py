"""Character sets: those of PS3.3 §C.12.1.1.2, and what Orthanc makes of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dicom_bytes import data_set, meta
from wherry.dicom import charsets
from wherry.dicom.charsets import character_set
from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.errors import ParameterOutOfRange
from wherry.model import Level


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        (b"", b"Ren\xe9", "René"),
        (b"ISO_IR 100", b"Ren\xe9", "René"),
        (b"ISO_IR 192", "山田".encode(), "山田"),
        (b" iso_ir 192 ", "é".encode(), "é"),
        (b"ISO_IR 192\\ISO_IR 100 ", "é".encode(), "é"),
        (b"ISO_IR 101", b"\xa3x", "Łx"),
        (b"ISO_IR 109", b"\xdd\xb1", "Ŭħ"),
        (b"ISO_IR 110", b"\xdd\xb1", "Ũą"),
        (b"ISO_IR 126", b"\xc1\xe1", "Αα"),
        (b"ISO_IR 127", b"\xc7\xc8", "اب"),
        (b"ISO_IR 138", b"\xe0\xe1", "אב"),
        (b"ISO_IR 144", b"\xbb\xe1", "Лс"),
        (b"ISO_IR 148", b"\xdd\xe1", "İá"),
        (b"ISO_IR 166", b"\xa1\xa2", "กข"),
        (b"ISO_IR 203", b"\xa4", "€"),
        (b"ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (b"GB18030", b"\xcd\xf5\xd0\xa1", "王小"),
        (b"GBK", b"\xcd\xf5", "王"),
        (b"ISO 2022 IR 100", b"Ren\xe9", "René"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\x1b$B;3ED\x1b(J", "ﾔﾏ山田"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^", "Yamada^Tarou=山田^"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        (b"\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B", "丂"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce", "洪^吉"),
        (b"\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1", "王^小"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xbb\xee", "éЛю"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xbb\r\n\xe9", "Л\r\né"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xbb^\xe9\\\x1b-L\xbb", "Л^é\\Л"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 127", b"ab\x1b-G\xc7\xc8", "abاب"),
    ],
)
def test_decoding(declared: bytes, raw: bytes, text: str) -> None:
    assert character_set(declared).decode(raw, is_name=True) == text


@pytest.mark.parametrize("declared", [b"ISO_IR 6", b"nonsense", b"latin1", b"ISO-IR 100", b"\xff"])
def test_unknown_sets_are_ascii(declared: bytes) -> None:
    """As in Orthanc, whose identifiers hang on it."""
    assert character_set(declared).decode(b"Ren\xe9") == "Ren"


def test_wrong_bytes_are_left_out() -> None:
    assert character_set(b"ISO_IR 192").decode(b"Ren\xe9\xff\xfe x") == "Ren x"
    assert character_set(b"ISO_IR 126").decode(b"\xc1\xd2") == "Α"


@pytest.mark.parametrize(
    "raw", [b"\x1b", b"\x1b$", b"\x1b$B\x80\x80", b"\x1b%G\xc3\xa9", b"\x1b(Z"]
)
@pytest.mark.parametrize("declared", [b"\\ISO 2022 IR 87", b"ISO 2022 IR 6\\nonsense"])
def test_broken_escapes_do_no_harm(declared: bytes, raw: bytes) -> None:
    assert isinstance(character_set(declared).decode(b"a" + raw + b"b"), str)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    charsets.set_default("Latin1")


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("Ascii", b"a\xe9", "a"),
        ("Utf8", "山".encode(), "山"),
        ("Latin2", b"\xa3", "Ł"),
        ("Latin3", b"\xdd", "Ŭ"),
        ("Latin4", b"\xdd", "Ũ"),
        ("Latin5", b"\xdd", "İ"),
        ("Cyrillic", b"\xbb", "Л"),
        ("Windows1251", b"\xcb", "Л"),
        ("Arabic", b"\xc7", "ا"),
        ("Greek", b"\xc1", "Α"),
        ("Hebrew", b"\xe0", "א"),
        ("Thai", b"\xa1", "ก"),
        ("Japanese", b"\xd4", "ﾔ"),
        ("Chinese", b"\xcd\xf5", "王"),
        ("JapaneseKanji", b"\x1b$B;3\x1b(B", "山"),
        ("Korean", b"\x1b$)C\xfb\xf3", "洪"),
        ("SimplifiedChinese", b"\x1b$)A\xcd\xf5", "王"),
    ],
)
@pytest.mark.usefixtures("restored")
def test_what_is_assumed(name: str, raw: bytes, text: str) -> None:
    charsets.set_default(name)
    assert charsets.default() == name
    for declared in ((), ((0x00080005, "CS", b""),)):
        raw += b" " * (len(raw) % 2)
        file = meta() + data_set(*declared, (0x00100010, "PN", raw))
        assert scan(file).tags_at(Level.PATIENT)["0010,0010"] == text
        assert to_json(file, "short")["0010,0010"] == text
    assert character_set(b"ISO_IR 100").codec == "latin-1"


@pytest.mark.usefixtures("restored")
def test_an_encoding_that_does_not_exist() -> None:
    charsets.set_default("Greek")
    for name in ("", "latin1", "Nope"):
        with pytest.raises(ParameterOutOfRange):
            charsets.set_default(name)
    assert charsets.default() == "Greek"


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("default", "wished", "text", "expected"),
    [
        ("Latin1", ("",), "Doe", "ISO_IR 100"),
        ("Latin1", ("",), "Müller", "ISO_IR 100"),
        ("Latin1", ("",), "Люк", "ISO_IR 192"),
        ("Latin1", ("", "ISO_IR 144"), "Люк", "ISO_IR 144"),
        ("Latin1", ("", "ISO_IR 126"), "Люк", "ISO_IR 192"),
        ("Utf8", ("", "ISO_IR 144"), "Люк", "ISO_IR 192"),
        ("Greek", ("",), "Δ", "ISO_IR 126"),
        ("Windows1251", ("",), "Doe", "ISO_IR 192"),
        ("Japanese", ("",), "ﾔﾏﾀﾞ", "ISO_IR 13"),
        ("Japanese", ("",), "山田", "ISO_IR 192"),
        ("JapaneseKanji", ("",), "山田", "\\ISO 2022 IR 87"),
        ("Korean", ("",), "김", "ISO_IR 192"),
        ("Ascii", ("", ""), "é", "ISO_IR 192"),
    ],
)
def test_a_character_set_that_has_a_text(
    default: str, wished: tuple[str, ...], text: str, expected: str
) -> None:
    charsets.set_default(default)
    term = charsets.term_for(text, *wished)
    assert term == expected
    charset = character_set(term.encode())
    assert charset.decode(charset.encode(text)) == text
