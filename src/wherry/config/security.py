"""What the configuration says of who may come in, and what is refused there.

Refused: a server open to the network that nobody has to log in to, unless that was said
explicitly; authentication without users; HTTPS without its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wherry import limits
from wherry.config import passwords
from wherry.config import place as check
from wherry.config.document import Document
from wherry.config.place import Place
from wherry.config.settings import Config

_DIFFERENT: Final = 8
"""Different characters of a secret: what has fewer was not made at random."""


def authentication(document: Document, values: Mapping[str, Any]) -> dict[str, Any]:
    """Who may come in. Raises ``ConfigurationError`` when nobody could, or everybody unsaid."""
    said = document.values
    remote = values.get("remote_access_allowed", False)
    users: dict[str, str] = {}
    if "RegisteredUsers" in said:
        users = check.texts(said["RegisteredUsers"], document.place("RegisteredUsers"))
        for name in users:
            if not name or ":" in name:
                raise document.place("RegisteredUsers").error("has a user without a valid name")
            _check_hash(users[name], document.place("RegisteredUsers").inner(name))
    explicit = said.get("AuthenticationEnabled")
    if "AuthenticationEnabled" in said:
        explicit = check.boolean(explicit, document.place("AuthenticationEnabled"))
    enabled = remote if explicit is None else explicit
    if enabled and not users:
        culprit = "RemoteAccessAllowed" if explicit is None else "AuthenticationEnabled"
        raise document.place(culprit).error(
            'is true, but there are no users: add "RegisteredUsers": {"name": "password"}, or '
            'say "AuthenticationEnabled": false to let everybody in'
        )
    return {"registered_users": users, "authentication_enabled": enabled}


def _check_hash(value: str, place: Place) -> None:
    """A value that begins like a hash must be one: as a password in clear, nobody would type it."""
    if passwords.looks_hashed(value):
        try:
            passwords.parse(value)
        except ValueError as error:
            raise place.error(f"begins like the hash of a password, but {error}") from None


def secret(value: Any, place: Place) -> str:
    """A secret that nobody can guess by trying. Raises ``ConfigurationError``."""
    text = check.string(value, place)
    if text and (len(text) < limits.SECRET_CHARACTERS or len(set(text)) < _DIFFERENT):
        raise place.error(
            f"must have at least {limits.SECRET_CHARACTERS} characters, {_DIFFERENT} of them "
            "different: whoever guesses it finds patients again"
        )
    return text


def tls(document: Document, values: Mapping[str, Any]) -> dict[str, Any]:
    """The files of HTTPS; they must be there when they are needed."""
    found: dict[str, Any] = {}
    for name, attribute, default, needed in (
        ("SslCertificate", "ssl_certificate", "certificate.pem", "ssl_enabled"),
        (
            "SslTrustedClientCertificates",
            "ssl_trusted_client_certificates",
            "trustedClientCertificates.pem",
            "ssl_verify_peers",
        ),
    ):
        if values.get("ssl_enabled", False) and values.get(needed, False):
            place = document.place(name if name in document.values else "SslEnabled")
            place = Place(place.source, name)
            found[attribute] = check.existing_file(document.values.get(name, default), place)
        elif name in document.values:
            check.path(document.values[name], document.place(name))
    return found


def advice(config: Config) -> list[str]:
    """What is allowed, but should be known."""
    found: list[str] = []
    if config.remote_access_allowed and not config.authentication_enabled:
        found.append(
            '"AuthenticationEnabled" is false: everybody who reaches this machine over the '
            "network can read, change and delete everything"
        )
    if config.remote_access_allowed and any(
        password in ("", "orthanc", name) for name, password in config.registered_users.items()
    ):
        found.append('"RegisteredUsers" has a password that anybody can guess')
    if not config.https_verify_peers and config.orthanc_peers:
        found.append('"HttpsVerifyPeers" is false: the identity of peers is not checked')
    elif not config.https_verify_peers and config.wherry.webhooks:
        found.append('"HttpsVerifyPeers" is false: the identity of webhooks is not checked')
    if config.ssl_enabled and config.ssl_minimum_protocol_version < 4:
        found.append('"SslMinimumProtocolVersion": TLS below 1.2 is not spoken')
    if config.jobs_history_size == 0:
        found.append('"JobsHistorySize" is 0: nobody can ask how a job ended')
    return found
