"""What an edit has brought forth: pairs of a source and what it became.

Not here: how it became that (``making``), how it becomes visible (``job``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from wherry.editing.order import MODIFICATION, SPLIT, EditOrder
from wherry.index.editing import Source
from wherry.model import Level, StagedInstance, type_json, type_tags


class Pair(NamedTuple):
    """One instance, and what it became."""

    source: Source
    staged: StagedInstance

    @property
    def target(self) -> str:
        """The new instance."""
        return self.staged.summary.identifiers.instance

    @property
    def in_place(self) -> bool:
        """Whether it takes the place of its source."""
        return self.target == self.source.identifiers.instance

    def at(self, level: Level) -> tuple[str, str]:
        """Source and target at a level."""
        return self.source.identifiers.at(level), self.staged.summary.identifiers.at(level)


def changed(pairs: Sequence[Pair], level: Level) -> dict[str, str]:
    """Target → source, of those that are not the same; the last one counts."""
    both = (pair.at(level) for pair in pairs)
    return {target: source for source, target in both if source != target}


def content(order: EditOrder, pairs: Sequence[Pair], failed: int) -> dict[str, type_json]:
    """What the job shows at the end."""
    shown: dict[str, Any] = order.content(len(pairs) + failed, failed)
    if order.type == MODIFICATION:
        if order.level is None:
            shown["Resources"] = list(_resources(pairs))
        elif pairs:
            ids = pairs[-1].staged.summary.identifiers
            shown |= _resource(order.level, ids.at(order.level)) | {"PatientID": ids.patient}
    elif order.type == SPLIT and pairs:
        shown["TargetStudy"] = pairs[-1].staged.summary.identifiers.study
    return shown


def _resources(pairs: Sequence[Pair]) -> Iterator[dict[str, type_json]]:
    """Everything that was touched, the parents too."""
    for level in reversed(Level):
        for orthanc_id in sorted({pair.at(level)[1] for pair in pairs}):
            yield _resource(level, orthanc_id)


def _resource(level: Level, orthanc_id: str) -> dict[str, type_json]:
    return {"ID": orthanc_id, "Path": f"/{level.plural}/{orthanc_id}", "Type": level.title}


class Sharing:
    """What many instances say of the same patient, study and series is mostly the same, and kept
    once."""

    def __init__(self) -> None:
        self._known: dict[str, type_tags] = {}

    def of(self, staged: StagedInstance) -> StagedInstance:
        """The same, with what is known already in place of its own."""
        summary = staged.summary
        ids = summary.identifiers
        patient, study, series, instance = summary.tags
        tags = (
            self._one(ids.patient, patient),
            self._one(ids.study, study),
            self._one(ids.series, series),
            instance,
        )
        return replace(staged, summary=replace(summary, tags=tags))

    def _one(self, orthanc_id: str, tags: type_tags) -> type_tags:
        known = self._known.setdefault(orthanc_id, tags)
        return known if known == tags else tags
