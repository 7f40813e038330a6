"""``RequestedTags``: the values of tags that a client asks for, beside the main ones of a level.

What the index does not have is read from the DICOM file of one instance of the resource, unless
``StorageAccessOnFind`` forbids it. A tag that has no value anywhere is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wherry.config import Config
from wherry.dicom.json import type_form
from wherry.dicom.select import chosen
from wherry.errors import BadFileFormat
from wherry.http.services import Services
from wherry.index import requested
from wherry.index.database import Transaction
from wherry.index.requested import Requested
from wherry.model import Attachment, Resource
from wherry.rest.rendering import tags as rendered
from wherry.rest.rendering import type_json
from wherry.rest.shapes import Form
from wherry.rest.stored import mapped

_FORMS: Final[dict[Form, type_form]] = {
    Form.KEYWORD: "simplify",
    Form.SHORT: "short",
    Form.FULL: "full",
}


def known(
    tx: Transaction, config: Config, found: Sequence[Resource], tags: Sequence[str]
) -> Requested:
    """What the index says, for resources of one level, and which files have the rest."""
    return requested.known(
        tx,
        found[0].level,
        [one.row for one in found],
        tags,
        look_into_files=config.storage_access_on_find != "Never",
    )


def complete(rooms: Services, requested: Requested, form: Form) -> dict[int, type_json]:
    """The member ``RequestedTags`` of each resource (row). Reads files: blocking, and not inside of
    a transaction. Raises ``MissingFile``."""
    answer = {}
    for row, values in requested.values.items():
        members = rendered(values, form)
        file = requested.files.get(row)
        if file is not None:
            members |= _of_file(rooms, file, requested.missing[row], form)
        answer[row] = members
    return answer


def _of_file(rooms: Services, file: Attachment, tags: frozenset[str], form: Form) -> type_json:
    numbers = frozenset(int(tag.replace(",", ""), 16) for tag in tags)
    try:
        with mapped(rooms, file) as content:
            return chosen(content, numbers, _FORMS[form])
    except BadFileFormat:  # it was accepted by its main tags alone
        return {}
