"""What is done to each attribute of a data set, and of the data sets in its sequences.

What: the rules of a request and the profile as tables by tag, one for each kind of data set: a
path such as ``Seq[0].Tag`` makes the first item of that sequence another kind. Why: so that the
walk through a file (``walking``) asks one dictionary for each element.
Not here: bytes.

Of what a request says without a path, ``Remove`` and ``Keep`` change the profile itself, so they
reach into sequences when anonymizing; the rest concerns the data set of the file alone (as in
Orthanc). What is said with a path wins there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple

from wherry.dicom.editing.encoding import CHARACTER_SET, owner
from wherry.dicom.editing.paths import Path, Step
from wherry.dicom.editing.profiles import EDITIONS, Action, Profile, profile
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import IDENTIFIERS, PATIENT_ID, Rules

_PATIENT_NAME: Final = 0x00100010
_IDENTITY_REMOVED: Final = 0x00120062
_METHOD: Final = 0x00120063


class Do(Enum):
    """What is done to an element that has a line of its own in the table."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    UID = "uid"
    PATIENT_ID = "patient id"


class Put(NamedTuple):
    """Another value, of JSON; the element is made when it is not there."""

    value: Any
    creator: str = ""
    """Whose private block it is in, when the file does not tell."""
    only_if_absent: bool = False
    """What is there stays."""


type_action = Do | Put
type_rule = tuple[tuple[Step, ...], int, type_action]
"""Sequences yet to be entered, tag, what is done."""

_OF_PROFILE: Final = {Action.REMOVE: Do.REMOVE, Action.EMPTY: Do.EMPTY, Action.UID: Do.UID}


class Node:
    """One kind of data set."""

    def __init__(self, plan: Plan, defaults: dict[int, type_action], rules: list[type_rule]):
        self._plan = plan
        self._rules = [rule for rule in rules if rule[0]]
        own: dict[int, type_action] = {tag: action for steps, tag, action in rules if not steps}
        self.actions = defaults | own if own else defaults
        """Tag → what is done; what has no line stays unless ``Plan.default`` says otherwise."""
        self.puts = sorted(
            tag for tag, one in own.items() if one is Do.PATIENT_ID or isinstance(one, Put)
        )
        """What is made when it is not there."""
        self.entered = {steps[0].tag for steps, _, _ in self._rules}
        """Sequences with rules of their own inside."""

    def item(self, sequence: int, number: int) -> Node:
        """The kind of data set that item ``number`` of a sequence in this one is."""
        if sequence not in self.entered:
            return self._plan.nested
        rules = [
            (steps[1:], tag, action)
            for steps, tag, action in self._rules
            if steps[0].tag == sequence and steps[0].item in (None, number)
        ]
        return self._plan.node(rules)


@cache
def _of_edition(edition: str) -> Mapping[int, type_action]:
    """What a profile does in all data sets; "" = none. The character set has a line, for it is
    looked at."""
    actions: dict[int, type_action] = {CHARACTER_SET: Do.KEEP}
    if edition:
        for tag, action in profile(edition).actions.items():
            actions[tag] = _OF_PROFILE[action]
        actions[_PATIENT_NAME] = Do.EMPTY
        actions[PATIENT_ID] = Do.PATIENT_ID
    return actions


class Plan:
    """All of one request."""

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms, version: str) -> None:
        """``version``: what De-identification Method says of us."""
        self.rules = rules
        self.anonymizes = rules.is_anonymization
        self._profile = profile(rules.profile) if rules.profile else Profile({}, ())
        self._nodes: dict[tuple[tuple[tuple[Step, ...], int, int], ...], Node] = {}
        self._defaults = self._everywhere()
        self.nested = Node(self, self._defaults, [])
        """Items without rules of their own."""
        self.root = Node(self, self._defaults, self._of_root(pseudonyms, version))
        """The data set of the file."""
        self.searches = self.anonymizes or rules.remove_private
        """Whether every sequence must be looked into."""

    def node(self, rules: list[type_rule]) -> Node:
        """Items with these rules."""
        if not rules:
            return self.nested
        key = tuple((steps, tag, id(action)) for steps, tag, action in rules)
        if (node := self._nodes.get(key)) is None:
            node = self._nodes[key] = Node(self, self._defaults, rules)
        return node

    def default(self, tag: int) -> Do | None:
        """What is done to private attributes, curves, overlays and what is no part of a data set
        (groups below 0008), when they have no line of their own."""
        if tag >> 16 & 1:
            return Do.REMOVE if self.rules.remove_private else None
        if not self.anonymizes:
            return None
        if tag < 0x00080000:
            return Do.REMOVE
        action = self._profile.of(tag)
        return _OF_PROFILE[action] if action else None

    def _everywhere(self) -> dict[int, type_action]:
        """What holds in all data sets, nested ones too."""
        actions = dict(_of_edition(self.rules.profile))
        if not self.anonymizes:
            return actions
        for path in self.rules.remove:
            if not path.parents:
                actions[path.tag] = Do.REMOVE
        for path in self.rules.keep:
            if not path.parents:
                actions.update(_kept(path.tag))
        return actions

    def _of_root(self, pseudonyms: Pseudonyms, version: str) -> list[type_rule]:
        """... in the data set of the file, later lines winning."""
        rules, said = self.rules, self._said()
        lines: dict[Path, type_action] = {}
        if self.anonymizes:
            lines[Path((), _PATIENT_NAME)] = Put(pseudonyms.patient_name())
            lines[Path((), PATIENT_ID)] = Do.PATIENT_ID
            lines[Path((), _IDENTITY_REMOVED)] = Put("YES")
            if rules.is_plain_profile:
                method = f"Wherry {version} - {EDITIONS[rules.profile]}"
                lines[Path((), _METHOD)] = Put(method[:64])
        else:
            for level, tag in IDENTIFIERS.items():
                if level >= max(rules.level, 2):
                    lines[Path((), tag)] = Do.UID
        lines.update(said)
        return [(path.parents, path.tag, action) for path, action in lines.items()]

    def _said(self) -> dict[Path, type_action]:
        """What the request says itself."""
        rules = self.rules
        lines: dict[Path, type_action] = dict.fromkeys(rules.remove, Do.REMOVE)
        named = {path.tag: value for path, value in rules.replace if not path.parents}
        for path, value in rules.replace:
            creator = owner(path.tag, named) or rules.private_creator
            lines[path] = Put(value, creator)
            if creator and (block := _block(path.tag)):
                put = Put(creator, only_if_absent=not rules.remove_private)
                lines.setdefault(Path(path.parents, block), put)
        for path in rules.keep:
            for tag, action in _kept(path.tag).items():
                lines[Path(path.parents, tag)] = action
        return lines

    @property
    def character_set(self) -> str | None:
        """The value of (0008,0005) that is asked for; None when none is."""
        action = self.root.actions.get(CHARACTER_SET)
        return (action.value or "") if isinstance(action, Put) else None


def _kept(tag: int) -> dict[int, type_action]:
    """A private element is nothing without its creator."""
    kept: dict[int, type_action] = {tag: Do.KEEP}
    if block := _block(tag):
        kept[block] = Do.KEEP
    return kept


def _block(tag: int) -> int:
    """The tag that says whose private element this is; 0 when there is none."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF if tag >> 16 & 1 and tag & 0xFF00 else 0
