"""An Orthanc's store becomes ours, in place: its index is copied, its files stay where they are.

The index of the Orthanc is never written to, so that one can go back. One transaction takes over
all of it: a crash leaves nothing, and a second run either begins anew or finds it done. What only
the files can tell is read after it, in portions; a second run goes on with that.

Not here: what would be lost (``survey``), the rows (``index.adopting``), whether the files are as
they should be (``filecheck``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wherry import clock
from wherry.config import Config
from wherry.config.document import read_files
from wherry.config.environment import ORTHANC, WHERRY, add_environment
from wherry.errors import ConfigurationError
from wherry.index import adopting
from wherry.index.database import Index
from wherry.index.orthanc.reading import OrthancFile, OrthancIndex
from wherry.replication.survey import Survey, type_progress
from wherry.replication.whereabouts import Whereabouts

_OTHER_INDEXES = ("PostgreSQL", "MySQL", "Odbc")
"""Sections of plugins that keep the index elsewhere, when ``EnableIndex`` says so."""
_IDLE = ("Plugins", "LuaScripts", "Authorization")
"""Keys behind which there may be rules (what is taken, routed, allowed) that nobody keeps here."""


def check_original(
    paths: Sequence[Path], more: Sequence[Path], environ: Mapping[str, str]
) -> list[str]:
    """Whether the configuration of an Orthanc (``paths`` and its variables), with what is added for
    Wherry (``more`` and its variables), leads to an index that can be adopted. Answers the
    keys that do nothing here, and are missed perhaps. Raises ``ConfigurationError``."""
    document, added = read_files(paths, environ), read_files(more, environ)
    add_environment(document, environ, Path.cwd(), (ORTHANC,))
    add_environment(added, environ, Path.cwd(), (WHERRY,))
    for section in _OTHER_INDEXES:
        values = document.values.get(section)
        if isinstance(values, dict) and values.get("EnableIndex") is True:
            raise ConfigurationError(
                f"This Orthanc keeps its index in {section}: only SQLite can be adopted. Copy it"
                " with: wherry replicate"
            )
    if "StorageDirectory" not in {**document.values, **added.values}:
        raise ConfigurationError(
            "The configuration names no StorageDirectory: Orthanc then uses a folder OrthancStorage"
            " where it was started. Name it in one more file, and give that to adopt and serve:"
            ' { "StorageDirectory": "/…/OrthancStorage" }'
        )
    return [key for key in _IDLE if document.values.get(key)]


def mark(config: Config, source: OrthancIndex) -> dict[str, Any]:
    """What is remembered of an adoption."""
    return {
        "From": str(config.index_directory),
        "At": clock.orthanc_date(clock.now()),
        "Fingerprint": source.fingerprint(),
    }


def adopted(index: Index) -> dict[str, Any] | None:
    """The mark of an adoption that was done; None when there was none."""
    with index.read() as tx:
        return adopting.adopted(tx)


def check_empty(index: Index) -> None:
    """Raises ``Conflict`` when the index holds something already."""
    with index.read() as tx:
        adopting.check_empty(tx)


def adopt(
    index: Index, config: Config, source: OrthancIndex, survey: Survey, progress: type_progress
) -> None:
    """Take everything over; ``progress`` is told of each portion of resources. Raises ``Conflict``
    when the index holds something."""
    whereabouts = Whereabouts.of(config)

    def place_of(file: OrthancFile) -> str:
        return whereabouts.look(file.attachment).place

    index.write(
        partial(
            adopting.adopt,
            source=source,
            place_of=place_of,
            declared=survey.declared,
            mark=mark(config, source),
            tell=progress,
        )
    )
