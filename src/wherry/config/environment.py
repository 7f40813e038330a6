"""Variables of the Docker images: ``ORTHANC__STABLE_AGE=30`` sets ``StableAge``.

``__`` separates levels, ``_`` stands before each capital, all in upper case; ``WHERRY__`` works
like ``ORTHANC__``. A value is JSON when it parses as JSON, else a text. ``ORTHANC_JSON`` and
``WHERRY_JSON`` hold a whole document. Variables win over files, and ``WHERRY__`` over
``ORTHANC__``. Known keys are found by their letters, so that both ``HTTPS_CA_CERTIFICATES`` and
``HTTPS_C_A_CERTIFICATES`` are understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.config.document import Document, parse
from wherry.config.keys import GENERAL, SECTIONS, Kind, known_names
from wherry.config.place import Source
from wherry.errors import ConfigurationError

ORTHANC, WHERRY = "ORTHANC", "WHERRY"
_TEXTS = (Kind.STRING, Kind.PATH, Kind.FILE)


def add_environment(
    document: Document,
    environ: Mapping[str, str],
    folder: Path,
    whose: Sequence[str] = (ORTHANC, WHERRY),
) -> None:
    """Merge what the environment says into ``document``; relative paths start in ``folder``.
    ``whose``: how the names of variables begin."""
    for owner in whose:
        name = f"{owner}_JSON"
        if environ.get(name):
            values = parse(environ[name], f"variable {name}", environ, document.warnings)
            document.add(values, Source(f"variable {name}", folder))
    for owner in whose:
        prefix = f"{owner}__"
        for name in sorted(environ):
            if name.startswith(prefix) and len(name) > len(prefix):
                _set(document, name, name[len(prefix) :], environ[name], folder)


def _set(document: Document, name: str, spelled: str, value: str, folder: Path) -> None:
    keys = _keys(spelled)
    values = document.values
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f'variable {name}: "{key}" is no object')
        values = inner
    values[keys[-1]] = _value(keys, value)
    source = Source(f"variable {name}", folder)
    document.sources[".".join(keys)] = source
    for depth in range(1, len(keys)):
        document.sources.setdefault(".".join(keys[:depth]), source)


def _keys(spelled: str) -> list[str]:
    """``DICOM_WEB__ROOT`` → ``DicomWeb``, ``Root``."""
    keys: list[str] = []
    for part in spelled.split("__"):
        letters = part.replace("_", "").upper()
        known = {name.upper(): name for name in known_names(keys[0] if keys else None)}
        keys.append(known.get(letters) or "".join(map(str.capitalize, part.split("_"))))
    return keys


def _value(keys: list[str], value: str) -> Any:
    table = GENERAL if len(keys) == 1 else SECTIONS.get(keys[0], {})
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    key = table.get(keys[-1])
    if key is not None and key.kind in _TEXTS and not isinstance(parsed, str):
        return value  # a name or password of digits only
    return parsed
