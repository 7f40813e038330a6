"""Names in archives, beside the rules that were observed of Orthanc 1.10.1 and beside what no name
may be: a way out of the folder that the archive is unpacked in."""

from __future__ import annotations

import re
import unicodedata
from string import ascii_letters, digits
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wherry.archives.naming import Tree, folder_name, numbers
from wherry.index.holdings import HeldInstance, HeldSeries
from wherry.model import Attachment

PATIENT_ID, PATIENT_NAME = "0010,0020", "0010,0010"
ACCESSION_NUMBER, STUDY_DESCRIPTION = "0008,0050", "0008,1030"
MODALITY, SERIES_DESCRIPTION = "0008,0060", "0008,103e"
FILE: Final = Attachment("", 1, 0, "", 0, "")


def series(
    ids: str = "pts",
    *,
    patient: tuple[str, str] = ("P1", "Doe^Jane"),
    study: tuple[str, str] = ("A1", "Head"),
    modality: str = "CT",
    description: str = "Axial",
) -> HeldSeries:
    """``ids``: a character for each of patient, study and series."""
    return HeldSeries(
        1,
        (f"patient {ids[0]}", f"study {ids[:2]}", f"series {ids}"),
        (
            {PATIENT_ID: patient[0], PATIENT_NAME: patient[1]},
            {ACCESSION_NUMBER: study[0], STUDY_DESCRIPTION: study[1]},
            {MODALITY: modality, SERIES_DESCRIPTION: description},
        ),
    )


def instances(*found: str) -> list[HeldInstance]:
    """With these InstanceNumbers."""
    return [HeldInstance(row, 1, str(row), "", number, FILE) for row, number in enumerate(found)]


def paths(*found: HeldSeries, utf8: bool = False, count: int = 1) -> list[str]:
    """What the files of these series are called, one after the other."""
    tree = Tree(utf8=utf8)
    return [
        name
        for one in found
        for name, _ in zip(tree.names_in(one, instances(*[""] * count)), range(count), strict=False)
    ]


def folder(one: HeldSeries, level: int, *, utf8: bool = False) -> str:
    return paths(one, utf8=utf8)[0].split("/")[level]


# --- ASCII, as Orthanc has it ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (("P1", "Doe^Jane"), "P1 Doe Jane"),
        (("", "Doe^John"), "Doe John"),
        (("X", ""), "X"),
        (("X", "Yamada^Tarou=山田^太郎=やまだ^たろう"), "X Yamada Tarou"),
        (("X", "a=b=c"), "X abc"),
        (("../../etc/passwd", ""), "....etcpasswd"),
        (("a^^b", ""), "a b"),
        (("a ^ b", ""), "a b"),
        (("a\n\nb", ""), "a b"),
        (("^a^", ""), "a"),
        (("a\tb", ""), "ab"),
        (("a-b", "a - b"), "ab a b"),
        (("Müller", ""), "Mller"),
        (("Mu\u0308ller", ""), "Muller"),
        (("\uff21\uff22", "x"), "x"),
        (("ä", ""), "Unknown Patient"),
        (("", ""), "Unknown Patient"),
        ((" \n\t ", "\u00a0"), "Unknown Patient"),
        (("CON", "aux."), "CON aux."),
        (("a_b.c", "A9"), "a_b.c A9"),
        (("MR\\CT", ""), "MRCT"),
    ],
)
def test_patients(patient: tuple[str, str], expected: str) -> None:
    assert folder(series(patient=patient), 0) == expected


@pytest.mark.parametrize("nothing", ["", "-", "^", "?/*", ".", "..", "^..^", "- . -"])
def test_what_would_be_no_name_is_unknown(nothing: str) -> None:
    """Orthanc has empty names, ``.`` and ``..`` here."""
    found = series(patient=(nothing, ""), study=("", nothing), modality="", description=nothing)
    assert paths(found)[0].rpartition("/")[0] == "Unknown Patient/Unknown Study/Unknown Series"


def test_missing_tags_are_empty() -> None:
    found = HeldSeries(1, ("p", "t", "s"), ({}, {}, {}))
    assert paths(found) == ["Unknown Patient/Unknown Study/Unknown Series/00000000.dcm"]


def test_the_tags_of_each_level() -> None:
    assert paths(series()) == ["P1 Doe Jane/A1 Head/CT Axial/CT000000.dcm"]


KEPT = frozenset(ascii_letters + digits + "._")


def as_observed(a: str, b: str) -> str:
    """The rule that 1,500 uploads to Orthanc did not contradict."""
    text = "".join(c for c in f"{a} {b}" if c == "\n" or " " <= c <= "~").strip(" \n")
    text = "".join(" " if c in "^ \n" else c if c in KEPT else "" for c in text)
    return re.sub(" +", " ", text).strip(" ")


values = st.text(st.sampled_from("aZ9._ ^\n-=/\\äé\u0308山\u202e\u0000\t"), max_size=12) | st.text(
    max_size=30
)


@given(values, values)
def test_folders_are_those_of_orthanc(a: str, b: str) -> None:
    expected = as_observed(a, b)
    found = folder(series(patient=(a, b)), 0)
    assert found == ("Unknown Patient" if expected in ("", ".", "..") else expected)


# --- letters of all scripts --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller^Jürgen", "Müller Jürgen"),
        ("Mu\u0308ller", "Müller"),  # composed (NFC)
        ("Mu-\u0308l\u200dler", "Müller"),  # also where something stood in between
        ("q\u0307", "q\u0307"),  # that has no composed form
        ("山田^太郎", "山田 太郎"),
        ("김^철수", "김 철수"),
        ("Иванов^Пётр", "Иванов Пётр"),
        ("نونس^محمد", "نونس محمد"),
        ("कुमार^राज", "कुमार राज"),
        ("ทดสอบ", "ทดสอบ"),
        ("𠮷野", "𠮷野"),
        ("१२", "१२"),
        ("a\u202eb\u2066c\u200fd", "abcd"),  # bidi overrides and marks
        ("a\u0085b\u2028c\ufeffd\u200be", "abcde"),  # controls, separators, invisible
        ("a\ud800b\ue000c", "abc"),  # lone surrogates, private use
        ("a–b“c”→😀", "abc"),
        ("\u2025", ""),  # TWO DOT LEADER
        ("\uff0e\uff0e\uff0f", ""),  # full-width dots and solidus
        ("..", ""),
        (".", ""),
        ("…", ""),
    ],
)
def test_utf8_names(text: str, expected: str) -> None:
    assert folder_name(text, utf8=True) == expected


@given(values | st.text(max_size=300))
def test_utf8_names_keep_only_letters(text: str) -> None:
    name = folder_name(text, utf8=True)
    assert name == unicodedata.normalize("NFC", name)
    assert all(c in "._ " or unicodedata.category(c)[0] in "LNM" for c in name)
    assert "  " not in name
    assert name == name.strip(" ")


# --- length ------------------------------------------------------------------------------------
@pytest.mark.parametrize("character", ["a", "ä", "山", "𠮷"])
@pytest.mark.parametrize("utf8", [False, True])
def test_long_names_are_cut_between_characters(character: str, utf8: bool) -> None:
    expected = character if utf8 or character.isascii() else ""
    size = len(character.encode())
    for count in (200 // size - 1, 200 // size, 200 // size + 1, 1000):
        kept = min(count, 200 // size)
        assert folder_name(character * count, utf8=utf8) == expected * kept


@given(st.text(st.sampled_from("aä山𠮷 ."), min_size=150, max_size=1000))
def test_long_names_are_the_beginning_of_what_they_stand_for(text: str) -> None:
    name = folder_name(text, utf8=True)
    whole = re.sub(" +", " ", text).strip()
    assert whole.startswith(name)
    assert len(name.encode()) <= 200
    if len(whole.encode()) > 200:
        assert name, "something is left of it"


def test_a_cut_leaves_no_blank_at_the_end() -> None:
    assert folder_name("a" * 199 + " b", utf8=False) == "a" * 199


# --- numbers of folders ------------------------------------------------------------------------
def test_the_same_name_again_is_numbered() -> None:
    found = paths(*[series(f"pt{letter}") for letter in "abc"])
    assert [path.split("/")[2] for path in found] == ["CT Axial", "CT Axial-2", "CT Axial-3"]
    found = paths(*[series(f"p{letter}s") for letter in "abc"])
    assert [path.split("/")[1] for path in found] == ["A1 Head", "A1 Head-2", "A1 Head-3"]
    found = paths(*[series(f"{number:x}ts") for number in range(12)])
    assert [path.split("/")[0] for path in found][-3:] == [
        "P1 Doe Jane-10",
        "P1 Doe Jane-11",
        "P1 Doe Jane-12",
    ]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("a^b", "a b", "a b"),
        ("", "ä", "Unknown Patient"),
        ("Unknown^Patient", "", "Unknown Patient"),
    ],
)
def test_what_is_the_same_after_all_is_numbered_too(first: str, second: str, name: str) -> None:
    found = paths(series("ats", patient=(first, "")), series("bts", patient=(second, "")))
    assert [path.split("/")[0] for path in found] == [name, f"{name}-2"]


def test_letters_of_another_case_are_others() -> None:
    found = [series(f"pt{name}", modality=name * 2, description="") for name in "aA"]
    assert [path.split("/")[2] for path in paths(*found)] == ["aa", "AA"]


def test_each_folder_counts_for_itself() -> None:
    found = paths(series("pta"), series("pub"), series("puc"), series("qvd"))
    assert [path.rpartition("/")[0] for path in found] == [
        "P1 Doe Jane/A1 Head/CT Axial",
        "P1 Doe Jane/A1 Head-2/CT Axial",
        "P1 Doe Jane/A1 Head-2/CT Axial-2",
        "P1 Doe Jane-2/A1 Head/CT Axial",
    ]


def test_nothing_else_can_be_called_like_a_numbered_folder() -> None:
    found = [series("ats"), series("bts"), series("cts", patient=("P1 Doe Jane-2", ""))]
    assert [path.split("/")[0] for path in paths(*found)] == [
        "P1 Doe Jane",
        "P1 Doe Jane-2",
        "P1 Doe Jane2",
    ]


# --- files -------------------------------------------------------------------------------------
def file_names(modality: str, *found: str) -> list[str]:
    tree, held = Tree(utf8=True), instances(*found)
    made = tree.names_in(series(modality=modality), held)
    return [name.rpartition("/")[2] for name, _ in zip(made, held, strict=False)]


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        ("CT", "CT000000.dcm"),
        ("RTSTRUCT", "RT000000.dcm"),
        ("mr", "MR000000.dcm"),
        ("M", "M0000000.dcm"),
        ("", "00000000.dcm"),
        ("a-b", "A000000.dcm"),
        ("ä", "000000.dcm"),
        ("ß", "000000.dcm"),
        ("ı", "000000.dcm"),
        ("ﬃ", "000000.dcm"),
        ("-", "0000000.dcm"),
        ("%x", "X000000.dcm"),  # Orthanc prints by it
    ],
)
def test_files_begin_with_their_modality(modality: str, expected: str) -> None:
    assert file_names(modality, "") == [expected]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["3", "1", "2"], [3, 1, 2]),
        (["0", "007", " 12 "], [0, 7, 12]),
        (["999999", "5"], [999_999, 5]),
        ([], []),
        (["1", "01"], None),  # twice the same
        (["1", ""], None),
        (["1", "-1"], None),
        (["1", "+2"], None),
        (["1", "1000000"], None),  # has no room in a name
        (["1", "2.5"], None),
        (["1", "1\\2"], None),
        (["1", "²"], None),
        (["1", "٣"], None),
        (["1", "9" * 256], None),
        (["abc"], None),
    ],
)
def test_files_bear_their_number_where_all_differ(
    found: list[str], expected: list[int] | None
) -> None:
    assert numbers(instances(*found)) == expected
    shown = range(len(found)) if expected is None else expected
    assert file_names("CT", *found) == [f"CT{number:06d}.dcm" for number in shown]


# --- a name leads nowhere else -----------------------------------------------------------------
RESERVED = st.sampled_from(
    ["..", ".", "/", "\\", "../..", "a/../..", "\0", "\r\n", "~", "C:", "-2"]
)
anything = st.one_of(values, st.text(max_size=300), RESERVED)


@given(
    st.lists(st.tuples(anything, anything, anything, anything, anything, anything), max_size=6),
    st.booleans(),
)
@example([("..", "", "..", "", "..", ""), ("\u2024.", "", "", "", "", "")], True)
def test_no_name_leads_out(found: list[tuple[str, ...]], utf8: bool) -> None:
    held = [
        series(
            f"{number}{number}{number}",
            patient=(tags[0], tags[1]),
            study=(tags[2], tags[3]),
            modality=tags[4],
            description=tags[5],
        )
        for number, tags in enumerate(found)
    ]
    made = paths(*held, utf8=utf8, count=2)
    assert len(set(made)) == 2 * len(held)
    for path in made:
        parts = path.split("/")
        assert len(parts) == 4
        assert not {"", ".", ".."}.intersection(parts)
        assert not path.startswith("/")
        assert "\\" not in path
        assert not [c for c in path if unicodedata.category(c)[0] in "CZ" and c != " "]
        assert all(len(part.encode()) <= 255 and part == part.strip(" ") for part in parts)
        if not utf8:
            assert path.isascii()
