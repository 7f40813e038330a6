"""C-FIND of the Query/Retrieve service class (PS3.4 §C.4.1): what is here, at one of four levels.

Answers are made and sent portion by portion: many matches take no more memory than few, and who
cancels, or goes away, stops the search. More matches than ``LimitFindResults`` or
``LimitFindInstances`` end with the status that says so, as in Orthanc.

Not here: reading the identifier (``question``), searching (``http.searching``), data sets
(``answers``).
"""

from __future__ import annotations

from contextlib import aclosing

from wherry import limits
from wherry.dimse.answering import Sender
from wherry.dimse.answers import Answers
from wherry.dimse.question import FIND_CLASSES, Question, question
from wherry.dimse.requests import NO_SUCH_SOP_CLASS, SUCCESS, Request
from wherry.http import searching
from wherry.http.threads import in_thread
from wherry.index.search_plan import Plan
from wherry.model import Level

SOP_CLASSES = tuple(FIND_CLASSES)
"""The classes that ``find`` serves."""


async def find(request: Request) -> None:
    """Answer a C-FIND."""
    if request.command.affected_sop_class != request.context.abstract_syntax:
        await request.respond(NO_SUCH_SOP_CLASS)
        return
    asked, made = await in_thread(_prepare, request)
    if made is not None and not await _answer(request, asked, made):
        return
    await request.respond(SUCCESS)


def _prepare(request: Request) -> tuple[Question, Plan | None]:
    asked = question(request)
    return asked, searching.plan(request.rooms.config, asked.criteria)


async def _answer(request: Request, asked: Question, made: Plan) -> bool:
    """Send all answers; False when the last word was said before."""
    answers = Answers(request.rooms, asked, request.context.transfer_syntax)
    sender = Sender(request, _limit(request, asked.level))
    files = answers.look_into_files
    size = limits.SEARCH_FILES_AT_ONCE if files else limits.FIND_ANSWERS_AT_ONCE
    async with aclosing(searching.portions(request.rooms, made, size)) as portions:
        async for portion in portions:
            async with searching.turn(files):
                written = await in_thread(answers.written, [one.row for one in portion])
            if not await sender.send(written):
                return False
    return True


def _limit(request: Request, level: Level) -> int:
    """The most answers that the configuration allows; 0 = no limit."""
    config = request.rooms.config
    return config.limit_find_instances if level is Level.INSTANCE else config.limit_find_results
