"""The document of metadata, labels and attachments says at the other end what it said here."""

from __future__ import annotations

import string

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import BadRequest, WherryError
from wherry.index.extras import Extras
from wherry.model import Attachment, Level
from wherry.transfers.extras import Names, count, digest, enclose, parse, render, resolve

NUMBERS = st.integers(1024, 65535)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LABELS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=64)
HEX = "0123456789abcdef"
IDS = st.lists(st.text(HEX, min_size=8, max_size=8), min_size=5, max_size=5).map("-".join)
DIGESTS = st.text(HEX, min_size=32, max_size=32)
FILES = st.builds(
    lambda number, size, md5: Attachment("", number, size, md5, size, md5),
    NUMBERS,
    st.integers(0, 10**18 - 1),
    DIGESTS,
)
EXTRAS = st.builds(
    Extras,
    st.sampled_from(Level),
    IDS,
    st.dictionaries(NUMBERS, TEXTS, max_size=4),
    st.lists(LABELS, unique=True, max_size=4).map(tuple),
    st.lists(FILES, unique_by=lambda file: file.content_type, max_size=3).map(tuple),
)
LISTS = st.lists(EXTRAS, unique_by=lambda one: (one.level, one.orthanc_id), max_size=5)
WORDS = st.text(string.ascii_letters + "äß -/%", min_size=1, max_size=8)
NAMES = st.dictionaries(WORDS, NUMBERS, max_size=6).filter(
    lambda names: len(set(names.values())) == len(names)
)


@given(LISTS, NAMES, NAMES)
def test_there_and_back(
    extras: list[Extras], metadata: dict[str, int], files: dict[str, int]
) -> None:
    names = Names(metadata, files)
    sent = enclose(extras, names)
    arrived = parse(render(sent))
    assert digest(arrived) == digest(sent)
    assert count(arrived) == count(sent)
    assert resolve(arrived, names) == extras
    assert digest(list(reversed(arrived))) == digest(sent)


@given(LISTS, NAMES, st.integers(1, 1000))
def test_names_travel_and_numbers_do_not(
    extras: list[Extras], metadata: dict[str, int], shift: int
) -> None:
    """Where the receiver has other numbers for the same names."""
    sent = enclose(extras, Names(metadata, {}))
    there = {name: (number - 1024 + shift) % 64512 + 1024 for name, number in metadata.items()}
    numbered = {number: name for name, number in metadata.items()}
    try:
        found = resolve(parse(render(sent)), Names(there, {}))
    except BadRequest:  # a bare number is what a name stands for there
        return
    for mine, theirs in zip(extras, found, strict=True):
        expected = {
            there[numbered[number]] if number in numbered else number: text
            for number, text in mine.metadata.items()
        }
        assert theirs.metadata == expected


@given(LISTS.filter(lambda extras: any(one.metadata for one in extras)), st.data())
def test_every_change_has_another_digest(extras: list[Extras], data: st.DataObject) -> None:
    sent = enclose(extras, Names({}, {}))
    document = orjson.loads(render(sent))
    item = data.draw(st.sampled_from([one for one in document["Extras"] if "Metadata" in one]))
    name = data.draw(st.sampled_from(sorted(item["Metadata"])))
    item["Metadata"][name] += "x"
    assert digest(parse(orjson.dumps(document))) != digest(sent)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["Level", "ID", "Metadata", "Labels", "Attachments"])


@given(LISTS, st.data())
def test_whatever_comes_is_taken_or_refused(extras: list[Extras], data: st.DataObject) -> None:
    document = orjson.loads(render(enclose(extras, Names({}, {}))))
    items = document["Extras"] or [{}]
    data.draw(st.sampled_from(items))[data.draw(MEMBERS)] = data.draw(JSON)
    body = orjson.dumps(data.draw(st.sampled_from([document, {"Extras": items}, items])))
    try:
        parsed = parse(body)
        resolve(parsed, Names({}, {}))
        assert digest(parse(render(parsed))) == digest(parsed)
    except WherryError as error:
        assert error.http_status in (400, 413)


@pytest.mark.parametrize("name", ["", "1023", "65536", "LastUpdate", "01024x", "٣٠٠٠", "9" * 99])
def test_a_name_that_stands_for_nothing(name: str) -> None:
    item = {"Level": "Study", "ID": "-".join(["0" * 8] * 5), "Metadata": {name: "x"}}
    with pytest.raises(WherryError) as caught:
        resolve(parse(orjson.dumps({"Extras": [item]})), Names({}, {}))
    assert caught.value.http_status == 400
