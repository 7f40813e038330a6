"""A form of a web page with files (multipart/form-data, RFC 7578): POST /instances from a browser.

Each part is one DICOM file, streamed to its place as it arrives. All parts are committed together;
one that is no DICOM refuses the whole form.

Not here: multipart/related (DICOMweb).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.responses import Response

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge
from wherry.http.answers import empty_answer
from wherry.http.body import pump
from wherry.http.services import Services
from wherry.http.threads import in_thread, post
from wherry.ingest.ingest import Ingest
from wherry.ingest.staging import Staging
from wherry.model import Origin, StagedInstance

_FORM = b"multipart/form-data"


def boundary_of(request: Request) -> bytes | None:
    """What stands between the parts; None when the body is no form."""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            if value[: len(_FORM)].lower() != _FORM:
                return None
            return parse_options_header(value)[1].get(b"boundary")
    return None


async def upload_form(
    request: Request, rooms: Services, origin: Origin, boundary: bytes, limit: int
) -> Response:
    """POST /instances of a form: nothing to say but 200, as Orthanc."""
    form = _Form(rooms.ingest, origin, boundary)
    run = rooms.drawing.make if rooms.ingest.transcodes else in_thread
    try:
        await pump(request, form.write, limit)
        await run(form.commit)
    except Exception:
        await in_thread(form.abort)
        raise
    except BaseException:  # cancelled: nobody may wait here
        post(form.abort)
        raise
    return empty_answer()


class _Form:
    """The parts on their way in. Blocking; one thread at a time."""

    def __init__(self, ingest: Ingest, origin: Origin, boundary: bytes) -> None:
        self._ingest = ingest
        self._origin = origin
        self._part: Staging | None = None
        self._staged: list[StagedInstance] = []
        self._ended = False
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }
        self._parser: Any = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes of the body. Raises ``BadFileFormat`` and what staging raises."""
        try:
            self._parser.write(bytes(data))
        except MultipartParseError:
            raise BadFileFormat("The form is malformed") from None

    def commit(self) -> None:
        """The body is whole."""
        if not self._ended:
            raise BadFileFormat("The form is cut off")
        staged, self._staged = self._staged, []
        if staged:
            self._ingest.commit(staged)

    def abort(self) -> None:
        """Forget the bytes. Safe to call twice."""
        if self._part is not None:
            self._part.abort()
        staged, self._staged = self._staged, []
        self._ingest.discard(staged)

    def _begin(self) -> None:
        if len(self._staged) >= limits.ZIP_ENTRIES:
            raise TooLarge(f"A form may have at most {limits.ZIP_ENTRIES} files")
        self._part = self._ingest.stage(self._origin)

    def _data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        self._part.write(data[start:end])

    def _end(self) -> None:
        assert self._part is not None
        part, self._part = self._part, None
        self._staged.append(part.finish())

    def _all(self) -> None:
        self._ended = True
