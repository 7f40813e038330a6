"""Which presentation contexts are proposed for a C-GET."""

from __future__ import annotations

from collections import Counter

import pytest

from wherry import limits
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.uids import TRANSFER_SYNTAXES, storage_classes
from wherry.modalities.retrieving import proposals
from wherry.modalities.retrieving.proposals import storage_proposals

ALL = list(storage_classes())
CT, MR, SR = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "88.11"))
ROOM = limits.PRESENTATION_CONTEXTS - 1


def test_every_class_that_is_named_is_one() -> None:
    named = (*proposals._FREQUENT, *proposals._WITHOUT_IMAGES, *proposals._IMAGES)
    assert set(named) - set(ALL) == set()
    assert len(set(named)) == len(named)


def test_when_nobody_knows_what_is_to_come() -> None:
    found = storage_proposals([], ALL, TRANSFER_SYNTAXES)
    assert len(found) == ROOM
    counts = Counter(sop_class for sop_class, _ in found)
    assert counts[CT] == counts[MR] == 4
    assert counts[SR] == 1
    assert len(counts) == ROOM - 3 * len(proposals._FREQUENT)
    of_ct = [syntaxes for sop_class, syntaxes in found if sop_class == CT]
    assert sorted(one for some in of_ct for one in some) == sorted(TRANSFER_SYNTAXES)
    assert of_ct[0][:2] == (EXPLICIT, IMPLICIT)
    assert dict(found)[SR] == proposals._NATIVE


@pytest.mark.parametrize("count", [1, 3, 5, 7, 40, 126])
def test_what_is_to_come_gets_all_the_room(count: int) -> None:
    classes = ALL[:count]
    found = storage_proposals(classes, ALL, TRANSFER_SYNTAXES)
    assert len(found) <= ROOM
    assert list(dict.fromkeys(sop_class for sop_class, _ in found)) == classes
    for one in classes:
        of_one = [syntaxes for sop_class, syntaxes in found if sop_class == one]
        assert len(of_one) == min(len(TRANSFER_SYNTAXES), ROOM // count)
        assert sorted(s for some in of_one for s in some) == sorted(TRANSFER_SYNTAXES)
        assert all(len(some) == 1 for some in of_one[:-1])
        if len(of_one) > 1:
            assert of_one[0] == (EXPLICIT,)


def test_more_classes_than_there_is_room_for() -> None:
    found = storage_proposals(ALL, ALL, TRANSFER_SYNTAXES)
    assert [sop_class for sop_class, _ in found] == ALL[:ROOM]


def test_what_is_not_taken_is_not_proposed() -> None:
    some = [EXPLICIT, "1.2.840.10008.1.2.4.90"]
    assert storage_proposals([CT, MR], [MR], some) == [(MR, (one,)) for one in some]
    found = storage_proposals([], [CT, SR], some)
    assert found == [(CT, (EXPLICIT,)), (CT, ("1.2.840.10008.1.2.4.90",)), (SR, (EXPLICIT,))]
    assert storage_proposals([CT], [], some) == []
    assert storage_proposals([], ALL, []) == []


def test_a_class_that_is_told_twice() -> None:
    assert storage_proposals([CT, CT], ALL, [EXPLICIT]) == [(CT, (EXPLICIT,))]
