"""Section ``Worklists``: the keys of Orthanc's worklists plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorklistsConfig:
    """``WorklistsConfig()`` = all defaults, those of the plugin but for ``enable``."""

    enable: bool = False
    """Modalities that ask for their worklist are answered, and ``/worklists`` is there."""
    folder: Path | None = None
    """Where others put ``.wl`` files (``Directory``, formerly ``Database``); None: nowhere."""
    filter_issuer_aet: bool = False
    """Who asks gets what is scheduled for its own title (``FilterIssuerAet``)."""
    limit_answers: int = 0
    """Answers to one query (``LimitAnswers``); 0 = no limit."""
    save_in_database: bool = False
    """``SaveInOrthancDatabase``: here what comes over REST always lies in the index; with it,
    ``delete_after_s`` has an effect."""
    set_study_instance_uid: bool = True
    """What comes without a StudyInstanceUID is given one (``SetStudyInstanceUidIfMissing``)."""
    delete_on_stable_study: bool = True
    """What came over REST goes as soon as its study is here and stable
    (``DeleteWorklistsOnStableStudy``)."""
    housekeeping_s: int = 60
    """Between two looks at what is to go (``HousekeepingInterval``)."""
    delete_after_s: int = 24 * 3600
    """What came over REST goes so long after (``DeleteWorklistsDelay``, hours); 0 = never."""

    @property
    def lifetime_s(self) -> int:
        """Of what comes over REST; 0 = for ever."""
        return self.delete_after_s if self.save_in_database else 0
