"""One entry of ``DicomModalities``: the short list form and the object form → ``Modality``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final

from wherry.config import place as check
from wherry.config.place import Place, Source
from wherry.model import Manufacturer, Modality

_FLAGS: Final = {
    "AllowEcho": "allow_echo",
    "AllowStore": "allow_store",
    "AllowFind": "allow_find",
    "AllowFindWorklist": "allow_find_worklist",
    "AllowGet": "allow_get",
    "AllowMove": "allow_move",
    "AllowNAction": "allow_n_action",
    "AllowEventReport": "allow_event_report",
    "AllowTranscoding": "allow_transcoding",
    "UseDicomTls": "use_tls",
}
_OTHERS: Final = ("AET", "Host", "Port", "Manufacturer", "AllowStorageCommitment")
_LATER: Final = ("LocalAet", "Timeout", "RetrieveMethod")
_METHODS: Final = ("SystemDefault", "C-MOVE", "C-GET")
_SECONDS_HIGH: Final = 24 * 3600


def read_modality(
    name: str, value: Any, place: Place | None = None, warnings: list[str] | None = None
) -> Modality:
    """Read ``[AET, host, port(, manufacturer)]`` or the object. Raises ``ConfigurationError``.

    Keys that are unknown are passed over, as Orthanc does; ``warnings`` hear of them.
    """
    place = place or Place(Source("modality", Path.cwd()), name)
    if isinstance(value, list):
        if len(value) not in (3, 4):
            raise place.error("must be [AET, host, port] or [AET, host, port, manufacturer]")
        value = dict(zip(_OTHERS, value, strict=False))
    values = check.mapping(value, place)
    for key in ("AET", "Host", "Port"):
        if key not in values:
            raise place.error(f'must have a "{key}"')
    if warnings is not None:
        _report_unknown(values, place, warnings)
    flags = {
        attribute: check.boolean(values[key], place.inner(key))
        for key, attribute in _FLAGS.items()
        if key in values
    }
    if "AllowStorageCommitment" in values:  # the two kinds of messages that it is made of
        both = check.boolean(
            values["AllowStorageCommitment"], place.inner("AllowStorageCommitment")
        )
        flags |= {"allow_n_action": both, "allow_event_report": both}

    def text(key: str, default: str = "") -> str:
        return check.string(values.get(key, default), place.inner(key))

    return Modality(
        name=name,
        aet=text("AET"),
        host=text("Host"),
        port=_port(values["Port"], place.inner("Port")),
        manufacturer=manufacturer(text("Manufacturer", "Generic"), place.inner("Manufacturer")),
        **flags,
        local_aet=text("LocalAet"),
        timeout_s=check.integer(values.get("Timeout", 0), place.inner("Timeout"), 0, _SECONDS_HIGH),
        retrieve_method=check.choice(
            text("RetrieveMethod", "SystemDefault"), place.inner("RetrieveMethod"), _METHODS
        ),
    )


def manufacturer(value: str, place: Place) -> Manufacturer:
    """Raises ``ConfigurationError`` for one that nobody knows."""
    return Manufacturer(check.choice(value, place, tuple(Manufacturer)))


def _port(value: Any, place: Place) -> int:
    """A number, or a text of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    return check.integer(value, place, 1, 65535)


def _report_unknown(values: dict[str, Any], place: Place, warnings: list[str]) -> None:
    known = (*_OTHERS, *_FLAGS, *_LATER)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            shown = f'"{place.inner(key).key}" is not a known key{hint}'
            warnings.append(f"{place.source.name}: {shown}")
