"""The instances of a series in the order of their slices. Everything needed is in the index."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.frames import count_of
from wherry.dicom.ordering import Slice, order
from wherry.errors import BadFileFormat, CannotOrderSlices, UnknownResource
from wherry.http.answers import json_answer
from wherry.http.services import services
from wherry.index import resources
from wherry.index.database import Index
from wherry.model import Level, Resource

_POSITION, _ORIENTATION, _FRAMES = "0020,0032", "0020,0037", "0028,0008"


def routes() -> list[Route]:
    """/series/{id}/ordered-slices."""
    return [Route("/series/{id}/ordered-slices", ordered_slices)]


@dataclass(frozen=True, slots=True)
class SeriesSlices:
    """What the index knows of the slices of a series."""

    orientation: str
    slices: list[Slice]
    frames: dict[str, int]
    """Of each instance."""


def series_slices(index: Index, series_id: str) -> SeriesSlices:
    """Raises ``UnknownResource``, ``BadFileFormat`` beyond ``limits.DICOM_FRAMES``."""
    slices: list[Slice] = []
    frames: dict[str, int] = {}
    with index.read() as tx:
        series = resources.get(tx, Level.SERIES, series_id)
        if series is None:
            raise UnknownResource
        for start in range(0, len(series.children), limits.EXPANDED_PAGE):
            page = series.children[start : start + limits.EXPANDED_PAGE]
            for instance in resources.get_many(tx, Level.INSTANCE, page):
                slices.append(_slice(instance))
                frames[instance.orthanc_id] = count_of(instance.tags.get(_FRAMES))
    if sum(frames.values()) > limits.DICOM_FRAMES:
        raise BadFileFormat(f"more than {limits.DICOM_FRAMES} frames")
    return SeriesSlices(series.tags.get(_ORIENTATION, ""), slices, frames)


def ordered_slices(request: Request) -> Response:
    """GET /series/{id}/ordered-slices: instances, and their frames, in spatial order."""
    series_id = request.path_params["id"]
    series = series_slices(services(request).index, series_id)
    try:
        kind, found = order(series.slices, series.orientation)
    except CannotOrderSlices:
        raise CannotOrderSlices(f"Unable to order the slices of series {series_id}") from None
    ids, frames = [one.orthanc_id for one in found], series.frames
    return json_answer(
        {
            "Type": kind,
            "Dicom": [f"/instances/{one}/file" for one in ids],
            "Slices": [f"/instances/{one}/frames/{n}" for one in ids for n in range(frames[one])],
            "SlicesShort": [[one, 0, frames[one]] for one in ids],
        }
    )


def _slice(instance: Resource) -> Slice:
    tags = instance.tags
    return Slice(
        instance.orthanc_id,
        tags.get(_POSITION, ""),
        tags.get(_ORIENTATION, ""),
        instance.index_in_series,
    )
