"""Where in the configuration a value was said, and whether it has the type it should have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or the environment."""

    name: str
    """As a person would call it."""
    folder: Path
    """Relative paths start here."""


@dataclass(frozen=True, slots=True)
class Place:
    """One key of one source."""

    source: Source
    key: str
    """Dotted: ``Transfers.Threads``."""

    def inner(self, key: str) -> Place:
        """The place of a key below this one."""
        return Place(self.source, f"{self.key}.{key}" if self.key else key)

    def error(self, problem: str) -> ConfigurationError:
        """``file: "Key" problem``."""
        return ConfigurationError(f'{self.source.name}: "{self.key}" {problem}')

    def wrong_type(self, expected: str, value: Any) -> ConfigurationError:
        """The error for a value of another type. Never shows the value: it may be a password."""
        return self.error(f"must be {expected}, not {described(value)}")


def described(value: Any) -> str:
    """The JSON type of a value in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text in quotes"
        case list():
            return "a list"
        case _:
            return "an object"


def boolean(value: Any, place: Place) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise place.wrong_type("true or false", value)
    return value


def integer(value: Any, place: Place, low: int, high: int) -> int:
    """A whole number within ``low``…``high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise place.wrong_type(f"a whole number ({low} to {high})", value)
    if not low <= value <= high:
        raise place.error(f"must be between {low} and {high}")
    return value


def string(value: Any, place: Place) -> str:
    """A text without NUL."""
    if not isinstance(value, str):
        raise place.wrong_type("a text in quotes", value)
    if "\0" in value:
        raise place.error("holds a NUL character")
    return value


def choice(value: str, place: Place, choices: tuple[str, ...]) -> str:
    """One of ``choices``, when there are any."""
    if choices and value not in choices:
        raise place.error(f"must be one of {', '.join(choices)}")
    return value


def path(value: Any, place: Place) -> Path:
    """A path; relative ones start in the folder of the file."""
    text = string(value, place)
    if not text:
        raise place.error("must not be empty")
    return (place.source.folder / Path(text).expanduser()).absolute()


def existing_file(value: Any, place: Place) -> Path:
    """A path where a file lies."""
    found = path(value, place)
    if not found.is_file():
        raise place.error(f"names a file that is not there: {found}")
    return found


def strings(value: Any, place: Place) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise place.wrong_type("a list of texts", value)
    return tuple(string(item, place) for item in value)


def mapping(value: Any, place: Place) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise place.wrong_type("an object in braces", value)
    return value


def texts(value: Any, place: Place) -> dict[str, str]:
    """An object that maps names to texts."""
    return {name: string(text, place.inner(name)) for name, text in mapping(value, place).items()}
