"""Files on their way from one store to another.

A copy is announced before its first byte is written, like every file. One transaction then gives
the attachment its new place and the old copy to the journal of deletions; whoever comes between,
a deletion or a replacement, wins, and the new copy goes. A file has one mover at a time.

Not here: the bytes (``storage.moving``), which files move (``wherry.moving``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from wherry import clock, limits
from wherry.index import deletions
from wherry.index.database import Transaction
from wherry.index.related import FILE, chain
from wherry.model import Attachment, Level

ANYWHERE: Final = "*"
"""The place of a file of which nothing is recorded (``storage.base``)."""

_MOVING: Final = "moving_files"


class Move(NamedTuple):
    """One file on its way."""

    uuid: str
    place: str
    target: str


class StoredForm(NamedTuple):
    """Files that have place and compression in common."""

    place: str
    compression: int
    files: int
    stored_bytes: int
    plain_bytes: int


def rows_below(tx: Transaction, level: Level, ids: Collection[str]) -> list[int]:
    """The rows of these resources of one level, and of all that is below them."""
    return [
        row[0]
        for at in range(level, Level.INSTANCE + 1)
        for row in tx.all(
            f"SELECT l{at}.id FROM {chain(level, Level(at))} WHERE l{level:d}.orthanc_id IN ?",
            (list(ids),),
        )
    ]


def studies_of(tx: Transaction, level: Level, ids: Collection[str]) -> list[int]:
    """The rows of the studies that these resources are in, or hold."""
    top, bottom = min(level, Level.STUDY), max(level, Level.STUDY)
    return [
        row[0]
        for row in tx.all(
            f"SELECT DISTINCT l2.id FROM {chain(top, bottom)} WHERE l{level:d}.orthanc_id IN ?",
            (list(ids),),
        )
    ]


def files_of(tx: Transaction, rows: Collection[int]) -> list[Attachment]:
    """All files of these resources (rows), in a settled order."""
    return [
        Attachment(*row)
        for row in tx.all(
            f"SELECT {FILE} FROM attachments a WHERE a.resource IN ?"
            " ORDER BY a.resource, a.content_type",
            (list(rows),),
        )
    ]


def forms_below(tx: Transaction, rows: Sequence[int]) -> list[StoredForm]:
    """How the files of these resources (rows) are stored, by place and compression."""
    found: dict[tuple[str, int], StoredForm] = {}
    for start in range(0, len(rows), limits.INDEX_ROWS_AT_ONCE):
        for place, compression, *sums in tx.all(
            "SELECT place, compression, count(*), sum(compressed_size), sum(uncompressed_size)"
            " FROM attachments WHERE resource IN ? GROUP BY place, compression",
            (list(rows[start : start + limits.INDEX_ROWS_AT_ONCE]),),
        ):
            before = found.get((place, compression), (place, compression, 0, 0, 0))
            counts = [int(have) + int(more) for have, more in zip(before[2:], sums, strict=True)]
            found[place, compression] = StoredForm(place, compression, *counts)
    return [found[key] for key in sorted(found)]


def place_of(tx: Transaction, uuid: str) -> str | None:
    """Where a file is now, of a resource or of a job; None when the index does not know it."""
    for table in ("attachments", "job_outputs"):
        row = tx.one(f"SELECT place FROM {table} WHERE uuid = ?", (uuid,))
        if row is not None:
            return str(row[0])
    return None


def record(tx: Transaction, uuid: str, place: str) -> None:
    """A file of which nothing was recorded is here."""
    tx.run("UPDATE attachments SET place = ? WHERE uuid = ? AND place = ?", (place, uuid, ANYWHERE))


def new_run(job: str) -> str:
    """The name of one run of a job. An earlier one may go on for a while, of the same process too
    when that was taken for dead and came back: neither may have the copies of the other."""
    return f"{job}/{clock.random_hex(16)}"


def begin(tx: Transaction, owner: str, run: str, wanted: Sequence[Move]) -> list[Move]:
    """Announce copies that a run (``new_run``) of the process ``owner`` will make; those that it
    may make now. Of the others the file is somewhere else by now
    (then it is not in the attachments any more with this place), somebody else moves it, or an
    earlier copy at the target has still to be removed."""
    uuids = [move.uuid for move in wanted]
    places = dict(tx.all("SELECT uuid, place FROM attachments WHERE uuid IN ?", (uuids,)))
    busy = {row[0] for row in tx.all("SELECT uuid FROM moving_files WHERE uuid IN ?", (uuids,))}
    doomed = set(tx.all("SELECT uuid, place FROM deleted_files WHERE uuid IN ?", (uuids,)))
    begun = [
        move
        for move in wanted
        if places.get(move.uuid) == move.place
        and move.uuid not in busy
        and (move.uuid, move.target) not in doomed
    ]
    columns = ("uuid", "target", "owner", "job")
    tx.insert(_MOVING, columns, [(move.uuid, move.target, owner, run) for move in begun])
    return begun


def finish(tx: Transaction, run: str, moves: Iterable[Move]) -> list[Move]:
    """The copies are safe: from now on they count, and the old ones go. Of a file that is no more
    what it was, the copy goes. Those that were moved."""
    done = []
    for move in moves:
        if not _let_go(tx, run, move):
            continue
        moved = tx.run(
            "UPDATE attachments SET place = ? WHERE uuid = ? AND place = ?",
            (move.target, move.uuid, move.place),
        )
        if moved:
            done.append(move)
        deletions.add(tx, [(move.uuid, move.place if moved else move.target)])
    return done


def give_up(tx: Transaction, run: str, moves: Iterable[Move]) -> None:
    """These copies are not wanted, or were never made: what there is of them goes."""
    deletions.add(tx, [(move.uuid, move.target) for move in moves if _let_go(tx, run, move)])


def left_behind(tx: Transaction, dead: Collection[str]) -> list[deletions.type_file]:
    """Name and target of what dead processes, and those that are gone, were copying."""
    rows = tx.all(
        "SELECT uuid, target FROM moving_files"
        " WHERE owner IN ? OR owner NOT IN (SELECT id FROM processes)",
        (list(dead),),
    )
    return [(uuid, target) for uuid, target in rows]


def give_up_all(tx: Transaction, job: str) -> int:
    """What any run of this job was copying goes; how many copies that may be."""
    found = tx.all(
        "SELECT uuid, target FROM moving_files WHERE job = ? OR job LIKE ?", (job, f"{job}/%")
    )
    return _drop(tx, found)


def take_over(tx: Transaction, dead: Collection[str]) -> int:
    """These copies go; how many that may be. None of them counts: one that does is not on its way
    any more."""
    return _drop(tx, left_behind(tx, dead))


def _drop(tx: Transaction, copies: Collection[deletions.type_file]) -> int:
    deletions.add(tx, copies)
    tx.run("DELETE FROM moving_files WHERE uuid IN ?", ([uuid for uuid, _ in copies],))
    return len(copies)


def _let_go(tx: Transaction, run: str, move: Move) -> bool:
    """Whether the copy was still this run's: a process that was taken for dead has lost it. Then
    what it has written since goes too, unless somebody else answers for the same place."""
    mine = "DELETE FROM moving_files WHERE uuid = ? AND target = ? AND job = ?"
    if tx.run(mine, (move.uuid, move.target, run)):
        return True
    others = tx.one(
        "SELECT 1 FROM moving_files WHERE uuid = ? AND target = ?", (move.uuid, move.target)
    )
    if others is None and place_of(tx, move.uuid) not in (move.target, ANYWHERE):
        deletions.add(tx, [(move.uuid, move.target)])
    return False
