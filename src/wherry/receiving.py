"""What this server takes from other DICOM systems: transfer syntaxes and SOP classes.

The configuration says so at first, the REST API may change it until the process ends or begins
anew, and whoever negotiates an association asks here. What comes over HTTP is not concerned.

Not here: associations.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from wherry.config import Config
from wherry.dicom.uids import TRANSFER_SYNTAXES, of_group, storage_classes


class Receiving:
    """The present rules. Any thread may ask; each change replaces a rule as a whole."""

    def __init__(self, config: Config) -> None:
        accepted = matching(config.accepted_transfer_syntaxes, TRANSFER_SYNTAXES)
        for group in config.rejected_transfer_syntax_groups:
            accepted -= of_group(group)
        self._transfer_syntaxes = accepted
        self._config = config
        self.unknown_sop_class_accepted = config.unknown_sop_class_accepted
        """Whether SOP classes that nobody knows are taken as well."""

    @property
    def transfer_syntaxes(self) -> list[str]:
        """Those that are taken, in numerical order."""
        accepted = self._transfer_syntaxes
        return [uid for uid in TRANSFER_SYNTAXES if uid in accepted]

    def accept_transfer_syntaxes(self, patterns: Iterable[str]) -> None:
        """Take exactly the known ones that match; an unknown name matches nothing."""
        self._transfer_syntaxes = matching(patterns, TRANSFER_SYNTAXES)

    def sop_classes(self) -> list[str]:
        """The storage classes that are taken, in numerical order."""
        known = storage_classes()
        accepted = matching(self._config.accepted_sop_classes, known)
        accepted -= matching(self._config.rejected_sop_classes, known)
        return [uid for uid in known if uid in accepted]


def matching(patterns: Iterable[str], uids: Iterable[str]) -> frozenset[str]:
    """The ``uids`` that one of the patterns (``*`` and ``?``) matches wholly.

    The expressions of ``fnmatch`` never go back behind an asterisk, so their time is bounded.
    """
    known = list(uids)
    wanted: set[str] = set()
    for pattern in set(patterns):
        expression = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
        wanted.update(uid for uid in known if expression.match(uid))
    return frozenset(wanted)
