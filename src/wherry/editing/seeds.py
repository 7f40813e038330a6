"""What new identifiers are made of: random for each job, or the configured secret.

What: a ``Seed`` is small and kept with its job, so that a job that goes on in another process gives
the same identifiers. With ``Wherry.AnonymizationSecret`` anonymized UIDs and patient identifiers
are the same in all jobs, on all servers that have it; the seed then holds nothing of it but a
check: a job that goes on with another secret, or with none, would give other identifiers to the
rest of its study, or such as anybody can make.
Names are numbered in the index, so that no two jobs, of whatever process, give the same.
Not here: how an identifier is made (``dicom.editing.pseudonyms``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry import clock
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import Rules
from wherry.errors import Conflict
from wherry.index import settings
from wherry.index.database import Index

_COUNTER: Final = "Anonymization.Number"


@dataclass(frozen=True, slots=True)
class Seed:
    """Of one job."""

    random: str
    """64 hexadecimal digits, or "" = the configured secret."""
    number: int
    """Of the patient's new name."""
    check: str = ""
    """What tells the configured secret from others; "" = it is not used."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"Random": self.random, "Number": self.number, "Check": self.check}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Seed:
        """What ``document`` was made of."""
        return Seed(document["Random"], document["Number"], document["Check"])

    def pseudonyms(self, secret: str) -> Pseudonyms:
        """The new identifiers. ``secret``: ``Wherry.AnonymizationSecret``. Raises ``Conflict`` when
        that has changed."""
        if not self.random and self.check != _check(secret):
            raise Conflict("Wherry.AnonymizationSecret has changed since this was ordered")
        key = bytes.fromhex(self.random) if self.random else secret.encode()
        return Pseudonyms(key, self.number)


def draw_seed(index: Index, secret: str, rules: Rules) -> Seed:
    """A seed for a new job. Blocking; writes only when a name is to be given."""
    if not rules.is_anonymization:
        return Seed(_random(), 0)
    number = index.write(lambda tx: settings.count(tx, _COUNTER)) if rules.names_patients else 0
    return Seed("", number, _check(secret)) if secret else Seed(_random(), number)


def _check(secret: str) -> str:
    return Pseudonyms(secret.encode()).uid("")[-12:] if secret else "none"


def _random() -> str:
    return clock.random_hex(32) + clock.random_hex(32)
