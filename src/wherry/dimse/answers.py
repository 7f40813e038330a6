"""The answers to a C-FIND: data sets for rows of the index, written in the syntax of the caller.

Each answer holds what was asked, empty where there is nothing, and says where it can be retrieved
from (PS3.4 §C.4.1.1.3.2). Texts are in the encoding that the server assumes (``DefaultEncoding``),
as Orthanc answers; those that it cannot write in the one of the query, otherwise in UTF-8.

Not here: which rows match (``http.searching``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from wherry.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    Attribute,
    chosen,
    new_attribute,
    type_attributes,
    vr_of,
    write,
)
from wherry.dicom.charsets import term_for
from wherry.dimse.identifier import QUERY_RETRIEVE_LEVEL, nothing, project, spelt
from wherry.dimse.question import RETRIEVE_AE_TITLE, Question
from wherry.errors import BadFileFormat, MissingFile
from wherry.index import requested, search
from wherry.model import Attachment
from wherry.storage.content import mapped

if TYPE_CHECKING:
    from wherry.http.services import Services

_AE_TITLE: Final = spelt(RETRIEVE_AE_TITLE)


class Answers:
    """Makes the answers to one question."""

    def __init__(self, rooms: Services, question: Question, syntax: str) -> None:
        self._rooms = rooms
        self._question = question
        self._syntax = syntax
        self._reads_files = rooms.config.storage_access_on_find != "Never"
        self._title = rooms.config.dicom_aet
        self._empty = {tag: nothing(tag, key) for tag, key in question.keys.items()}
        self._named = [(tag, spelt(tag), key.vr) for tag, key in question.keys.items()]

    @property
    def look_into_files(self) -> bool:
        """Whether to make them takes more than the index."""
        return self._reads_files and self._question.looks_into_files

    def written(self, rows: Sequence[int]) -> list[bytes]:
        """The answers for these rows that are still there, as bytes. Blocking."""
        question = self._question
        with self._rooms.index.read() as tx:
            known = requested.known(
                tx,
                question.level,
                rows,
                question.tags,
                look_into_files=self.look_into_files,
                by_study=True,
            )
        return [
            write(answer, self._syntax)
            for row, values in known.values.items()
            if self._is_meant(values)
            for answer in self._answer(values, known.files.get(row), known.missing.get(row))
        ]

    def _is_meant(self, values: dict[str, Any]) -> bool:
        values[_AE_TITLE] = self._title
        return self._question.filters.passes(values)

    def _answer(
        self, values: Mapping[str, Any], file: Attachment | None, missing: frozenset[str] | None
    ) -> Iterator[type_attributes]:
        """One answer; none when the instance was deleted meanwhile."""
        found: type_attributes = {}
        if file is not None and missing:
            try:
                found = self._of_file(file, missing)
            except MissingFile:
                if self._is_gone(file):
                    return
                raise
        yield self._declared(self._whole(values, found))

    def _whole(self, values: Mapping[str, Any], of_file: type_attributes) -> dict[int, Attribute]:
        answer = dict(self._empty)
        if of_file:
            answer |= project(self._question.keys, of_file)
        answer[QUERY_RETRIEVE_LEVEL] = self._question.keys[QUERY_RETRIEVE_LEVEL]
        for tag, name, vr in self._named:
            value = values.get(name)
            if isinstance(value, str):
                answer[tag] = new_attribute(Attribute, (vr, value))
            elif value is not None:
                answer |= project({tag: self._question.keys[tag]}, {tag: _sequence(value)})
        return answer

    def _declared(self, answer: dict[int, Attribute]) -> dict[int, Attribute]:
        """With its character set."""
        term = term_for("".join(_texts(answer)), "", self._question.character_set)
        answer[SPECIFIC_CHARACTER_SET] = Attribute("CS", term)
        return answer

    def _of_file(self, file: Attachment, tags: frozenset[str]) -> type_attributes:
        numbers = [int(tag.replace(",", ""), 16) for tag in tags]
        try:
            with mapped(self._rooms.storage, file) as data:
                return chosen(data, numbers)
        except BadFileFormat:  # it was accepted by its main tags alone
            return {}

    def _is_gone(self, file: Attachment) -> bool:
        with self._rooms.index.read() as tx:
            return not search.is_attached(tx, file.uuid)


def _texts(attributes: type_attributes) -> Iterator[str]:
    for _, value in attributes.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                yield from _texts(item)


def _sequence(items: Sequence[Mapping[str, Any]]) -> Attribute:
    """A sequence that the index keeps as ``/tags?short`` shows it (``ExtraMainDicomTags``)."""
    return Attribute(
        "SQ",
        tuple(
            {
                (tag := int(name.replace(",", ""), 16)): _sequence(value)
                if isinstance(value, list)
                else Attribute(vr_of(tag), value or "")
                for name, value in item.items()
            }
            for item in items
        ),
    )
