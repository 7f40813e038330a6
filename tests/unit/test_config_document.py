"""The dialect: comments, commas, variables, merging, and errors that say where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry import limits
from wherry.config.document import parse, read_files
from wherry.errors import ConfigurationError


def parsed(text: str, **environ: str) -> dict[str, object]:
    return parse(text, "a.json", environ, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": [1, 2,], "b": {"c": 1,},}', {"a": [1, 2], "b": {"c": 1}}),
        ('{"a": 1, // one\n /* two\n three */ "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "// no /* comment */ here, }"}', {"a": "// no /* comment */ here, }"}),
        ('{"a": "quote \\" // still text"}', {"a": 'quote " // still text'}),
        ('{"a": 1 /* , */, // ,\n /**/ }', {"a": 1}),
        ('{"http://x": 1}', {"http://x": 1}),
        ("{}", {}),
        ('{"a": 1}\r\n// end', {"a": 1}),
    ],
)
def test_dialect(text: str, value: object) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n"a": 1\n"b": 2\n}', 2),
        ('{\n\n"a": tru\n}', 3),
        ('{\n// c\n/* d\n*/ "a": }', 4),
        ('{\n"a": "x\ny"}', 2),
        ("{\n'a': 1}", 2),
        ('{\n"a": 1 /* never closed', 2),
        ('{\n"a": [,]}', 2),
        ('{\n"a": [1,,]}', 2),
        ('{"a": 1}\n}', 2),
        ("", 1),
    ],
)
def test_syntax_error_names_file_and_line(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"^a\.json, line {line}: "):
        parsed(text)


@pytest.mark.parametrize(
    "text", ["[1]", "1", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000, '{"a": 0x10}', "{a: 1}"]
)
def test_what_json_is_not(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^a\.json"):
        parsed(text)


def test_variables_are_replaced_in_the_raw_text() -> None:
    text = '{"a": "${HOST}:${PORT:-80}", "b": ${NUMBER}, "c": ${SECTION:-[1, 2]}, "d": "${EMPTY}"}'
    assert parsed(text, HOST="h", NUMBER="7", EMPTY="") == {
        "a": "h:80",
        "b": 7,
        "c": [1, 2],
        "d": "",
    }


def test_variable_may_hold_a_section_with_comments_and_lines() -> None:
    section = '{"x": 1, // one\n"y": 2,}'
    assert parsed('{"a": ${S},\n"b": 3}', S=section) == {"a": {"x": 1, "y": 2}, "b": 3}


def test_lines_of_a_variable_do_not_count() -> None:
    with pytest.raises(ConfigurationError, match="line 3"):
        parsed('{"a": ${S},\n"b": 3,\n"c" 4}', S="[\n1,\n2\n]")


def test_missing_variable_is_empty_and_reported_once_not_in_comments() -> None:
    warnings: list[str] = []
    assert parse('{"a": "${NOPE}" /* ${NOR} */}', "a.json", {}, warnings) == {"a": ""}
    assert warnings == ["a.json: the environment has no NOPE; it counts as empty"]


def test_key_given_twice_is_reported() -> None:
    warnings: list[str] = []
    assert parse('{"a": 1, "a": 2}', "a.json", {}, warnings) == {"a": 2}
    assert warnings == ['a.json: "a" is given twice; the last one counts']


def test_folder_is_merged(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"a": 1}')
    (tmp_path / "2.json").write_text('{"b": 2}')
    (tmp_path / "ignored.txt").write_text("not json")
    (tmp_path / "sub.json").mkdir()
    assert read_files([tmp_path], {}).values == {"a": 1, "b": 2}


def test_same_key_in_two_files_names_both(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text('{"Section": {"a": 1}}')
    second.write_text('{"Section": {"b": 1}}')
    with pytest.raises(ConfigurationError) as caught:
        read_files([first, second], {})
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        read_files([tmp_path / "nope.json"], {})
    with pytest.raises(ConfigurationError, match=r"no \.json file"):
        read_files([tmp_path], {})
    (tmp_path / "latin.json").write_bytes(b'{\n"Name": "M\xfcller"}')
    with pytest.raises(ConfigurationError, match="line 2: not UTF-8"):
        read_files([tmp_path / "latin.json"], {})


def test_byte_order_mark_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_files([tmp_path], {}).values == {"a": 1}


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(limits.CONFIGURATION_FILE_BYTES + 1)
    with pytest.raises(ConfigurationError, match="larger than"):
        read_files([tmp_path], {})
    monkeypatch.setattr(limits, "CONFIGURATION_FILES", 1)
    (tmp_path / "small.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="2 configuration files"):
        read_files([tmp_path], {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _JSON))
def test_plain_json_is_read_as_it_is(value: dict[str, object]) -> None:
    text = json.dumps(value, ensure_ascii=False).replace("$", "\\u0024")
    assert parsed(text) == value
