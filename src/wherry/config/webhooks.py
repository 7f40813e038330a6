"""``Wherry.Webhooks``: programs that are told what happens."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry import limits
from wherry.config import place as check
from wherry.config.peers import http_address, http_headers
from wherry.config.place import Place
from wherry.model import ChangeType, JobState

_KNOWN: Final = ("Name", "Url", "Events", "Secret", "Headers", "Timeout")
_JOB_EVENTS: Final = {"JobSuccess": JobState.SUCCESS, "JobFailure": JobState.FAILURE}
_EVENTS: Final = (*(kind.name for kind in ChangeType), *_JOB_EVENTS)
_ALL: Final = "*"
_ENCODED: Final = "whsec_"
_OURS: Final = re.compile(
    r"webhook-.*|content-(type|length|encoding)|host|connection|transfer-encoding|expect"
    r"|accept-encoding",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One program that is told."""

    name: str
    """Of the webhook; how far it is stands in the index under this name."""
    url: str = field(repr=False)
    """May hold a token, and so is never shown."""
    secret: bytes = field(repr=False)
    """Key of the signatures."""
    changes: frozenset[ChangeType] = frozenset()
    """Changes that it wants to hear of."""
    job_states: frozenset[JobState] = frozenset()
    """Ends of jobs that it wants to hear of."""
    http_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: int = limits.WEBHOOK_TIMEOUT_S


def webhooks(value: Any, place: Place, warnings: list[str]) -> tuple[Webhook, ...]:
    """Read the list. Raises ``ConfigurationError``; unknown keys are ``warnings``."""
    if not isinstance(value, list):
        raise place.wrong_type("a list of objects", value)
    if len(value) > limits.WEBHOOKS:
        raise place.error(f"has more than {limits.WEBHOOKS} entries")
    found: dict[str, Webhook] = {}
    for number, entry in enumerate(value):
        inner = place.inner(str(number))
        webhook = _webhook(check.mapping(entry, inner), inner)
        if webhook.name in found:
            raise inner.error(f"is the second one of the name {webhook.name}: give it another Name")
        found[webhook.name] = webhook
        warnings += _unknown(entry, inner)
    return tuple(found.values())


def _webhook(entry: Mapping[str, Any], place: Place) -> Webhook:
    for key in ("Url", "Events", "Secret"):
        if key not in entry:
            raise place.error(f'must have "{key}"')
    url = check.string(entry["Url"], place.inner("Url"))
    parts = http_address(url)
    if parts is None:
        raise place.inner("Url").error("must be an address such as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise place.inner("Url").error("holds a user or password: put them into Headers")
    name = check.string(entry.get("Name", parts.netloc), place.inner("Name"))
    if not name or len(name) > limits.LABEL_CHARACTERS or not name.isprintable():
        raise place.inner("Name").error(f"must have 1 to {limits.LABEL_CHARACTERS} letters")
    events = _events(entry["Events"], place.inner("Events"))
    headers = http_headers(entry.get("Headers", {}), place.inner("Headers"))
    for header in headers:
        if _OURS.fullmatch(header):
            raise place.inner("Headers").inner(header).error("is a header that Wherry itself sets")
    timeout = entry.get("Timeout", limits.WEBHOOK_TIMEOUT_S)
    return Webhook(
        name=name,
        url=url,
        secret=_secret(entry["Secret"], place.inner("Secret")),
        changes=frozenset(ChangeType[one] for one in events if one not in _JOB_EVENTS),
        job_states=frozenset(_JOB_EVENTS[one] for one in events if one in _JOB_EVENTS),
        http_headers=headers,
        timeout_s=check.integer(timeout, place.inner("Timeout"), 1, 300),
    )


def _events(value: Any, place: Place) -> frozenset[str]:
    names = check.strings(value, place)
    if not names:
        raise place.error(f'names no event; "{_ALL}" stands for all')
    for name in names:
        if name != _ALL and name not in _EVENTS:
            near = difflib.get_close_matches(name, _EVENTS, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise place.error(f"names an event that does not exist{hint}")
    return frozenset(_EVENTS if _ALL in names else names)


def _secret(value: Any, place: Place) -> bytes:
    """``whsec_`` and base64, as the Standard Webhooks specification has it; or just a text."""
    text = check.string(value, place)
    secret = text.encode("utf-8", "surrogatepass")
    if text.startswith(_ENCODED):
        try:
            secret = base64.b64decode(text.removeprefix(_ENCODED), validate=True)
        except (ValueError, binascii.Error):
            raise place.error(f"begins with {_ENCODED}, but what follows is no base64") from None
    if len(secret) < limits.WEBHOOK_SECRET_BYTES:
        raise place.error(f"must have at least {limits.WEBHOOK_SECRET_BYTES} bytes")
    return secret


def _unknown(entry: Mapping[str, Any], place: Place) -> list[str]:
    found = []
    for key in entry:
        if key not in _KNOWN:
            near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.7)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            found.append(f'{place.source.name}: "{place.inner(key).key}" is not a known key{hint}')
    return found
