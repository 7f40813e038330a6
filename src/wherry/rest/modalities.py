"""Other DICOM systems that this server knows: shown, declared, forgotten, asked whether they are
there, given what is here.

Not here: what is said to them (``wherry.modalities``), queries.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.config.modalities import read_modality
from wherry.errors import (
    BadFileFormat,
    BadParameterType,
    ConfigurationError,
    InexistentItem,
    ParameterOutOfRange,
)
from wherry.http.answers import PLAIN_JSON, Answer, empty_answer, json_answer
from wherry.http.body import is_gzip, pump, read_body, read_json
from wherry.http.inflate import Inflating
from wherry.http.services import Services, services
from wherry.http.spool import Spool
from wherry.http.threads import in_thread
from wherry.index.sending import files_of, log_exports
from wherry.modalities.associations.calling import target
from wherry.modalities.book import check_manufacturer
from wherry.modalities.echo import echo as ask
from wherry.modalities.sending.order import StoreOrder
from wherry.modalities.sending.store import TYPE
from wherry.modalities.sending.straight import store_file
from wherry.model import Modality, type_json
from wherry.rest.arguments import flag
from wherry.rest.joborders import JobOrder, answer_job, read_boolean, read_options
from wherry.rest.sending import read_sending

_PREFIX = "/modalities/{name}/"
_DAY_S = 24 * 3600
_PORTS = 65_535
_MESSAGES = 65_535
"""Numbers of DIMSE messages have 16 bits."""


def routes() -> list[Route]:
    """Routes of modalities."""
    return [
        Route("/modalities", listing),
        Route("/modalities/{name}", operations, methods=["GET"]),
        Route("/modalities/{name}", declare, methods=["PUT"]),
        Route("/modalities/{name}", forget, methods=["DELETE"]),
        Route("/modalities/{name}/configuration", configuration),
        Route("/modalities/{name}/echo", echo, methods=["POST"]),
        Route("/modalities/{name}/store", store, methods=["POST"]),
        Route("/modalities/{name}/store-straight", store_straight, methods=["POST"]),
        Route("/tools/dicom-echo", dicom_echo, methods=["POST"]),
    ]


# --- the book --------------------------------------------------------------------------------
def listing(request: Request) -> Response:
    """GET /modalities: names, ``?expand`` with their configuration."""
    found = services(request).modalities.all()
    if flag(request, "expand"):
        return json_answer({one.name: shown(one) for one in found})
    return json_answer([one.name for one in found])


def operations(request: Request) -> Response:
    """GET /modalities/{name}: what can be asked of it; 404 without a body when unknown."""
    try:
        services(request).modalities.get(request.path_params["name"])
    except InexistentItem:
        return empty_answer(404)
    paths = (route.path for route in request.app.routes)
    return json_answer(
        sorted({path.removeprefix(_PREFIX) for path in paths if path.startswith(_PREFIX)})
    )


def configuration(request: Request) -> Response:
    """GET /modalities/{name}/configuration."""
    return json_answer(shown(services(request).modalities.get(request.path_params["name"])))


async def declare(request: Request) -> Response:
    """PUT /modalities/{name}: a new one, or other settings for a known one."""
    entry = await read_json(request)
    await in_thread(services(request).modalities.put, request.path_params["name"], entry)
    return empty_answer()


def forget(request: Request) -> Response:
    """DELETE /modalities/{name}."""
    name = request.path_params["name"]
    try:
        services(request).modalities.remove(name)
    except InexistentItem:
        raise InexistentItem(f"Unknown DICOM modality with symbolic name: {name}") from None
    return empty_answer()


# --- C-ECHO ----------------------------------------------------------------------------------
async def echo(request: Request) -> Response:
    """POST /modalities/{name}/echo: whether it is there; ``CheckFind``: and answers queries."""
    modality = await in_thread(services(request).modalities.get, request.path_params["name"])
    body = await read_body(request, limits.JSON_BODY_BYTES)
    return await _echo(request, modality, _parsed(body) if body else {})


async def dicom_echo(request: Request) -> Response:
    """POST /tools/dicom-echo: the same of a modality that the body describes."""
    body = await read_body(request, limits.JSON_BODY_BYTES)
    entry = _parsed(body)
    check_manufacturer(entry)
    try:
        modality = read_modality("", entry)
    except ConfigurationError as error:
        raise BadFileFormat(error.details) from None
    return await _echo(request, modality, entry)


async def _echo(request: Request, modality: Modality, options: Any) -> Response:
    rooms = services(request)
    options = options if isinstance(options, dict) else {}
    at = target(rooms.config, modality, timeout_s=read_timeout(options))
    check_find = rooms.config.dimse.echo_checks_find
    if "CheckFind" in options:
        check_find = read_boolean(options, "CheckFind")

    def work() -> None:
        rooms.associations.let_go(at)
        ask(at, check_find=check_find)

    await rooms.transfers.patiently(work)
    return Answer(b"{}", 200, PLAIN_JSON)


# --- C-STORE ---------------------------------------------------------------------------------
async def store(request: Request) -> Response:
    """POST /modalities/{name}/store: a job that sends resources, one C-STORE an instance."""
    rooms = services(request)
    modality = await in_thread(rooms.modalities.get, request.path_params["name"])
    resources, body = read_sending(await read_body(request, limits.JSON_BODY_BYTES))
    options = read_options(body)
    order = StoreOrder(
        modality.name,
        resources,
        permissive=options.permissive,
        local_aet=_text(body, "LocalAet"),
        called_aet=_text(body, "CalledAet"),
        host=_text(body, "Host"),
        port=_number(body, "Port", 1, _PORTS) or 0,
        timeout_s=read_timeout(body),
        originator_aet=_text(body, "MoveOriginatorAet"),
        originator_id=_number(body, "MoveOriginatorID", 0, _MESSAGES),
        storage_commitment=_truth(body, "StorageCommitment"),
    )
    content = await in_thread(_prepare, rooms, order, modality)
    return await answer_job(request, JobOrder(TYPE, order.parameters(), content, options))


def _prepare(rooms: Services, order: StoreOrder, modality: Modality) -> dict[str, type_json]:
    """Look at what is to be sent, and log that it is; the public content of the job."""
    at = order.target(rooms.config, modality)
    with rooms.index.read() as tx:
        content = order.content(tx, at, len(files_of(tx, order.resources)))
    if rooms.config.log_exported_resources:
        log_exports(rooms.index, order.resources, order.modality)
    return content


async def store_straight(request: Request) -> Response:
    """POST /modalities/{name}/store-straight: the body, a DICOM file, goes to it as it is."""
    rooms = services(request)
    modality = await in_thread(rooms.modalities.get, request.path_params["name"])
    at = target(rooms.config, modality)
    limit = rooms.config.wherry.maximum_instance_bytes
    spool = Spool(rooms.config.storage_directory, limit, rooms.storage.free_bytes)
    try:
        if is_gzip(request):
            inflating = Inflating(spool.write, limit)
            await pump(request, inflating.write, limit)
            await in_thread(inflating.finish)
        else:
            await pump(request, spool.write, limit)
        work = partial(
            store_file, rooms.config, rooms.associations, rooms.transcoder, modality, at, spool
        )
        sop_class, sop_instance = await rooms.transfers.patiently(work)
    finally:
        spool.close()
    return json_answer({"SOPClassUID": sop_class, "SOPInstanceUID": sop_instance})


# --- bodies ----------------------------------------------------------------------------------
def _parsed(body: bytes) -> Any:
    """Any JSON. Raises ``BadFileFormat``, in the words of the original."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadFileFormat("Cannot parse the JSON body") from None


def read_timeout(body: dict[str, type_json]) -> int | None:
    """``Timeout`` in seconds, 0 = for ever; None when it is not said. Raises ``BadFileFormat``,
    ``ParameterOutOfRange``."""
    value = body.get("Timeout")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadFileFormat("Integer value expected in field: Timeout")
    if value < 0:
        raise BadFileFormat("Unsigned integer value expected in field: Timeout")
    if value > _DAY_S:
        raise ParameterOutOfRange(f"The timeout of a modality is at most {_DAY_S} s")
    return value


def _text(body: dict[str, type_json], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadParameterType(f"String value expected in field: {name}")
    return value


def _number(body: dict[str, type_json], name: str, low: int, high: int) -> int | None:
    if name not in body:
        return None
    value = body[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadParameterType(f"Integer value expected in field: {name}")
    if not low <= value <= high:
        raise ParameterOutOfRange(f"{name} is a number of {low} to {high}")
    return value


def _truth(body: dict[str, type_json], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadParameterType(f"Boolean value expected in field: {name}")
    return value


def shown(modality: Modality) -> dict[str, type_json]:
    """A modality as REST shows it."""
    return {
        "AET": modality.aet,
        "AllowEcho": modality.allow_echo,
        "AllowEventReport": modality.allow_event_report,
        "AllowFind": modality.allow_find,
        "AllowFindWorklist": modality.allow_find_worklist,
        "AllowGet": modality.allow_get,
        "AllowMove": modality.allow_move,
        "AllowNAction": modality.allow_n_action,
        "AllowStore": modality.allow_store,
        "AllowTranscoding": modality.allow_transcoding,
        "Host": modality.host,
        "LocalAet": modality.local_aet,
        "Manufacturer": modality.manufacturer.value,
        "Port": modality.port,
        "RetrieveMethod": modality.retrieve_method,
        "Timeout": modality.timeout_s,
        "UseDicomTls": modality.use_tls,
    }
