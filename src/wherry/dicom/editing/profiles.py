"""What PS3.15 Annex E (Basic Application Level Confidentiality Profile) does to each attribute.

What: Table E.1-1 of several editions, as data files beside this module, each with its source.
Not here: what the profile leaves to the implementation: names, identifiers, private attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

EDITIONS: Final[Mapping[str, str]] = {
    "2008": "PS 3.15-2008 Table E.1-1",
    "2017c": "PS 3.15-2017c Table E.1-1 Basic Profile",
    "2021b": "PS 3.15-2021b Table E.1-1 Basic Profile",
    "2023b": "PS 3.15-2023b Table E.1-1 Basic Profile",
}
"""Edition → what De-identification Method (0012,0063) says of it."""
DEFAULT_EDITION: Final = "2021b"
"""That of Orthanc 1.10."""


class Action(Enum):
    """What is done to an attribute, by its letter in the table."""

    REMOVE = "X"
    EMPTY = "Z"
    UID = "U"
    """Another UID, the same one for the same UID."""


class Profile(NamedTuple):
    """One edition."""

    actions: Mapping[int, Action]
    """Tag → what is done."""
    repeating: tuple[tuple[int, int, Action], ...]
    """Mask, and what a tag is when it is seen through it: curves and overlays."""

    def of(self, tag: int) -> Action | None:
        """What is done to ``tag``; None when it stays."""
        if (action := self.actions.get(tag)) is not None:
            return action
        for mask, masked, action in self.repeating:
            if tag & mask == masked:
                return action
        return None


@cache
def profile(edition: str) -> Profile:
    """The profile of one of ``EDITIONS``."""
    text = files("wherry.dicom.editing").joinpath("profiles", f"{edition}.txt").read_text("ascii")
    actions: dict[int, Action] = {}
    repeating: list[tuple[int, int, Action]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        tag, letter, _ = line.split(" ")
        if "x" in tag:
            mask = int("".join("0" if digit == "x" else "f" for digit in tag), 16)
            repeating.append((mask, int(tag.replace("x", "0"), 16), Action(letter)))
        else:
            actions[int(tag, 16)] = Action(letter)
    return Profile(actions, tuple(repeating))
