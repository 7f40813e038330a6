"""What an edit is made of: the order that a job keeps, names of files, the test double."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.support.dicom_files import make_instance
from tests.support.editing import LittleEditor, order_of
from wherry.dicom.editing.rules import rules_of
from wherry.editing.making import name_of
from wherry.editing.order import SPLIT, from_parameters
from wherry.editing.seeds import Seed, draw_seed
from wherry.errors import Conflict
from wherry.index.database import Index
from wherry.model import Level


def test_an_order_is_kept_as_it_was() -> None:
    order = order_of(
        "a",
        "b",
        level=Level.SERIES,
        type=SPLIT,
        anonymize=True,
        keep_source=False,
        keep_labels=True,
        permissive=True,
        transcode="1.2",
        quality=80,
        remote_ip="::1",
        username="u",
        target_study="t",
        target_uid="2.25.1",
    )
    assert from_parameters(order.parameters()) == order
    assert from_parameters(replace(order, level=None).parameters()) == replace(order, level=None)


@pytest.mark.parametrize("now", ["", "another secret, also a long one"])
def test_a_secret_that_has_changed(index: Index, now: str) -> None:
    """With none, anybody could make the same identifiers."""
    secret = "a secret of more than 24 characters"
    rules = rules_of({}, None, anonymize=True, default_profile="2008")
    seed = draw_seed(index, secret, rules)
    assert secret not in str(seed.document())
    kept = Seed.from_document(seed.document())
    assert kept.pseudonyms(secret).uid("1.2") == seed.pseudonyms(secret).uid("1.2")
    with pytest.raises(Conflict):
        kept.pseudonyms(now)


def test_names_of_files() -> None:
    """UUIDs that begin with the block, of which none is like another."""
    block = "0123abcd-4567"
    names = {name_of(block, run, place) for run in ("a", "b") for place in range(100)}
    assert len(names) == 200
    pattern = re.compile(r"0123abcd-4567-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(map(pattern.fullmatch, names))
    assert name_of(block, "a", 7) in names


def test_the_double_does_what_it_says() -> None:
    """Else the others show nothing."""
    edit = LittleEditor().of(order_of("x"))
    edited = edit(memoryview(make_instance()))
    data = b"".join(edited.pieces())
    assert len(data) == edited.size
    assert b"edited" in data
