"""Frames as arrays: ``numpy`` of a frame, an instance and a series, ``matlab`` of a frame.

A worker process writes the values behind an empty header into a nameless file, instance after
instance; the header is written when all is known. Nothing of it is held in memory.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.ordering import order
from wherry.dicom.pixels.npy import NUMPY_HEADER_BYTES, numpy_header
from wherry.errors import (
    CannotDecode,
    CannotOrderSlices,
    CannotWriteFile,
    InexistentTag,
    NotImplementedYet,
    UnknownResource,
)
from wherry.http.answers import empty_answer
from wherry.http.services import Services, services
from wherry.imaging.stored import stored_source
from wherry.rest.arguments import flag, parsed_number
from wherry.rest.scratched import scratch_answer
from wherry.rest.slices import series_slices
from wherry.rest.stored import dicom_file
from wherry.storage import scratch

_NAME: Final = "arr_0"
_BYTES, _TEXT = b"application/octet-stream", b"text/plain"


def routes() -> list[Route]:
    """Routes below instances, frames and series."""
    frame = "/instances/{id}/frames/{number}"
    return [
        Route("/instances/{id}/numpy", numpy_of_instance),
        Route(f"{frame}/numpy", numpy_of_instance),
        Route("/series/{id}/numpy", numpy_of_series),
        Route("/instances/{id}/matlab", matlab),
        Route(f"{frame}/matlab", matlab),
    ]


async def numpy_of_instance(request: Request) -> Response:
    """GET …/numpy: values of a frame, or of all, as ``.npy``; 32-bit floats unless
    ``?rescale=0``; ``?compress``: as ``.npz``."""
    text = request.path_params.get("number")
    frame = None if text is None else parsed_number(text)
    if text is not None and frame is None:
        return empty_answer(404)
    return await _numpy(request, lambda rooms: [request.path_params["id"]], frame)


async def numpy_of_series(request: Request) -> Response:
    """GET /series/{id}/numpy: all frames of all instances, in the order of the slices."""
    return await _numpy(request, lambda rooms: _instances(rooms, request.path_params["id"]), None)


async def matlab(request: Request) -> Response:
    """GET …/matlab: stored values of a frame as text."""
    frame = parsed_number(request.path_params.get("number", "0"))
    if frame is None:
        return empty_answer(404)

    def fill(rooms: Services, sink: int) -> None:
        attachment = dicom_file(rooms, request.path_params["id"])
        with stored_source(rooms.storage, attachment) as source:
            rooms.imaging.run("text", {"frame": frame}, source, sink)

    return await _answer(services(request), fill, _TEXT)


async def _numpy(
    request: Request, instances: Callable[[Services], list[str]], frame: int | None
) -> Response:
    rescale = flag(request, "rescale", default=True)

    def fill(rooms: Services, sink: int) -> None:
        _fill(rooms, instances(rooms), frame, sink, rescale=rescale)

    return await _answer(services(request), fill, _BYTES, pack=flag(request, "compress"))


async def _answer(
    rooms: Services, fill: Callable[[Services, int], None], kind: bytes, *, pack: bool = False
) -> Response:
    """What ``fill`` writes into a file; ``pack``: as the only member of an archive."""

    def make() -> Response:
        work = partial(fill, rooms)
        return scratch_answer(partial(_pack, work) if pack else work, kind)

    try:
        return await rooms.drawing.make(make)
    except InexistentTag:
        raise NotImplementedYet from None  # as Orthanc calls it when there is no image


def _fill(
    rooms: Services, instances: list[str], frame: int | None, sink: int, *, rescale: bool
) -> None:
    """Write the values of these instances, and the header before them."""
    end, frames = NUMPY_HEADER_BYTES, 0
    form: tuple[str, list[int]] | None = None
    wanted = {"frame": frame, "rescale": rescale}
    for one in instances:
        with stored_source(rooms.storage, dicom_file(rooms, one)) as source:
            found = rooms.imaging.run("array", wanted, source, sink, at=end)
        count, *size = found["shape"]
        if form is not None and form != (found["kind"], size):
            raise CannotDecode("The images of the series differ in size or kind")
        form = found["kind"], size
        frames += count
        end += count * math.prod(size) * int(found["kind"][2:])
    if form is None:
        raise UnknownResource
    shape = form[1] if frame is not None else [frames, *form[1]]
    os.pwrite(sink, numpy_header(form[0], shape), 0)


def _instances(rooms: Services, series: str) -> list[str]:
    """The instances of a series, in order as far as there is one. Raises ``UnknownResource``."""
    found = series_slices(rooms.index, series)
    try:
        return [one.orthanc_id for one in order(found.slices, found.orientation)[1]]
    except CannotOrderSlices:
        return [one.orthanc_id for one in found.slices]


def _pack(fill: Callable[[int], None], sink: int) -> None:
    """Write what ``fill`` writes as the only member of an archive, as numpy's ``load`` reads it."""
    with scratch.nameless() as plain:
        fill(plain.fileno())
        try:
            with (
                open(sink, "wb", closefd=False) as out,
                zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
                archive.open(_NAME, "w", force_zip64=True) as member,
            ):
                for piece in scratch.read_all(plain):
                    member.write(piece)
        except OSError as error:
            raise CannotWriteFile("No room to pack an array") from error
