"""Which items of a worklist are meant by a query, step by step (PS3.4 §K.6.1.2).

What a modality hears of is one scheduled procedure step at a time: an item with several of them
is several candidates, each with one.

Not here: reading the query, what of a match is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from wherry import limits
from wherry.dicom.attributes import Attribute, type_attributes
from wherry.index.checks import ItemCheck
from wherry.worklists.item import Item

STEPS: Final = 0x00400100
"""ScheduledProcedureStepSequence."""
_STEPS: Final = "0040,0100"


def matches(
    items: Iterable[Item], wanted: ItemCheck, *, by_step: bool = True
) -> Iterator[type_attributes]:
    """The data sets that match, each with at most one step; ``by_step``: the query speaks of
    steps, otherwise an item is answered once."""
    for item in items:
        steps = item.attributes.get(STEPS)
        alone = steps is None or not isinstance(steps.value, tuple) or len(steps.value) < 2
        if alone or not by_step:
            if wanted.passes(item.values):
                yield item.attributes
            continue
        assert steps is not None and isinstance(steps.value, tuple)
        shown = zip(steps.value, item.values[_STEPS], strict=True)
        for number, (step, values) in enumerate(shown):
            if number >= limits.WORKLIST_STEPS:
                break
            if wanted.passes({**item.values, _STEPS: [values]}):
                yield {**item.attributes, STEPS: Attribute("SQ", (step,))}
