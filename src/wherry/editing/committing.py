"""What a finished edit writes, in the transaction that makes it visible.

What happened to the sources meanwhile is never lost. An instance that came later stays where it is,
unedited; one that was replaced by another file stays too, and the result holds what was edited. An
instance that is edited in place must still be the one that was read: else all is done anew.

Not here: the new instances (``ingest``), the end of the job (``run``).
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.editing.order import EditOrder
from wherry.editing.outcome import Pair, changed
from wherry.errors import CannotStoreInstance
from wherry.index import editing
from wherry.index.database import Transaction
from wherry.model import Level

_MODIFIED_FROM, _ANONYMIZED_FROM = 5, 6

type_labels = dict[Level, dict[str, set[str]]]
"""Level → resource → its labels."""


class Meanwhile(Exception):
    """Undoes a commit: somebody has changed what it relies on."""


def storable(
    tx: Transaction, order: EditOrder, pairs: Sequence[Pair], *, overwrite: bool
) -> list[int]:
    """Places of the pairs that may be stored: what is there already must be the source itself, or
    made from it by an earlier job, unless it may be overwritten.

    Raises ``Meanwhile``, and ``CannotStoreInstance`` when the order is not permissive.
    """
    known = editing.known(tx, [pair.target for pair in pairs])
    kept: list[int] = []
    taken: set[str] = set()
    for place, pair in enumerate(pairs):
        there, source = known.get(pair.target), pair.source
        if pair.in_place and (there is None or there.uuid != source.file.uuid):
            raise Meanwhile
        origin = source.identifiers.instance
        free = there is None or pair.in_place or origin in there.made_from
        if overwrite or (free and pair.target not in taken):
            kept.append(place)
            taken.add(pair.target)
        elif not order.permissive:
            raise CannotStoreInstance(f"Error while storing a modified instance {origin}")
    return kept


def labels_to_keep(tx: Transaction, order: EditOrder, pairs: Sequence[Pair]) -> type_labels:
    """The labels that the new resources get; to be asked before the sources make room for them."""
    found: type_labels = {}
    if not order.keep_labels:
        return found
    for level in Level:
        both = {pair.at(level) for pair in pairs}
        moving = [one for one in both if one[0] != one[1] or level is Level.INSTANCE]
        known = editing.labels_of(tx, level, {source for source, _ in moving})
        of_level = found.setdefault(level, {})
        for source, target in moving:
            if source in known:
                of_level.setdefault(target, set()).update(known[source])
    return found


def finish(tx: Transaction, order: EditOrder, pairs: Sequence[Pair], labels: type_labels) -> None:
    """What belongs to the new instances, and the end of the sources, if that is wanted."""
    number = _ANONYMIZED_FROM if order.anonymize else _MODIFIED_FROM
    if order.notes_origins:
        for level in Level:
            editing.note_origins(tx, number, level, changed(pairs, level))
    for level, of_level in labels.items():
        editing.put_labels(tx, level, of_level)
    if not order.keep_source:
        sources = [(pair.source.identifiers.instance, pair.source.file.uuid) for pair in pairs]
        editing.remove_unchanged(tx, sources)
