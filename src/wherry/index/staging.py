"""The journal of names: every file is announced before its first byte is written.

A *block* is a prefix of file names (``abcd1234-5678``). After a crash, the files of a block that
are no attachments are what is to be removed. The owner of a block is the process, or
``transfer:`` and the transfer, or ``job:`` and the job, that may commit its files; of one that
nobody may commit from any more, ``dead:`` or ``swept:`` and the epoch second when it is to be swept
for the first time or the last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from wherry.index.database import Transaction

PREFIX_LENGTH: Final = 13
"""Characters of a block."""

_ALL_RECORDS: Final = 2**62

_DEAD, _SWEPT = "dead", "swept"


def block_of(uuid: str) -> str:
    """The block that the name of a file is of."""
    return uuid[:PREFIX_LENGTH]


def open_block(tx: Transaction, prefix: str, owner: str) -> None:
    """``owner`` will write files whose names begin with ``prefix``."""
    tx.run("INSERT INTO staging_blocks (prefix, owner) VALUES (?, ?)", (prefix, owner))


def close_block(tx: Transaction, prefix: str) -> None:
    """No file of the block is left that is not attached. No error when it is closed already."""
    tx.run("DELETE FROM staging_blocks WHERE prefix = ?", (prefix,))


def blocks(tx: Transaction, owner: str) -> list[str]:
    """The open blocks of an owner."""
    rows = tx.all("SELECT prefix FROM staging_blocks WHERE owner = ? ORDER BY prefix", (owner,))
    return [row[0] for row in rows]


def owners(tx: Transaction) -> list[str]:
    """Everybody who has an open block."""
    return [row[0] for row in tx.all("SELECT DISTINCT owner FROM staging_blocks ORDER BY owner")]


def owned(tx: Transaction, prefixes: Collection[str], owner: str) -> bool:
    """Whether all these blocks are open and belong to ``owner``."""
    row = tx.one(
        "SELECT count(*) FROM staging_blocks WHERE prefix IN ? AND owner = ?",
        (list(prefixes), owner),
    )
    return row == (len(set(prefixes)),)


def note_logged(
    tx: Transaction, prefix: str, owner: str, record: int, prefixes: Collection[str] = ()
) -> bool:
    """Nothing up to this record of the log is promised any more: it is committed in this
    transaction, or given up. False when the block that stands for the log, or one of ``prefixes``,
    is not open or not its owner's."""
    changed = tx.run(
        "UPDATE staging_blocks SET logged = ? WHERE prefix = ? AND owner = ? AND"
        " (SELECT count(*) FROM staging_blocks WHERE prefix IN ? AND owner = ?) = ?",
        (record, prefix, owner, list(prefixes), owner, len(prefixes)),
    )
    return changed > 0


def secure(tx: Transaction, prefix: str) -> None:
    """Change something if anything was ``note_logged`` since the last time: a commit without
    changes would not sync those before it."""
    tx.run(
        "UPDATE staging_blocks SET secured = logged WHERE prefix = ? AND secured <> logged",
        (prefix,),
    )


def logged(tx: Transaction, prefix: str) -> int | None:
    """The last record that was ``note_logged``, whoever owns the block now; None when it is closed:
    then nothing is promised any more."""
    row = tx.one("SELECT logged FROM staging_blocks WHERE prefix = ?", (prefix,))
    return row[0] if row else None


def owner_of(tx: Transaction, prefix: str) -> str | None:
    """None: the block is closed."""
    row = tx.one("SELECT owner FROM staging_blocks WHERE prefix = ?", (prefix,))
    return row[0] if row else None


def end_promises(tx: Transaction, former_owner: str) -> None:
    """The log of this process was read to its end: whatever else is found in it was never
    answered."""
    tx.run(
        "UPDATE staging_blocks SET logged = ? WHERE former_owner = ?", (_ALL_RECORDS, former_owner)
    )


def keep_promise(tx: Transaction, prefix: str, record: int) -> bool:
    """What this record promises is committed in this transaction, or never will be; False when
    that was so already."""
    changed = tx.run(
        "UPDATE staging_blocks SET logged = ? WHERE prefix = ? AND logged < ?",
        (record, prefix, record),
    )
    return changed > 0


def ownerless(tx: Transaction) -> list[str]:
    """Processes that own blocks, and are no more."""
    rows = tx.all(
        "SELECT DISTINCT owner FROM staging_blocks WHERE owner NOT LIKE '%:%'"
        " AND owner NOT IN (SELECT id FROM processes)"
    )
    return [row[0] for row in rows]


def seize(tx: Transaction, owners: Collection[str], at: float) -> None:
    """Nobody may commit a file of their blocks any more; these are to be swept from that epoch
    second on."""
    tx.run(
        "UPDATE staging_blocks SET former_owner = owner, owner = ? WHERE owner IN ?",
        (f"{_DEAD}:{int(at)}", list(owners)),
    )


def abandon(tx: Transaction, prefix: str, at: float) -> None:
    """The same of one block."""
    tx.run("UPDATE staging_blocks SET owner = ? WHERE prefix = ?", (f"{_DEAD}:{int(at)}", prefix))


class Sweep(NamedTuple):
    """A block that is to be swept."""

    prefix: str
    last: bool
    """Whether it is for the last time."""
    former_owner: str


def to_sweep(tx: Transaction, now: float) -> list[Sweep]:
    """The blocks that are due."""
    rows = tx.all(
        "SELECT prefix, owner, former_owner FROM staging_blocks WHERE owner LIKE ? OR owner LIKE ?",
        (f"{_DEAD}:%", f"{_SWEPT}:%"),
    )
    found = [(Sweep(prefix, False, former), *owner.split(":")) for prefix, owner, former in rows]
    return [block._replace(last=kind == _SWEPT) for block, kind, at in found if float(at) <= now]


def sweep_again(tx: Transaction, prefix: str, at: float) -> None:
    """A block was swept, and will be for the last time from that epoch second on."""
    tx.run("UPDATE staging_blocks SET owner = ? WHERE prefix = ?", (f"{_SWEPT}:{int(at)}", prefix))


def awaited(tx: Transaction, uuids: Collection[str]) -> set[str]:
    """Those of these files that are attached, or that a transfer or a job may still rely on."""
    rows = tx.all(
        "SELECT prefix FROM staging_blocks WHERE prefix IN ?"
        " AND (owner LIKE 'transfer:%' OR owner LIKE 'job:%')",
        (list({block_of(uuid) for uuid in uuids}),),
    )
    prefixes = {row[0] for row in rows}
    return attached(tx, uuids) | {uuid for uuid in uuids if block_of(uuid) in prefixes}


def attached(tx: Transaction, uuids: Collection[str]) -> set[str]:
    """Those of these files that are attachments of a resource or outputs of a job."""
    names = list(uuids)
    return {
        row[0]
        for table in ("attachments", "job_outputs")
        for row in tx.all(f"SELECT uuid FROM {table} WHERE uuid IN ?", (names,))
    }
