"""Entity tags of metadata and attachments: ``ETag``, ``If-None-Match``, ``If-Match``.

A tag is ``"REVISION-MD5"``. Clients also send it without its quotes, and proxies that compress
answers mark it as weak; both are understood.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from wherry.config import Config
from wherry.errors import BadRevision, ParameterOutOfRange
from wherry.http.answers import empty_answer, type_headers
from wherry.model import Attachment, Revision

_TAG: Final = re.compile(r'\s*(?:W/)?("?)(\d{1,18})-([0-9A-Za-z]{0,64})\1\s*')


def state_of(config: Config, attachment: Attachment) -> Revision:
    """The state of an attachment as it is shown."""
    return Revision(attachment.revision, shown_md5(config, attachment.uncompressed_md5))


def shown_md5(config: Config, md5: str) -> str:
    """Digests are always kept, for our own checks; ``StoreMD5ForAttachments`` may hide them."""
    return md5 if config.store_md5_for_attachments else ""


def tag_header(state: Revision) -> type_headers:
    """The header ``ETag``."""
    return [(b"etag", state.entity_tag.encode("ascii"))]


def not_modified(request: Request, state: Revision) -> Response | None:
    """304 when the client has this state already. Raises ``ParameterOutOfRange``."""
    text = request.headers.get("if-none-match")
    if text is None:
        return None
    known = [_parsed(part, "If-None-Match") for part in text.split(",")]
    return empty_answer(304, tag_header(state)) if state in known else None


def claimed(request: Request) -> Revision | None:
    """The state that a client means to change, if it says so. Raises ``ParameterOutOfRange``."""
    text = request.headers.get("if-match")
    return None if text is None else _parsed(text, "if-match")


def claimed_by_removal(request: Request, *, required: bool) -> Revision | None:
    """The same of a DELETE, which must say so when revisions are checked, whether there is
    something to delete or not. Raises ``BadRevision``, ``ParameterOutOfRange``."""
    state = claimed(request)
    if state is None and required:
        raise BadRevision('HTTP header "If-Match" is missing, as "CheckRevisions" is "true"')
    return state


def _parsed(text: str, header: str) -> Revision:
    match = _TAG.fullmatch(text)
    if match is None:
        found = "".join(c for c in text.strip('"') if " " <= c < "\x7f")[:100]
        raise ParameterOutOfRange(
            f'The "{header}" HTTP header should contain the ETag (revision followed by MD5 hash),'
            f" but found: {found}"
        )
    return Revision(int(match[2]), match[3].lower())
