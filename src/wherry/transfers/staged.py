"""A verified instance as a JSON text, so that any process can commit it later."""

from __future__ import annotations

import orjson

from wherry.model import Attachment, Identifiers, Origin, StagedInstance, Summary


def to_text(staged: StagedInstance) -> str:
    """The text for the index."""
    return orjson.dumps(staged).decode()


def from_text(text: str) -> StagedInstance:
    """The instance that ``to_text`` was given."""
    document = orjson.loads(text)
    summary = document["summary"]
    return StagedInstance(
        summary=Summary(
            identifiers=Identifiers(**summary["identifiers"]),
            tags=tuple(summary["tags"]),
            transfer_syntax=summary["transfer_syntax"],
            sop_class_uid=summary["sop_class_uid"],
            pixel_data_offset=summary["pixel_data_offset"],
        ),
        attachment=Attachment(**document["attachment"]),
        origin=Origin(**document["origin"]),
        reception_date=document["reception_date"],
    )
