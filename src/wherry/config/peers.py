"""One entry of ``OrthancPeers``: the short list form and the object form → ``Peer``."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from wherry.config import place as check
from wherry.config.place import Place, Source
from wherry.model import Peer

_KNOWN = (
    "Url",
    "Username",
    "Password",
    "HttpHeaders",
    "CertificateFile",
    "CertificateKeyFile",
    "CertificateKeyPassword",
    "Pkcs11",
    "Timeout",
    "RemoteSelf",
)
_SECONDS_HIGH = 24 * 3600
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
"""RFC 9110 §5.1 and §5.5."""


def read_peer(
    name: str, value: Any, place: Place | None = None, warnings: list[str] | None = None
) -> Peer:
    """Read ``[url]``, ``[url, user, password]`` or the object. Raises ``ConfigurationError``.

    Keys that Orthanc does not know are properties that the user may read back; one that looks
    like a misspelt known key is also reported in ``warnings``.
    """
    place = place or Place(Source("peer", Path.cwd()), name)
    if isinstance(value, list):
        return _from_list(name, value, place)
    values = check.mapping(value, place)
    if "Url" not in values:
        raise place.error('must have a "Url"')
    if check.boolean(values.get("Pkcs11", False), place.inner("Pkcs11")):
        raise place.inner("Pkcs11").error("is not supported: remove it or use CertificateFile")
    for key in values:
        near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.8)
        if key not in _KNOWN and near and warnings is not None:
            warnings.append(f'{place.source.name}: "{place.inner(key).key}": meant "{near[0]}"?')

    def text(key: str) -> str:
        return check.string(values.get(key, ""), place.inner(key))

    def file(key: str) -> str:
        return str(check.existing_file(text(key), place.inner(key))) if text(key) else ""

    return Peer(
        name=name,
        url=_url(values["Url"], place.inner("Url")),
        username=text("Username"),
        password=text("Password"),
        http_headers=http_headers(values.get("HttpHeaders", {}), place.inner("HttpHeaders")),
        certificate_file=file("CertificateFile"),
        certificate_key_file=file("CertificateKeyFile"),
        certificate_key_password=text("CertificateKeyPassword"),
        timeout_s=check.integer(values.get("Timeout", 0), place.inner("Timeout"), 0, _SECONDS_HIGH),
        properties={
            key: _property(item, place.inner(key))
            for key, item in values.items()
            if key not in _KNOWN or key == "RemoteSelf"
        },
    )


def _from_list(name: str, value: list[Any], place: Place) -> Peer:
    if len(value) not in (1, 3):
        raise place.error("must be [url] or [url, user, password]")
    url, username, password = [check.string(item, place) for item in value] + [""] * (
        3 - len(value)
    )
    return Peer(name=name, url=_url(url, place), username=username, password=password)


def _url(value: Any, place: Place) -> str:
    url = check.string(value, place)
    parts = http_address(url)
    if parts is None or parts.query:
        raise place.error("must be an address such as http://host:8042/")
    return url if url.endswith("/") else url + "/"


def http_address(url: str) -> SplitResult | None:
    """The parts of an address that a request can be made to; None when it is none."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return None
    if not valid or parts.fragment or any(c.isspace() for c in url):
        return None
    return parts


def http_headers(value: Any, place: Place) -> dict[str, str]:
    """Name → value, all of which can be sent. Raises ``ConfigurationError``."""
    headers = check.texts(value, place)
    for name, text in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            raise place.inner(name).error("is no valid HTTP header")
    return headers


def _property(value: Any, place: Place) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise place.wrong_type("a text in quotes", value)
