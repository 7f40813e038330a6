"""Room for what arrives: bounds on the store, and which patients go when it is full.

The patient goes first to whom nothing was added for the longest time, and that was not unprotected
since. Whole patients go; never a protected one, nor one that is being added to. All of it happens
in the transaction that needs the room, so two processes never recycle for the same instance.

Not here: the removal itself (``removing``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from wherry import clock
from wherry.errors import NoRoom, UnknownResource
from wherry.index import removing, totals
from wherry.index.database import Transaction
from wherry.index.related import chain
from wherry.model import Attachment, Level

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a store may hold; 0 = without limit."""

    maximum_bytes: int = 0
    """Of all files, as they lie on disk."""
    maximum_patients: int = 0
    recycle: bool = True
    """False: what does not fit is refused."""


def surely_fits(tx: Transaction, bounds: Bounds, size: int, patients: int) -> bool:
    """Whether ``size`` bytes of at most ``patients`` new patients fit without recycling."""
    missing = _missing(tx, bounds, size, patients)
    return missing[0] <= 0 and missing[1] <= 0


def make_room(tx: Transaction, bounds: Bounds, size: int, patients: Collection[str]) -> None:
    """Recycle until ``size`` more bytes of these patients (identifiers) fit.

    Raises ``NoRoom`` when that cannot be, and has removed nothing then.
    """
    if surely_fits(tx, bounds, size, len(patients)):
        return
    rows = tx.all("SELECT id FROM patients WHERE orthanc_id IN ?", (list(patients),))
    present = frozenset(row[0] for row in rows)
    too_large, too_many = _missing(tx, bounds, size, len(patients) - len(present))
    if too_large <= 0 and too_many <= 0:
        return
    if not bounds.recycle:
        raise NoRoom("The storage area is full, and nothing is recycled (MaximumStorageMode)")
    going = []
    for orthanc_id, freed in _oldest(tx, present, measured=bool(bounds.maximum_bytes)):
        going.append(orthanc_id)
        too_large -= freed
        too_many -= 1
        if too_large <= 0 and too_many <= 0:
            removing.delete_many(tx, going)
            return
    raise NoRoom("Cannot recycle more patients")


def make_room_beside(
    tx: Transaction, bounds: Bounds, level: Level, orthanc_id: str, attachment: Attachment
) -> None:
    """``make_room`` for a file that is put beside a resource, perhaps in place of another."""
    found = tx.one(
        f"SELECT l1.orthanc_id, a.compressed_size FROM {chain(Level.PATIENT, level)}"
        f" LEFT JOIN attachments a ON a.resource = l{level:d}.id AND a.content_type = ?"
        f" WHERE l{level:d}.orthanc_id = ?",
        (attachment.content_type, orthanc_id),
    )
    if found is not None:  # else whoever puts it there will say so
        make_room(tx, bounds, attachment.compressed_size - int(found[1] or 0), [found[0]])


def is_protected(tx: Transaction, orthanc_id: str) -> bool:
    """Whether a patient is kept from recycling. Raises ``UnknownResource``."""
    row = tx.one("SELECT protected FROM patients WHERE orthanc_id = ?", (orthanc_id,))
    if row is None:
        raise UnknownResource
    return bool(row[0])


def protect(tx: Transaction, orthanc_id: str, protected: bool) -> None:
    """Keep a patient from recycling, or end that: then it counts as the newest of all.

    Raises ``UnknownResource``.
    """
    if is_protected(tx, orthanc_id) is not protected:
        tx.run(
            "UPDATE patients SET protected = ?, unprotected_at = ? WHERE orthanc_id = ?",
            (int(protected), clock.timestamp(), orthanc_id),
        )


def _missing(tx: Transaction, bounds: Bounds, size: int, patients: int) -> tuple[int, int]:
    """Bytes and patients that would be above the bounds."""
    now = totals.load(tx)
    return (
        now.disk_bytes + size - bounds.maximum_bytes if bounds.maximum_bytes else 0,
        now.patients + patients - bounds.maximum_patients if bounds.maximum_patients else 0,
    )


def _oldest(tx: Transaction, kept: Collection[int], *, measured: bool) -> Iterator[tuple[str, int]]:
    """Patients that may go, the oldest first, and their bytes (0 unless ``measured``).

    ``unprotected_at`` is a lower bound of the time that counts; bounds that prove too low are
    raised on the way (see the schema), each at most once for every addition to its patient.
    """
    after = (-1.0, 0)
    while True:
        rows = tx.all(
            "SELECT p.unprotected_at, p.id, p.orthanc_id, a.updated_at FROM patients p"
            " JOIN activity a ON a.resource = p.id"
            " WHERE p.protected = 0 AND (p.unprotected_at, p.id) > (?, ?)"
            f" ORDER BY p.unprotected_at, p.id LIMIT {_AT_ONCE}",
            after,
        )
        if not rows:
            return
        low = [(at, row) for bound, row, _, at in rows if at > bound]
        if low:
            tx.many("UPDATE patients SET unprotected_at = ? WHERE id = ?", low)
            continue
        sizes = _sizes(tx, [row[1] for row in rows]) if measured else {}
        for _, row, orthanc_id, _ in rows:
            if row not in kept:
                yield orthanc_id, sizes.get(row, 0)
        after = (rows[-1][0], rows[-1][1])


def _sizes(tx: Transaction, patients: list[int]) -> dict[int, int]:
    """Bytes of the files of patients (rows), of all levels."""
    found: dict[int, int] = {}
    chain, last = "patients l1", "l1"
    for level in Level:
        if level > Level.PATIENT:
            chain += f" JOIN {level.plural} l{level:d} ON l{level:d}.parent = {last}.id"
            last = f"l{level:d}"
        for row, size in tx.all(
            f"SELECT l1.id, sum(a.compressed_size) FROM {chain}"
            f" JOIN attachments a ON a.resource = {last}.id WHERE l1.id IN ? GROUP BY l1.id",
            (patients,),
        ):
            found[row] = found.get(row, 0) + int(size)
    return found
