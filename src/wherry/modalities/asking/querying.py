"""A query to a modality, from the question to its answers in the index.

Answers go to the index in portions while others still come, so that memory does not grow with
them. A query that fails leaves nothing.

Not here: the wire (``finding``), the rows (``index.queries``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from wherry import clock, limits
from wherry.dicom import charsets
from wherry.dicom.attributes import SPECIFIC_CHARACTER_SET, type_attributes
from wherry.dicom.plain import plain, to_stored, type_plain
from wherry.errors import NetworkProtocol, Unavailable
from wherry.index import queries
from wherry.index.database import Index, Transaction
from wherry.index.queries import Query
from wherry.modalities.asking.finding import Finder
from wherry.modalities.asking.identifiers import identifier
from wherry.modalities.asking.levels import QUERY_LEVEL, WORDS, level_of
from wherry.modalities.associations.calling import target
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.operation import type_check, wanted
from wherry.model import Level, Modality

if TYPE_CHECKING:
    from wherry.config import Config

_FIRST_GROUP = 0x0008_0000
"""What lies before is no part of a data set (PS3.5 §7.1)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a client wants to know of a modality."""

    level: str
    """As the client names it."""
    query: Mapping[int, str]
    normalize: bool = True
    local_aet: str = ""
    timeout_s: int | None = None
    """0 = for ever, None = the usual one."""


def target_of(
    config: Config, modality: Modality, local_aet: str = "", timeout_s: int | None = None
) -> Target:
    """Whom to call; the title that the modality knows us by goes before that of a client."""
    return target(config, modality, local_aet=modality.local_aet or local_aet, timeout_s=timeout_s)


def ask(
    config: Config,
    index: Index,
    modality: Modality,
    question: Question,
    check: type_check = wanted,
) -> str:
    """Ask, and keep the answers: the identifier of the query. Blocking.

    Raises ``ParameterOutOfRange``, ``BadFileFormat`` for a question that makes no sense, and what
    ``Finder`` and ``check`` raise.
    """
    level = level_of(question.level)
    sent = identifier(level, question.query, modality.manufacturer, normalize=question.normalize)
    asked = Query(
        clock.new_uuid(),
        modality.name,
        question.level,
        {f"{tag:08x}": text for tag, text in sorted(question.query.items())},
        question.local_aet,
        question.timeout_s,
        0,
    )
    called = target_of(config, modality, question.local_aet, question.timeout_s)
    with _Keeping(index, asked, config.dimse.queries) as keeping, Finder(called) as finder:
        for attributes in finder.find(level, sent, check):
            keeping.add(content(attributes, level))
    return asked.id


def content(attributes: type_attributes, level: Level) -> type_plain:
    """An answer as it is kept: with level and character set also when it does not tell them."""
    found = {tag: value for tag, value in plain(attributes).items() if tag >= _FIRST_GROUP}
    found.setdefault(QUERY_LEVEL, WORDS[level])
    found.setdefault(SPECIFIC_CHARACTER_SET, charsets.term_for("", ""))
    return dict(sorted(found.items()))


class _Keeping:
    """A query that is being written to the index. It is whole at the end of the block, and gone
    after an exception."""

    def __init__(self, index: Index, query: Query, keep: int) -> None:
        self._index = index
        self._query = query
        self._keep = keep
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        self._written = 0
        self._begun = False
        self._count = 0
        self._bytes = 0

    def __enter__(self) -> _Keeping:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write(last=True)
        elif self._begun:
            self._index.write(lambda tx: queries.remove(tx, self._query.id))

    def add(self, answer: type_plain) -> None:
        """One answer more. Raises ``NetworkProtocol`` when there are too many."""
        text = orjson.dumps(to_stored(answer)).decode()
        self._count += 1
        self._bytes += len(text)
        if self._count > limits.QUERY_ANSWERS or self._bytes > limits.QUERY_ANSWERS_BYTES:
            raise NetworkProtocol(
                f"{self._query.modality} has more answers than are kept "
                f"({limits.QUERY_ANSWERS}, or {limits.QUERY_ANSWERS_BYTES} bytes): ask for less"
            )
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._waiting_bytes >= limits.QUERY_PORTION_BYTES:
            self._write()

    def _write(self, *, last: bool = False) -> None:
        portion, first, begun = self._waiting, self._written, self._begun

        def work(tx: Transaction) -> None:
            if not begun:
                queries.begin(tx, self._query, self._keep)
            there = queries.add_answers(tx, self._query.id, first, portion)
            if last:
                there = queries.finish(tx, self._query.id, self._count)
            if not there:
                raise Unavailable("The query was forgotten before it was answered: too many others")

        self._index.write(work)
        self._begun = True
        self._written += len(portion)
        self._waiting, self._waiting_bytes = [], 0
