"""Frames as pictures: ``preview``, ``rendered``, ``image-uint8``, ``image-uint16``, ``image-int16``
of an instance (its first frame) and of each frame.

They are made by worker processes. What cannot be decoded, or is no image, is answered 415 without a
body; with ``?returnUnsupportedImage`` the client is sent to a picture that says so.
"""

from __future__ import annotations

from functools import partial
from math import isfinite
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import (
    BadFileFormat,
    BadParameterType,
    InexistentTag,
    ParameterOutOfRange,
    UnknownResource,
    UnsupportedMediaType,
)
from wherry.http.answers import empty_answer
from wherry.http.services import services
from wherry.imaging.stored import stored_source
from wherry.rest.arguments import flag, number, parsed_number
from wherry.rest.scratched import scratch_answer
from wherry.rest.stored import dicom_file

_SHOWN: Final = ("preview", "rendered", "image-uint8", "image-uint16", "image-int16")

_PNG, _JPEG = "image/png", "image/jpeg"
_TYPES: Final = (_PNG, _JPEG, "image/x-portable-arbitrarymap")
_QUALITY: Final = 90


def routes() -> list[Route]:
    """Routes below /instances/{id} and /instances/{id}/frames/{number}."""
    return [
        Route(f"{place}/{show}", partial(picture, show=show))
        for place in ("/instances/{id}", "/instances/{id}/frames/{number}")
        for show in _SHOWN
    ]


async def picture(request: Request, show: str) -> Response:
    """GET …/{show}: PNG, or what ``Accept`` prefers; 404 when that is none of ours."""
    frame = parsed_number(request.path_params.get("number", "0"))
    kind = _accepted(request.headers.get("accept"))
    if frame is None or not kind or (kind == _JPEG and show.endswith("16")):
        return empty_answer(404)
    wanted = {"show": show, "frame": frame, "type": kind, **_arguments(request, show)}
    rooms = services(request)

    def make() -> Response:
        attachment = dicom_file(rooms, request.path_params["id"])
        with stored_source(rooms.storage, attachment) as source:
            fill = partial(rooms.imaging.run, "picture", wanted, source)
            return scratch_answer(fill, kind.encode())

    try:
        return await rooms.drawing.make(make)
    except (UnknownResource, ParameterOutOfRange):
        return empty_answer(404)
    except (UnsupportedMediaType, BadFileFormat, InexistentTag):
        if not flag(request, "returnUnsupportedImage"):
            return empty_answer(415)
        up = "../" * (request.scope["path"].count("/") - 1)
        return empty_answer(301, [(b"location", f"{up}app/images/unsupported.png".encode())])


def _arguments(request: Request, show: str) -> dict[str, Any]:
    """What is behind the question mark. Raises ``BadParameterType``, ``ParameterOutOfRange``."""
    quality = number(request, "quality")
    if quality is None:
        quality = _QUALITY
    if not 1 <= quality <= 100:
        raise ParameterOutOfRange("The quality of JPEG is a number from 1 to 100")
    if show != "rendered":
        return {"quality": quality}
    width, height = number(request, "width") or 0, number(request, "height") or 0
    if max(width, height) > limits.PICTURE_SIDE:
        raise ParameterOutOfRange(f"Pictures have at most {limits.PICTURE_SIDE} pixels a side")
    return {
        "quality": quality,
        "width": width,
        "height": height,
        "smooth": flag(request, "smooth"),
        "center": _decimal(request, "window-center"),
        "window": _decimal(request, "window-width"),
    }


def _decimal(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or abs(value) > 1e30:
        raise BadParameterType(f"A number expected in argument: {name}")
    return value


def _accepted(header: str | None) -> str:
    """The media type that the client likes best; one that it names before one it does not mind;
    "" when it takes none of ours."""
    if header is None:
        return _PNG
    likes: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        likes.setdefault(name.lower(), _weight(parameters))
    named = [name for name, weight in likes.items() if name in _TYPES and weight > 0]
    if named:
        return max(named, key=lambda name: likes[name])
    return _PNG if likes.get("image/*", 0) > 0 or likes.get("*/*", 0) > 0 else ""


def _weight(parameters: list[str]) -> float:
    """The value of ``q`` (RFC 9110 §12.4.2)."""
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
