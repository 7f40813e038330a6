"""C-FIND: asking a modality what it has, or what is planned (PS3.4 §C.4.1, §K.4.1).

Answers come one by one, as data sets in Unicode. How many are too many is for the caller to say;
how long it may take is bounded here.

Not here: what the query says (``identifiers``), where answers are kept (``index.queries``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wherry import clock, limits
from wherry.dicom.attributes import Attribute, read, type_attributes, write
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import CommandField
from wherry.errors import BadFileFormat, FindNotSupported, NetworkProtocol, NoAcceptableContext
from wherry.modalities.associations.association import Association, Context, Message
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.failure import failure
from wherry.modalities.associations.operation import (
    PENDING,
    Conversation,
    Operation,
    type_check,
    wanted,
)
from wherry.model import Level

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"
WORKLIST: Final = "1.2.840.10008.5.1.4.31"

_SYNTAXES: Final = (EXPLICIT, IMPLICIT)
_SUCCESS: Final = 0


class Finder(Conversation):
    """One association on which queries are asked."""

    def __init__(self, target: Target, *, worklist: bool = False) -> None:
        """Raises ``ModalityUnavailable``, ``FindNotSupported``, ``NetworkProtocol``."""
        self._title = target.called
        models = (WORKLIST,) if worklist else (STUDY_ROOT, PATIENT_ROOT)
        try:
            association = Association(target, [(model, _SYNTAXES) for model in models])
        except NoAcceptableContext:
            raise self._not_supported() from None
        super().__init__(association)
        self._contexts = {one.abstract_syntax: one for one in association.contexts}

    def find(
        self, level: Level, query: type_attributes, check: type_check = wanted
    ) -> Iterator[dict[int, Attribute]]:
        """The answers, as they come: of the information model that begins with studies, which
        everybody has, unless patients are asked for.

        Raises ``FindNotSupported``, ``DimseFailure``, ``NetworkProtocol``, what ``check`` raises.
        """
        models = (STUDY_ROOT, PATIENT_ROOT) if level is not Level.PATIENT else (PATIENT_ROOT,)
        return self._ask(models, query, check)

    def find_worklist(
        self, query: type_attributes, check: type_check = wanted
    ) -> Iterator[dict[int, Attribute]]:
        """What is planned. Raises as ``find``."""
        return self._ask((WORKLIST,), query, check)

    def _ask(
        self, models: tuple[str, ...], query: type_attributes, check: type_check
    ) -> Iterator[dict[int, Attribute]]:
        context = next((self._contexts[one] for one in models if one in self._contexts), None)
        if context is None:
            raise self._not_supported()
        until = clock.monotonic() + limits.QUERY_S

        def look() -> None:
            check()
            if clock.monotonic() >= until:
                raise NetworkProtocol(f"{self._association} takes too long to answer a C-FIND")

        identifier = write(query, context.transfer_syntax)
        asked = Operation(self._association, context, CommandField.C_FIND_RQ, identifier, look)
        for message in asked.messages():
            command = message.command
            if command.field is not CommandField.C_FIND_RSP:
                raise NetworkProtocol(f"{self._association} asks while it is being asked")
            if command.status == _SUCCESS:
                return
            if command.status not in PENDING:
                raise failure(self._title, command)
            yield self._answer(message, context)

    def _answer(self, message: Message, context: Context) -> dict[int, Attribute]:
        if not message.command.has_data_set:
            raise NetworkProtocol(f"{self._association} answers a C-FIND with nothing")
        try:
            return read(message.data_set, context.transfer_syntax)
        except BadFileFormat as error:
            raise NetworkProtocol(f"{self._association} answers a C-FIND: {error}") from None

    def _not_supported(self) -> FindNotSupported:
        return FindNotSupported(f"Remote AET is {self._title}")
