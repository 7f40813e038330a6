"""The text of configuration files → one merged JSON value that knows where each part was said.

Orthanc's dialect: JSON with ``//`` and ``/* */`` comments and trailing commas, ``${NAME}`` and
``${NAME:-default}`` replaced in the raw text. Comments and trailing commas are overwritten with
blanks of the same length, then the standard library parses strictly, so that the line of an error
is exact (see docs/decisions/configuration-parser.md).

Not here: what a key means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from wherry import limits
from wherry.config.place import Place, Source
from wherry.errors import ConfigurationError

_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(_TEXT + r"|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(_TEXT + r"|[\[{]\s*,|,(?=\s*[}\]])", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_NOT_NEWLINE = re.compile(r"[^\n]")


@dataclass(slots=True)
class Document:
    """Values merged from several sources."""

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    """Dotted key → where it was said; a key that is not there was said with the one above it."""

    def place(self, key: str) -> Place:
        """Where a key, written with dots, was said."""
        above = key
        while above not in self.sources and "." in above:
            above = above.rpartition(".")[0]
        return Place(self.sources[above], key)

    def add(self, values: Mapping[str, Any], source: Source) -> None:
        """Merge one more file. The same top-level key in two files is an error, as in Orthanc."""
        for key, value in values.items():
            if key in self.sources:
                raise ConfigurationError(
                    f'"{key}" stands both in {self.sources[key].name} and in {source.name}; '
                    "keep one of them"
                )
            self.values[key] = value
            self.sources[key] = source


def read_files(paths: Sequence[Path], environ: Mapping[str, str]) -> Document:
    """Read and merge files and folders of files."""
    document = Document()
    files = [file for path in paths for file in _files(path)]
    if len(files) > limits.CONFIGURATION_FILES:
        raise ConfigurationError(
            f"{len(files)} configuration files are more than {limits.CONFIGURATION_FILES}"
        )
    for file in files:
        source = Source(str(file), file.absolute().parent)
        values = parse(_text_of(file), str(file), environ, document.warnings)
        document.add(values, source)
    return document


def parse(text: str, name: str, environ: Mapping[str, str], warnings: list[str]) -> dict[str, Any]:
    """Parse the text of one file, which must hold one object. ``name`` is for messages."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated.extend(key for key in values if keys.count(key) > 1)
        return values

    text, added_lines = _expand(_without_comments(text, name), name, environ, warnings)
    text = _TRAILING_COMMA.sub(_blank, _without_comments(text, name))
    try:
        values = json.loads(text, object_pairs_hook=unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        line = _line_of_error(text, error) - sum(n for at, n in added_lines if at < error.pos)
        raise ConfigurationError(f"{name}, line {line}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: nested too deeply") from None
    except ValueError as error:  # a constant that JSON does not have, a number with 5000 digits
        raise ConfigurationError(f"{name}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{name}: must hold one object in braces")
    warnings.extend(f'{name}: "{key}" is given twice; the last one counts' for key in repeated)
    return values


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
        if not files:
            raise ConfigurationError(f"{path}: there is no .json file in this folder")
        return files
    return [path]


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(limits.CONFIGURATION_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file or folder") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > limits.CONFIGURATION_FILE_BYTES:
        raise ConfigurationError(
            f"{file}: larger than {limits.CONFIGURATION_FILE_BYTES // limits.MIB} MiB"
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file}, line {line}: not UTF-8") from None


def _blank(match: re.Match[str]) -> str:
    found = match[0]
    return found if found[0] in '"[{' else _NOT_NEWLINE.sub(" ", found)


def _without_comments(text: str, name: str) -> str:
    def blank(match: re.Match[str]) -> str:
        if match[0].startswith("/*") and (len(match[0]) < 4 or not match[0].endswith("*/")):
            line = text.count("\n", 0, match.start()) + 1
            raise ConfigurationError(f"{name}, line {line}: this comment has no end")
        return _blank(match)

    return _COMMENT.sub(blank, text)


def _expand(
    text: str, name: str, environ: Mapping[str, str], warnings: list[str]
) -> tuple[str, list[tuple[int, int]]]:
    """Replace variables. Also answers (offset in the result, lines that the value added)."""
    pieces: list[str] = []
    added_lines: list[tuple[int, int]] = []
    length = end = 0
    for match in _VARIABLE.finditer(text):
        variable, default = match.groups()
        if variable not in environ and default is None:
            warnings.append(f"{name}: the environment has no {variable}; it counts as empty")
        value = environ.get(variable, default or "")
        before = text[end : match.start()]
        pieces += [before, value]
        length += len(before) + len(value)
        end = match.end()
        added_lines.append((length, value.count("\n") - match[0].count("\n")))
    pieces.append(text[end:])
    return "".join(pieces), added_lines


def _line_of_error(text: str, error: json.JSONDecodeError) -> int:
    """A missing comma is missed at the end of the line before, not where the next key stands."""
    position = error.pos
    if error.msg.startswith("Expecting ',' delimiter"):
        position = len(text[:position].rstrip())
    return text.count("\n", 0, position) + 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
