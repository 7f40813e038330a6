"""A verified instance as a JSON text, so that any process can commit it later."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import orjson

from wherry.model import Attachment, Identifiers, Origin, StagedInstance, Summary


def to_text(staged: StagedInstance) -> str:
    """The text for the index."""
    return orjson.dumps(staged).decode()


class Shared:
    """Reads the instances of one transfer. What they say of the same patient, study and series is
    mostly the same, and kept once: two thirds of the memory."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def instances(self, texts: Iterable[str]) -> Iterator[StagedInstance]:
        """Those that ``to_text`` was given."""
        return map(self._instance, texts)

    def _instance(self, text: str) -> StagedInstance:
        document = orjson.loads(text)
        summary = document["summary"]
        identifiers = Identifiers(**summary["identifiers"])
        patient, study, series, instance = summary["tags"]
        return StagedInstance(
            summary=Summary(
                identifiers=identifiers,
                tags=(
                    self._one(identifiers.patient, patient),
                    self._one(identifiers.study, study),
                    self._one(identifiers.series, series),
                    instance,
                ),
                transfer_syntax=sys.intern(summary["transfer_syntax"]),
                sop_class_uid=summary["sop_class_uid"],
                pixel_data_offset=summary["pixel_data_offset"],
            ),
            attachment=Attachment(**document["attachment"]),
            origin=Origin(**document["origin"]),
            reception_date=document["reception_date"],
        )

    def _one(self, orthanc_id: str, tags: dict[str, str]) -> dict[str, str]:
        known = self._known.setdefault(orthanc_id, tags)
        return known if known == tags else tags
