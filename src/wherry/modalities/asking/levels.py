"""The four levels of query and retrieve, as they are said on the wire (PS3.4 §C.3, §C.6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from wherry.errors import ParameterOutOfRange
from wherry.model import Level

QUERY_LEVEL: Final = 0x00080052
"""QueryRetrieveLevel."""
PATIENT_ID: Final = 0x00100020
ACCESSION_NUMBER: Final = 0x00080050
STUDY_UID: Final = 0x0020000D
SERIES_UID: Final = 0x0020000E
SOP_INSTANCE_UID: Final = 0x00080018

WORDS: Final[Mapping[Level, str]] = MappingProxyType(
    {
        Level.PATIENT: "PATIENT",
        Level.STUDY: "STUDY",
        Level.SERIES: "SERIES",
        Level.INSTANCE: "IMAGE",
    }
)
"""Values of QueryRetrieveLevel."""

UNIQUE_KEYS: Final[Mapping[Level, int]] = MappingProxyType(
    {
        Level.PATIENT: PATIENT_ID,
        Level.STUDY: STUDY_UID,
        Level.SERIES: SERIES_UID,
        Level.INSTANCE: SOP_INSTANCE_UID,
    }
)
"""What names one thing of a level."""

RETRIEVAL_KEYS: Final[Mapping[Level, tuple[int, ...]]] = MappingProxyType(
    {
        Level.PATIENT: (PATIENT_ID,),
        Level.STUDY: (STUDY_UID,),
        Level.SERIES: (STUDY_UID, SERIES_UID),
        Level.INSTANCE: (STUDY_UID, SERIES_UID, SOP_INSTANCE_UID),
    }
)
"""What a retrieval of something of this level must name (§C.4.2.2.1), the patient apart."""

_NAMES: Final = {
    name: level
    for level in Level
    for name in {WORDS[level], level.title.upper(), level.plural.upper()}
} | {"IMAGES": Level.INSTANCE}


def level_of(name: str) -> Level:
    """The level that a client means: ``Study``, ``studies``, ``IMAGE``. Raises
    ``ParameterOutOfRange``."""
    level = _NAMES.get(name.upper())
    if level is None:
        raise ParameterOutOfRange
    return level
