"""Which SOP classes a study has, as its owner tells (PS3.4 §C.3.4: SOPClassesInStudy).

Asked before a C-GET, so that the right presentation contexts are proposed. The key is optional,
and who may be got from need not answer queries: that it is not known is no error.
"""

from __future__ import annotations

import logging

from wherry import limits
from wherry.errors import NetworkProtocol
from wherry.modalities.asking.finding import Finder
from wherry.modalities.asking.identifiers import identifier
from wherry.modalities.asking.levels import PATIENT_ID, STUDY_UID
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.operation import type_check
from wherry.modalities.retrieving.retrieval import SOP_CLASSES_IN_STUDY, classes_of, type_resource
from wherry.model import Level

_log = logging.getLogger(__name__)


class _Enough(Exception):
    """Nothing more is to be learnt."""


def ask_classes(called: Target, resource: type_resource, check: type_check) -> list[str]:
    """The SOP classes of the studies that ``resource`` is, or is part of; [] when nobody knows.
    Raises what ``check`` raises."""
    key = STUDY_UID if resource.get(STUDY_UID) else PATIENT_ID
    if not resource.get(key):
        return []
    query = identifier(Level.STUDY, {key: resource[key], SOP_CLASSES_IN_STUDY: ""})
    told: list[list[str]] = []

    def look() -> None:
        check()
        if len(told) >= limits.STUDIES_LOOKED_AT or not all(told):
            raise _Enough

    try:
        with Finder(called) as finder:
            for answer in finder.find(Level.STUDY, query, look):
                one = answer.get(SOP_CLASSES_IN_STUDY)
                told.append(classes_of({SOP_CLASSES_IN_STUDY: one.text if one else ""}))
    except _Enough:
        pass
    except NetworkProtocol as error:
        _log.info("%s tells no SOP classes: %s", called.called, type(error).__name__)
        return []
    return [one for classes in told for one in classes] if all(told) else []
