"""Resources as a client asked for them: read from the index page by page, and rendered.

A long list is read, rendered and sent in pages, so that memory does not grow with it; each page
is one snapshot of the index.

Not here: the members of a resource (``rendering``), parsing of requests (``shapes``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby, islice

from starlette.responses import Response

from wherry import limits
from wherry.config import Config
from wherry.errors import UnknownResource
from wherry.http.answers import JsonListAnswer, json_answer
from wherry.http.services import Services
from wherry.http.threads import in_thread
from wherry.index import metadata, related, resources
from wherry.index.database import Transaction
from wherry.index.requested import Requested
from wherry.model import Attachment, Level, Resource
from wherry.rest import rendering, requested
from wherry.rest.names import metadata_name
from wherry.rest.rendering import type_json
from wherry.rest.shapes import Shape

type_page = list[type_json]
type_place = tuple[Level, str]
"""A resource by its level and identifier."""


def expanded(rooms: Services, level: Level, ids: Sequence[str], shape: Shape) -> Response:
    """Resources in the order of ``ids``; what was deleted meanwhile is left out. Blocking."""

    def page(start: int) -> type_page:
        piece = ids[start : start + limits.EXPANDED_PAGE]
        return describe(rooms, lambda tx: resources.get_many(tx, level, piece), shape)

    return paged(page(start) for start in range(0, len(ids), limits.EXPANDED_PAGE))


async def expanded_level(
    rooms: Services,
    level: Level,
    shape: Shape,
    *,
    under: type_place | None = None,
    since: int = 0,
    limit: int | None = None,
) -> Response:
    """The resources of a level, those below the resource ``under`` or all, in order of arrival:
    ``limit`` of them after the first ``since``.

    A few are answered at once when the index is inside this process: to hand the work to another
    thread would take longer. Raises ``UnknownResource`` when nothing is below ``under``.
    """
    few = limits.QUICK_RESOURCES if limit is None else min(limit, limits.QUICK_RESOURCES)
    if rooms.index.embedded and shape.is_plain and since < limits.QUICK_RESOURCES:
        with rooms.index.read() as tx:
            found = resources.following(tx, level, few, under=under, skip=since)
        if len(found) < limits.QUICK_RESOURCES:
            if not found and under is not None:
                raise UnknownResource
            return json_answer([rendering.resource(one, shape.form) for one in found])
    return await in_thread(_expanded_level, rooms, level, shape, under, since, limit)


def _expanded_level(
    rooms: Services,
    level: Level,
    shape: Shape,
    under: type_place | None,
    since: int,
    limit: int | None,
) -> Response:
    def pages() -> Iterator[type_page]:
        last, skip, left = 0, since, limit
        while left is None or left > 0:
            size = limits.EXPANDED_PAGE if left is None else min(left, limits.EXPANDED_PAGE)
            with rooms.index.read() as tx:
                found = resources.following(tx, level, size, under=under, after=last, skip=skip)
                extras = extras_of(tx, rooms.config, found, shape)
            if not found and under is not None and last == 0:
                raise UnknownResource
            yield render(rooms, found, extras, shape)
            if len(found) < size:
                return
            last, skip = found[-1].row, 0
            left = None if left is None else left - size

    return paged(pages())


def paged(pages: Iterator[type_page]) -> Response:
    """All pages as one list: a short one at once, a longer one page by page. Blocking."""
    first, second = next(pages, []), next(pages, None)
    if second is None:
        return json_answer(first)
    return JsonListAnswer(chain((first, second), pages))


def describe(
    rooms: Services, fetch: Callable[[Transaction], Sequence[Resource]], shape: Shape
) -> type_page:
    """What ``fetch`` finds, as the request asked for it. Blocking; reads files if it must."""
    with rooms.index.read() as tx:
        found = fetch(tx)
        extras = extras_of(tx, rooms.config, found, shape)
    return render(rooms, found, extras, shape)


class Extras:
    """What is shown of resources of one level beyond their rows, read in one transaction."""

    def __init__(
        self, tx: Transaction, config: Config, found: Sequence[Resource], shape: Shape
    ) -> None:
        rows = [one.row for one in found]
        self._found = found
        self._metadata = {}
        if shape.shows_metadata:
            ids = [one.orthanc_id for one in found]
            self._metadata = metadata.of_many(tx, found[0].level, ids)
        self._attachments = related.attachments(tx, rows) if shape.shows_attachments else {}
        self._requested = Requested()
        if shape.requested:
            self._requested = requested.known(tx, config, found, shape.requested)

    def members(self, rooms: Services, shape: Shape) -> dict[int, type_json]:
        """Row → members. Reads files if it must."""
        tags = requested.complete(rooms, self._requested, shape.form)
        attachments = self._complete_attachments(rooms)
        answer = {}
        for one in self._found:
            members: type_json = {}
            if shape.shows_metadata:
                entries = self._metadata.get(one.orthanc_id, {})
                members["Metadata"] = {
                    metadata_name(rooms.config, number): entry.value
                    for number, entry in entries.items()
                }
            if shape.shows_attachments:
                files = attachments.get(one.row, [])
                members["Attachments"] = [rendering.attachment(file) for file in files]
            if shape.requested:
                members["RequestedTags"] = tags.get(one.row, {})
            answer[one.row] = members
        return answer

    def _complete_attachments(self, rooms: Services) -> dict[int, list[Attachment]]:
        """With the MD5s that are shown, of files that can be read."""
        files = [file for row in self._attachments.values() for file in row]
        if rooms.config.store_md5_for_attachments:
            files = rooms.ingest.digesting.with_md5(files, permissive=True)
        else:
            files = [replace(file, uncompressed_md5="", compressed_md5="") for file in files]
        known = iter(files)
        return {row: list(islice(known, len(of))) for row, of in self._attachments.items()}


def extras_of(
    tx: Transaction, config: Config, found: Sequence[Resource], shape: Shape
) -> list[Extras]:
    """What ``shape`` wants beyond the rows of these resources, level by level."""
    if shape.is_plain:
        return []
    return [
        Extras(tx, config, list(some), shape)
        for _, some in groupby(sorted(found, key=_level), key=_level)
    ]


def _level(of: Resource) -> Level:
    return of.level


def render(
    rooms: Services, found: Sequence[Resource], extras: Sequence[Extras], shape: Shape
) -> type_page:
    """The JSON of these resources in their order. Outside of the transaction, because it may read
    files."""
    if shape.is_plain:
        return [rendering.resource(one, shape.form) for one in found]
    members: dict[int, type_json] = {}
    for some in extras:
        members |= some.members(rooms, shape)
    whole = [rendering.resource(one, shape.form) | members[one.row] for one in found]
    if shape.content is None:
        return whole
    return [rendering.only(one, shape.content) for one in whole]
