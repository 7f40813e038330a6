"""The identifier of a query, taken apart: what must match, what is to be answered (PS3.4 §C.2.2).

Keys that are empty, or nothing but stars, match everything. Of what has a value, some is not
compared at all (character set, time zone: §C.2.2.2), some only with what is computed.

Not here: what a searched text means (``index.patterns``), where values come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from wherry import limits
from wherry.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    Attribute,
    creator_of,
    is_private,
    type_attributes,
)
from wherry.errors import BadRequest, ParameterOutOfRange
from wherry.index.search_terms import ItemTerms

TIMEZONE_OFFSET: Final = 0x00080201
QUERY_RETRIEVE_LEVEL: Final = 0x00080052

_NEVER_MATCHED: Final = frozenset((SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, TIMEZONE_OFFSET))
_RANGES: Final = frozenset(("DA", "TM", "DT"))


def terms_of(keys: type_attributes) -> ItemTerms:
    """What a data set must hold for an identifier, or for the item of a sequence in it.

    Raises ``BadRequest`` for a sequence with several items, ``ParameterOutOfRange`` for more keys
    than a search may have.
    """
    if sum(1 for _ in _all(keys)) > limits.SEARCH_TERMS:
        raise ParameterOutOfRange(f"More than {limits.SEARCH_TERMS} keys")
    return _terms(keys)


def spelt(tag: int) -> str:
    """``gggg,eeee``."""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


def item_of(attribute: Attribute) -> type_attributes:
    """The keys within a sequence; none when all of it is wanted. Raises ``BadRequest``."""
    if not isinstance(attribute.value, tuple) or not attribute.value:
        return {}
    if len(attribute.value) > 1:
        raise BadRequest("A sequence of a query has more than one item")
    return attribute.value[0]


def project(keys: type_attributes, found: type_attributes) -> dict[int, Attribute]:
    """Of what was found, that which was asked for, and nothing else; what is not there is empty
    (PS3.4 §C.2.2.1.2)."""
    answer = {}
    for tag, key in keys.items():
        attribute = found.get(tag)
        if is_creator(tag) and key.text:
            answer[tag] = key
        elif attribute is None or not is_same_block(tag, keys, found):
            answer[tag] = nothing(tag, key)
        elif isinstance(attribute.value, tuple) and (below := item_of(key)):
            items = tuple(project(below, item) for item in attribute.value)
            answer[tag] = Attribute(attribute.vr, items)
        else:
            answer[tag] = attribute
    return answer


def nothing(tag: int, key: Attribute) -> Attribute:
    """The answer to a key when there is no value."""
    if is_creator(tag):
        return key
    return Attribute(key.vr, () if key.vr == "SQ" else "")


def is_creator(tag: int) -> bool:
    """Whether a tag reserves a block of private ones (PS3.5 §7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def is_same_block(tag: int, keys: type_attributes, found: type_attributes) -> bool:
    """Whether a private tag belongs to the same creator in both; one that is named in neither is
    the same."""
    if not is_private(tag):
        return True
    asked, have = keys.get(creator_of(tag)), found.get(creator_of(tag))
    return asked is None or (have is not None and asked.text.strip() == have.text.strip())


def _all(keys: type_attributes) -> Iterator[int]:
    for tag, attribute in keys.items():
        yield tag
        if isinstance(attribute.value, tuple):
            for item in attribute.value:
                yield from _all(item)


def _terms(keys: type_attributes) -> ItemTerms:
    texts, sequences = {}, []
    for tag, attribute in keys.items():
        if tag in _NEVER_MATCHED or is_creator(tag):
            continue
        if attribute.vr == "SQ":
            below = _terms(item_of(attribute))
            if below.tags or below.sequences:
                sequences.append((spelt(tag), below))
        elif text := _condition(attribute):
            texts[tag] = text
    return ItemTerms(_named(texts | _creators(texts, keys)), tuple(sequences))


def _condition(attribute: Attribute) -> str:
    """The text that must match; "" when everything does."""
    value = attribute.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else attribute.text
    text = text.strip(" \0")
    if not text.strip("*") or (attribute.vr in _RANGES and text == "-"):
        return ""
    return text


def _creators(texts: Iterable[int], keys: type_attributes) -> dict[int, str]:
    """A private value matches within the block of its creator only."""
    found = {}
    for tag in texts:
        if is_private(tag) and (creator := keys.get(creator_of(tag))) is not None and creator.text:
            found[creator_of(tag)] = creator.text
    return found


def _named(texts: Mapping[int, str]) -> tuple[tuple[str, str], ...]:
    return tuple((spelt(tag), text) for tag, text in texts.items())
