"""The attributes of one instance while they are put together.

First those of the parent and the identifiers, then those that were asked for, then those of the
content; nothing replaces what is there unless it may.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any, Final

from wherry.dicom.creating.order import type_tags
from wherry.dicom.dictionary import named
from wherry.dicom.uids import new_uid
from wherry.errors import InheritedTag

PATIENT_ID: Final = 0x00100020
STUDY_UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
_STUDY: Final = (0x00080020, 0x00080030)
_SERIES: Final = (0x00080021, 0x00080031)
_INSTANCE: Final = (
    (0x00080012, 0x00080013),  # of its creation, the acquisition, the content
    (0x00080022, 0x00080032),
    (0x00080023, 0x00080033),
)
"""Date and time."""
_FREE: Final = frozenset((*_STUDY, *_SERIES))
"""Inherited, and yet free to be given, as in Orthanc."""
INSTANCE_NUMBER, _IMAGES, _POSITIONS, _IMAGE_INDEX = 0x00200013, 0x00201002, 0x00200105, 0x00541330


class Draft:
    """One instance."""

    def __init__(self, inherited: Mapping[int, str], *, force: bool) -> None:
        """``inherited``: what its parent has."""
        self.values: type_tags = {
            STUDY_UID: new_uid(),
            SERIES_UID: new_uid(),
            **inherited,
            SOP_UID: new_uid(),
        }
        self._force = force
        self._dated = [
            *_INSTANCE,
            *([] if STUDY_UID in inherited else [_STUDY]),
            *([] if SERIES_UID in inherited else [_SERIES]),
        ]

    def another(self) -> Draft:
        """Another instance of the same series."""
        other = copy(self)
        other.values = {**self.values, SOP_UID: new_uid()}
        return other

    def give(self, tags: type_tags) -> None:
        """What was asked for. Raises ``InheritedTag``."""
        for tag, value in tags.items():
            if tag in self.values and not (self._force or self._may_change(tag, value)):
                raise InheritedTag(named(tag).name)
            self.values[tag] = value

    def _may_change(self, tag: int, value: Any) -> bool:
        return tag in _FREE or (tag == PATIENT_ID and value == self.values[tag])

    def number(self, index: int, count: int) -> None:
        """Its place in the series, from 1; as Orthanc numbers them, whatever was asked for."""
        self.values |= {
            INSTANCE_NUMBER: str(index),
            _IMAGE_INDEX: str(index),
            _IMAGES: str(count),
            _POSITIONS: "1",
        }

    def identify(self, patient_id: str) -> None:
        """The patient, if there is none."""
        self.values.setdefault(PATIENT_ID, patient_id)

    def date(self, moment: datetime) -> None:
        """Local date and time where there are none; what a parent is without it stays without."""
        local = moment.astimezone()
        for date, time in self._dated:
            self.values.setdefault(date, local.strftime("%Y%m%d"))
            self.values.setdefault(time, local.strftime("%H%M%S.000000"))

    def fill(self, decided: Mapping[int, Any], defaults: Mapping[int, Any]) -> None:
        """What the content says."""
        self.values |= decided
        for tag, value in defaults.items():
            self.values.setdefault(tag, value)
