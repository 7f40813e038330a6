"""What a peer says of its failure: the error answers of Orthanc, and whatever else may come."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from wherry import limits


@dataclass(frozen=True, slots=True)
class PeerError:
    """What a peer says of its failure."""

    code: int | None
    """``OrthancStatus``."""
    text: str
    """``Details``, or ``Message`` without; one line, cut; empty when nothing was said."""
    uri: str = ""
    """The path that it answers to; empty when nothing was said."""

    def is_about(self, target: str) -> bool:
        """Whether the request for ``target`` may have been heard as it was meant: a proxy may have
        put something before it."""
        path = re.sub("/+", "/", target.partition("?")[0]).rstrip("/")
        return not self.uri or self.uri.rstrip("/").endswith(path)


def read_error(body: bytes) -> PeerError:
    """The cause in an error answer, as far as there is one."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return PeerError(None, "")
    if not isinstance(document, dict):
        return PeerError(None, "")
    code = document.get("OrthancStatus")
    texts = (document.get("Details"), document.get("Message"))
    text = next((text for text in texts if isinstance(text, str) and text), "")
    readable = "".join(c if c.isprintable() else " " for c in text[: limits.PEER_ERROR_CHARACTERS])
    uri = document.get("Uri")
    return PeerError(
        code if isinstance(code, int) else None, readable, uri if isinstance(uri, str) else ""
    )
