"""Searches whose candidates are looked at one by one, some in stored files: for every face.

What: the rows that SQL finds go through the checks in small portions, each in a turn of a worker
thread with a snapshot of its own. Why: such a search may take minutes. So it holds nothing
but row numbers, others get their turn between two portions, and whoever asked may stop it there.

Of a patient, study or series one file is looked at, that of its first instance, as Orthanc does.

Not here: the checks (``index.checks``), what becomes of the matches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from wherry import limits
from wherry.dicom import select
from wherry.errors import BadFileFormat, MissingFile, ParameterOutOfRange
from wherry.http.threads import in_thread
from wherry.index import search, search_planning
from wherry.index.search import Candidate
from wherry.index.search_plan import Plan
from wherry.index.search_terms import Criteria
from wherry.model import Attachment
from wherry.storage.content import mapped

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.http.services import Services

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def plan(config: Config, criteria: Criteria) -> Plan | None:
    """How to search; None when nothing can match, also because only files could tell and
    ``StorageAccessOnFind`` forbids to look into them. Raises as ``search_planning.plan``."""
    made = search_planning.plan(criteria)
    if made is None or config.storage_access_on_find == "Always":
        return made
    if any(not check.metadata and not check.column for check in made.checks):
        return None
    made.trust_index()
    return made


async def portions(
    rooms: Services, made: Plan, size: int = limits.INDEX_ROWS_AT_ONCE
) -> AsyncGenerator[list[Candidate], None]:
    """The matches, portion by portion; each comes of ``size`` candidates, or fewer when files are
    looked into, and may be empty.

    Raises ``ParameterOutOfRange`` when more than ``limits.SEARCH_FILES`` files would have to be
    looked into.
    """
    rows: list[int] = []
    done = opened = 0
    if made.needs_files:
        size = min(size, limits.SEARCH_FILES_AT_ONCE)
    while rows := await in_thread(_candidates, rooms, made, rows, done):
        done += len(rows)
        for start in range(0, len(rows), size):
            async with turn(made.needs_files):
                passed, files = await in_thread(_sift, rooms, made, rows[start : start + size])
            yield passed
            opened += files
            if opened > limits.SEARCH_FILES:
                raise ParameterOutOfRange(
                    f"The search would look into more than {limits.SEARCH_FILES} files: narrow it"
                    " by a tag of the index"
                )
        if len(rows) < limits.SEARCH_ROWS:
            break


def turn(needs_files: bool) -> AbstractAsyncContextManager[None]:
    """Lets ``limits.SEARCHES_IN_FILES`` searches of this event loop occupy a thread with files."""
    if not needs_files:
        return nullcontext()
    return _turns.setdefault(
        asyncio.get_running_loop(), asyncio.Semaphore(limits.SEARCHES_IN_FILES)
    )


def _candidates(rooms: Services, made: Plan, before: Sequence[int], skip: int) -> list[int]:
    with rooms.index.read() as tx:
        return search.candidates(tx, made, before, skip)


def _sift(rooms: Services, made: Plan, rows: Sequence[int]) -> tuple[list[Candidate], int]:
    """The matches among ``rows``, and how many files were opened for them."""
    if not made.checks:
        return [Candidate(row) for row in rows], 0
    with rooms.index.read() as tx:
        passed = search.sift(tx, made, rows)
        pending = [one.row for one in passed if one.pending]
        files = search.files_to_look_into(tx, made.level, pending) if pending else {}
    matching = [
        one
        for one in passed
        if not one.pending or (one.row in files and _decide(rooms, one, files[one.row]))
    ]
    return matching, len(files)


def _decide(rooms: Services, one: Candidate, file: Attachment) -> bool:
    """Whether the file holds what the index could not tell."""
    tags = {check.tag for check in one.pending}
    try:
        with mapped(rooms.storage, file) as data:
            values = select.values(data, tags)
    except BadFileFormat:
        return False  # stored long ago by something more tolerant: it has no tags that we can read
    except MissingFile:
        if _is_gone(rooms, file):
            return False
        raise
    # A sequence, or bytes, are there without having a text.
    return all(
        check.tag in values
        and check.passes(values[check.tag] if values[check.tag] is not None else ())
        for check in one.pending
    )


def _is_gone(rooms: Services, file: Attachment) -> bool:
    """Whether the instance was deleted while we searched."""
    with rooms.index.read() as tx:
        return not search.is_attached(tx, file.uuid)
