"""Searches that SQL alone cannot answer: values are looked at one by one, some in stored files.

What: the rows that SQL finds go through the checks in small portions, each in a turn of a worker
thread with a snapshot of its own. Why: such a search may take minutes. So it holds nothing
but row numbers and matches, others get their turn between two portions, and it ends when its
client has gone.

Of a patient, study or series one file is looked at, that of its first instance, as Orthanc does.

Not here: the checks (``index.search_plan``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from weakref import WeakKeyDictionary

from starlette.requests import ClientDisconnect, Request

from wherry import limits
from wherry.dicom import select
from wherry.errors import BadFileFormat, MissingFile, ParameterOutOfRange
from wherry.http.services import Services
from wherry.http.threads import in_thread
from wherry.index import search
from wherry.index.search import Candidate
from wherry.index.search_plan import Plan
from wherry.model import Attachment
from wherry.rest.stored import mapped

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def matches(request: Request, rooms: Services, plan: Plan, wanted: int) -> list[str]:
    """Identifiers of the first ``wanted`` matches (0: all), sorted.

    Raises ``ParameterOutOfRange`` when more than ``limits.SEARCH_FILES`` files would have to be
    looked into, ``ClientDisconnect`` when nobody waits any more.
    """
    found: list[str] = []
    rows: list[int] = []
    done = opened = 0
    size = limits.SEARCH_FILES_AT_ONCE if plan.needs_files else limits.INDEX_ROWS_AT_ONCE
    while rows := await in_thread(_candidates, rooms, plan, rows, done):
        done += len(rows)
        for start in range(0, len(rows), size):
            portion = rows[start : start + size]
            async with _turn() if plan.needs_files else nullcontext():
                passed, files = await in_thread(_sift, rooms, plan, portion)
            found += passed
            opened += files
            if wanted and len(found) >= wanted:
                return found[:wanted]
            if opened > limits.SEARCH_FILES:
                raise ParameterOutOfRange(
                    f"The search would look into more than {limits.SEARCH_FILES} files: narrow it"
                    " by a tag of the index"
                )
            if await request.is_disconnected():
                raise ClientDisconnect
        if len(rows) < limits.SEARCH_ROWS:
            break
    return found


def _turn() -> asyncio.Semaphore:
    """Lets ``limits.SEARCHES_IN_FILES`` searches of this event loop occupy a thread."""
    return _turns.setdefault(
        asyncio.get_running_loop(), asyncio.Semaphore(limits.SEARCHES_IN_FILES)
    )


def _candidates(rooms: Services, plan: Plan, before: Sequence[int], skip: int) -> list[int]:
    with rooms.index.read() as tx:
        return search.candidates(tx, plan, before, skip)


def _sift(rooms: Services, plan: Plan, rows: Sequence[int]) -> tuple[list[str], int]:
    """The matches among ``rows``, and how many files were opened for them."""
    with rooms.index.read() as tx:
        passed = search.sift(tx, plan, rows)
        pending = [one.row for one in passed if one.pending]
        files = search.files_to_look_into(tx, plan.level, pending) if pending else {}
    matching = [
        one.orthanc_id
        for one in passed
        if not one.pending or (one.row in files and _decide(rooms, one, files[one.row]))
    ]
    return matching, len(files)


def _decide(rooms: Services, one: Candidate, file: Attachment) -> bool:
    """Whether the file holds what the index could not tell."""
    tags = {check.tag for check in one.pending}
    try:
        with mapped(rooms, file) as data:
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
