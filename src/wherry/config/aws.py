"""Credentials that the tools of Amazon keep on a machine: the file ``~/.aws/credentials``.

Those of the environment, of a container and of a role of the machine are found by the library that
speaks with the storage, and come first.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wherry.errors import ConfigurationError

_BEFORE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Of one profile."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)


def shared_credentials(environ: Mapping[str, str]) -> AwsCredentials | None:
    """Those of the profile ``AWS_PROFILE`` (``default``); None when there are none, or when the
    environment names others. Raises ``ConfigurationError`` for a file that cannot be read."""
    if any(environ.get(name) for name in _BEFORE):
        return None
    told = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    path = Path(told) if told else Path(environ.get("HOME", "/")) / ".aws" / "credentials"
    if not path.is_file():
        return None
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        raise ConfigurationError(f"{path}: cannot be read as a file of credentials") from None
    profile = environ.get("AWS_PROFILE", "default")
    found = dict(parser[profile]) if parser.has_section(profile) else {}
    if not (found.get("aws_access_key_id") and found.get("aws_secret_access_key")):
        return None
    return AwsCredentials(
        found["aws_access_key_id"],
        found["aws_secret_access_key"],
        found.get("aws_session_token", ""),
    )
