"""The job that a word on the command line means: its identifier, or the beginning of it."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.cli.filling import printable
from wherry.errors import InexistentItem

_NAMED = 5


class NoSuchJob(InexistentItem):
    """No job, or more than one, begins like this."""


def choose(word: str, ids: Sequence[str]) -> str:
    """The one of ``ids`` that is ``word`` or begins with it. Raises ``NoSuchJob``."""
    wanted = word.lower()
    found = [one for one in ids if one.lower().startswith(wanted)]
    exact = [one for one in found if len(one) == len(wanted)]
    if len(exact or found) == 1:
        return (exact or found)[0]
    shown = printable(word)
    if not found:
        raise NoSuchJob(f"{shown}: the server knows no such job (any more)")
    names = ", ".join(sorted(found)[:_NAMED]) + (", …" if len(found) > _NAMED else "")
    raise NoSuchJob(f"{shown}: {len(found)} jobs begin like this: {names}")
