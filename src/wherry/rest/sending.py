"""The body that names what is to be sent somewhere: to a peer, to a modality.

Four forms: one identifier as plain text, the same as JSON text, a list, an object with
``Resources`` and options (rest-api §14, §16).
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge

_IDENTIFIER: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


def is_identifier(text: str) -> bool:
    """Whether ``text`` looks like an Orthanc identifier."""
    return _IDENTIFIER.fullmatch(text) is not None


def read_sending(body: bytes) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The resources, each once and in order, and the object that holds the options.

    Raises ``BadFileFormat``, in the words of the original, and ``TooLarge``.
    """
    text = body.strip()
    try:
        plain = text.decode("ascii")
    except UnicodeDecodeError:
        plain = ""
    if is_identifier(plain):
        return (plain,), {}
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFileFormat("Must provide a JSON value") from None
    match document:
        case str():
            return _identifiers([document]), {}
        case list():
            return _identifiers(document), {}
        case dict():
            if "Resources" not in document:
                raise BadFileFormat('Missing field in JSON: "Resources"')
            if not isinstance(document["Resources"], list):
                raise BadFileFormat('JSON field "Resources" must contain an array')
            return _identifiers(document["Resources"]), document
    raise BadFileFormat("Must provide a JSON object, or a JSON array of strings")


def _identifiers(items: list[Any]) -> tuple[str, ...]:
    if len(items) > limits.SENT_RESOURCES:
        raise TooLarge(f"At most {limits.SENT_RESOURCES} resources may be named at once")
    for item in items:
        if not isinstance(item, str):
            raise BadFileFormat(
                "Resources to be exported must be specified as a JSON array of strings"
            )
        if not is_identifier(item):
            shown = item[:64].encode("utf-8", "replace").decode()
            raise BadFileFormat(f"This string is not a valid Orthanc identifier: {shown}")
    return tuple(dict.fromkeys(items))
