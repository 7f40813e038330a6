"""Routes that make new resources of stored ones: modify and anonymize, at three levels and in bulk.

All of them are jobs: the new instances appear together, at the end.

Not here: one instance, which is answered and not stored; splitting and merging (``regrouping``);
the jobs themselves (``wherry.editing``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.editing.profiles import DEFAULT_EDITION
from wherry.dicom.editing.rules import Rules, rules_of
from wherry.dicom.uids import TRANSFER_SYNTAXES
from wherry.editing.order import MODIFICATION, EditOrder
from wherry.editing.seeds import Seed, draw_seed
from wherry.errors import BadFileFormat, ParameterOutOfRange, TooLarge, UnknownResource
from wherry.http.auth import remote_ip, username
from wherry.http.body import read_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import editing, resources
from wherry.index.database import Transaction
from wherry.model import Level, type_json
from wherry.rest.joborders import JobOrder, answer_job, read_boolean, read_options
from wherry.rest.transcoding import read_quality

_LEVELS: Final = {level.title.lower(): level for level in Level}

type_body = dict[str, Any]
type_look = Callable[[Transaction], None]


def routes() -> list[Route]:
    """Their routes."""
    found = []
    for name, anonymize in (("modify", False), ("anonymize", True)):
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
            path = f"/{level.plural}/{{id}}/{name}"
            work = partial(edit, level=level, anonymize=anonymize)
            found.append(Route(path, work, methods=["POST"]))
        work = partial(edit_several, anonymize=anonymize)
        found.append(Route(f"/tools/bulk-{name}", work, methods=["POST"]))
    return found


async def edit(request: Request, level: Level, anonymize: bool) -> Response:
    """POST /{patients|studies|series}/{id}/modify and /anonymize: a new resource like this one, by
    a job."""
    body = await read_object(request)
    rules = await in_thread(_rules, body, level, anonymize=anonymize)
    orthanc_id = request.path_params["id"]

    def look(tx: Transaction) -> None:
        if resources.locate(tx, [orthanc_id]).get(orthanc_id) is not level:
            raise UnknownResource

    return await answer_edit(
        request, body, MODIFICATION, [orthanc_id], rules, look, keep_source=True, level=level
    )


async def edit_several(request: Request, anonymize: bool) -> Response:
    """POST /tools/bulk-modify and /tools/bulk-anonymize: the same of ``Resources`` of any level, in
    one job; ``Level`` says which identifiers become new ones."""
    body = await read_object(request)
    ids = names_in(body, "Resources")
    rules = await in_thread(_rules, body, _level(body), anonymize=anonymize)

    def look(tx: Transaction) -> None:
        if resources.locate(tx, ids).keys() != set(ids):
            raise UnknownResource

    return await answer_edit(request, body, MODIFICATION, ids, rules, look, keep_source=True)


def _rules(body: type_body, level: Level, *, anonymize: bool) -> Rules:
    syntax = body.get("Transcode", "")
    if syntax not in ("", *TRANSFER_SYNTAXES):
        raise BadFileFormat(f"Unknown transfer syntax UID: {str(syntax)[:64]}")
    return rules_of(body, level, anonymize=anonymize, default_profile=DEFAULT_EDITION)


def _level(body: type_body) -> Level:
    name = body.get("Level", Level.INSTANCE.title)
    if not isinstance(name, str):
        raise BadFileFormat("String value expected in field: Level")
    if name.lower() not in _LEVELS:
        raise ParameterOutOfRange
    return _LEVELS[name.lower()]


# --- what all orders to edit have in common ------------------------------------------------------
class _NotAnObject(BadFileFormat):
    def __init__(self, details: str = "") -> None:
        super().__init__("")


async def read_object(request: Request) -> type_body:
    """The body, which must be an object. Raises ``BadFileFormat``."""
    body = await read_json(request, refuse=_NotAnObject)
    if not isinstance(body, dict):
        raise BadFileFormat
    return body


def names_in(body: Mapping[str, type_json], field: str) -> list[str]:
    """A list of identifiers, each once. Raises ``BadFileFormat``, ``TooLarge``."""
    names = body.get(field)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadFileFormat(f"List of strings expected in field: {field}")
    if len(names) > limits.BULK_RESOURCES:
        raise TooLarge(f"At most {limits.BULK_RESOURCES} resources at once")
    return list(dict.fromkeys(names))


async def answer_edit(
    request: Request,
    body: type_body,
    type: str,
    ids: Sequence[str],
    rules: Rules,
    look: type_look,
    *,
    keep_source: bool,
    **more: Any,
) -> Response:
    """Submit the job; ``look`` raises when what it needs is not there. ``keep_source``: when the
    body does not say; ``more`` of the order."""
    options = read_options(body)
    keep_source = read_boolean(body, "KeepSource") if "KeepSource" in body else keep_source
    rooms = services(request)
    count, seed = await in_thread(_prepare, rooms, ids, rules, look)
    order = EditOrder(
        type=type,
        resources=tuple(ids),
        rules=rules.document(),
        seed=seed,
        anonymize=rules.is_anonymization,
        keep_source=keep_source,
        keep_labels=read_boolean(body, "KeepLabels"),
        permissive=options.permissive,
        transcode=rules.transcode,
        quality=read_quality(body) or 0,
        remote_ip=remote_ip(request.scope),
        username=username(request.scope),
        **more,
    )
    return await answer_job(
        request, JobOrder(type, order.parameters(), order.content(count), options)
    )


def _prepare(
    rooms: Services, ids: Sequence[str], rules: Rules, look: type_look
) -> tuple[int, Seed]:
    """How many instances that is, and what their pseudonyms are made of."""
    with rooms.index.read() as tx:
        look(tx)
        count = editing.count(tx, ids)
    if count > limits.EDITED_INSTANCES:
        raise TooLarge(f"At most {limits.EDITED_INSTANCES} instances at once")
    return count, draw_seed(rooms.index, rooms.config.wherry.anonymization_secret, rules)
