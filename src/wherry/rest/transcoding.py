"""What a request says of transcoding: ``?transcode=`` and ``?lossy-quality=``, ``Transcode`` and
``LossyQuality`` in a body; and a stored file that is answered in another transfer syntax."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response

from wherry.dicom.codecs.syntaxes import ENCODED
from wherry.dicom.uids import TRANSFER_SYNTAXES
from wherry.errors import BadFileFormat, ParameterOutOfRange
from wherry.http.answers import DICOM, header_value
from wherry.http.pieces import pieces_answer, type_pieces
from wherry.http.services import Services
from wherry.imaging.stored import checked_source, read_pieces
from wherry.model import Attachment, type_json
from wherry.rest.arguments import number

_BEST = 100


def transfer_syntax(uid: str) -> str:
    """``uid`` again. Raises ``ParameterOutOfRange`` when it is none that is known."""
    if uid not in TRANSFER_SYNTAXES and uid not in ENCODED:
        raise ParameterOutOfRange(f"Unknown transfer syntax: {uid[:64]}")
    return uid


def asked_syntax(request: Request) -> str:
    """``?transcode=``, or ""."""
    uid = request.query_params.get("transcode")
    return "" if uid is None else transfer_syntax(uid)


def asked_quality(request: Request) -> int | None:
    """``?lossy-quality=``, 1 to 100. Raises ``BadParameterType``, ``ParameterOutOfRange``."""
    return _quality(number(request, "lossy-quality"))


def read_quality(body: Mapping[str, type_json]) -> int | None:
    """``LossyQuality`` of a body, 1 to 100. Raises ``BadFileFormat``, ``ParameterOutOfRange``."""
    found = body.get("LossyQuality")
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise BadFileFormat("Integer value expected in field: LossyQuality")
    return _quality(found)


def _quality(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= _BEST:
        raise ParameterOutOfRange("The quality of lossy compression is between 1 and 100")
    return value


def transcoded_answer(
    rooms: Services,
    attachment: Attachment,
    syntax: str,
    quality: int | None,
    headers: Mapping[str, str],
) -> Response:
    """The file in this transfer syntax, or as it is when it cannot be had. Blocking."""
    with ExitStack() as stack:
        stored = stack.enter_context(checked_source(rooms.storage, attachment))
        making = rooms.transcoder.or_as_it_is(stored, [syntax], quality=quality)
        made = stack.enter_context(making)
        source = stored if made is None else made.source
        kept = stack.pop_all()

    def pieces() -> type_pieces:
        with kept:
            yield from read_pieces(source)

    raw = [(name.lower().encode("ascii"), header_value(one)) for name, one in headers.items()]
    return pieces_answer(pieces(), DICOM, raw, source.size)
