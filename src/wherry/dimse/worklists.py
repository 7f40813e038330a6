"""C-FIND of the modality worklist (PS3.4 Annex K): what is scheduled for whom, and where.

Not here: the items and matching them (``wherry.worklists``), the identifier (``identifier``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wherry.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    Attribute,
    read,
    type_attributes,
    vr_of,
    write,
)
from wherry.dicom.charsets import term_for
from wherry.dimse.answering import Sender
from wherry.dimse.identifier import QUERY_RETRIEVE_LEVEL, project, spelt, terms_of
from wherry.dimse.requests import NO_SUCH_SOP_CLASS, SUCCESS, Request
from wherry.http.threads import in_thread
from wherry.index.checks import Check, ItemCheck, item_check, patterns_of
from wherry.index.search_terms import Criteria
from wherry.model import Level
from wherry.worklists.item import Item, texts
from wherry.worklists.matching import STEPS, matches

if TYPE_CHECKING:
    from wherry.config import Config

WORKLIST_CLASS: Final = "1.2.840.10008.5.1.4.31"

_STATION_AE_TITLE: Final = "0040,0001"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a query asks."""

    keys: type_attributes
    """What is answered, beside the character set."""
    check: ItemCheck
    by_step: bool
    """Whether something is asked of scheduled steps."""
    character_set: str


async def find_worklist(request: Request) -> None:
    """Answer a C-FIND."""
    if request.command.affected_sop_class != request.context.abstract_syntax:
        await request.respond(NO_SUCH_SOP_CLASS)
        return
    wanted = await in_thread(_wanted, request)
    sender = Sender(request, request.rooms.config.worklists.limit_answers)
    pages = request.rooms.worklists.pages()
    while (written := await in_thread(_next, request, pages, wanted)) is not None:
        if not await sender.send(written):
            return
    await request.respond(SUCCESS)


def _wanted(request: Request) -> _Wanted:
    keys = read(request.data_set, request.context.transfer_syntax)
    criteria = _manner(request.rooms.config)
    check = item_check(criteria, terms_of(keys))
    if request.rooms.config.worklists.filter_issuer_aet:
        check = ItemCheck((*check.checks, _scheduled_for(criteria, request.caller.calling)))
    answered = {
        tag: key if key.vr != "UN" else Attribute(vr_of(tag), key.value)
        for tag, key in keys.items()
        if tag not in (SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL)
    }
    declared = keys.get(SPECIFIC_CHARACTER_SET, Attribute("CS", ""))
    by_step = any(one.tag == spelt(STEPS) for one in check.checks) or STEPS in keys
    return _Wanted(answered, check, by_step, declared.text)


def _manner(config: Config) -> Criteria:
    """How texts are compared."""
    return Criteria(Level.STUDY, case_sensitive=config.case_sensitive_pn, dicom=True)


def _scheduled_for(criteria: Criteria, title: str) -> Check:
    """A step at the station that asks."""
    patterns = patterns_of(criteria, _STATION_AE_TITLE, title, str)
    step = Check(_STATION_AE_TITLE, patterns, str, several=True)
    return Check(spelt(STEPS), [], str, items=ItemCheck((step,)))


def _next(request: Request, pages: Iterator[list[Item]], wanted: _Wanted) -> list[bytes] | None:
    """The answers of the next items; None when there are no more."""
    items = next(pages, None)
    if items is None:
        return None
    return [
        _written(request, wanted, found)
        for found in matches(items, wanted.check, by_step=wanted.by_step)
    ]


def _written(request: Request, wanted: _Wanted, found: type_attributes) -> bytes:
    answer = project(wanted.keys, found)
    term = term_for("".join(texts(answer)), "", wanted.character_set)
    answer[SPECIFIC_CHARACTER_SET] = Attribute("CS", term)
    return write(answer, request.context.transfer_syntax)
