"""Storage commitment over REST (rest-api §15): asking a modality, its report, and removing what it
keeps.

Reports are in the index: other processes have them too, and they survive a restart.

Not here: the DICOM side (``modalities``).
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.commitment import Reference, describe, is_uid
from wherry.errors import BadFileFormat, ParameterOutOfRange
from wherry.http.answers import json_answer, literal_json
from wherry.http.body import read_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index.commitments import PENDING, AskedInstance, Commitment
from wherry.index.database import Transaction
from wherry.modalities.associations.calling import target
from wherry.modalities.commitment import requesting as commitment
from wherry.modalities.commitment.removal import known, remove_committed
from wherry.model import type_json

_SHOWN = 64
_LONGEST_TIMEOUT_S = 24 * 3600


def routes() -> list[Route]:
    """Routes of storage commitment."""
    return [
        Route("/modalities/{name}/storage-commitment", ask, methods=["POST"]),
        Route("/storage-commitment/{uid}", report),
        Route("/storage-commitment/{uid}/remove", remove, methods=["POST"]),
    ]


class _NotAnObject(BadFileFormat):
    """The body is not what it must be."""

    def __init__(self, details: str = "") -> None:
        super().__init__("Must provide a JSON object with a list of resources")


async def ask(request: Request) -> Response:
    """POST /modalities/{name}/storage-commitment: ask it to keep instances for good."""
    body = await read_json(request, refuse=_NotAnObject)
    if not isinstance(body, dict):
        raise _NotAnObject
    if "Resources" not in body and "DicomInstances" not in body:
        raise BadFileFormat(
            "Empty storage commitment request, one of these fields is mandatory:"
            ' "Resources" or "DicomInstances"'
        )
    resources = _resources(body.get("Resources", []))
    references = _references(body.get("DicomInstances", []))
    timeout_s = _timeout(body)
    rooms, name = services(request), request.path_params["name"]
    uid = await in_thread(_ask, rooms, name, resources, references, timeout_s)
    return json_answer({"ID": uid, "Path": f"/storage-commitment/{uid}"})


def report(request: Request) -> Response:
    """GET /storage-commitment/{uid}: what is known of a transaction."""
    with services(request).index.read() as tx:
        found = known(tx, request.path_params["uid"])
    return json_answer(_shown(found))


def remove(request: Request) -> Response:
    """POST /storage-commitment/{uid}/remove: delete what was committed, if all of it was."""
    rooms = services(request)
    if remove_committed(rooms.index, request.path_params["uid"]):
        rooms.ingest.wake_janitor()
    return literal_json()


def _ask(
    rooms: Services,
    name: str,
    resources: list[str],
    references: list[Reference],
    timeout_s: int | None,
) -> str:
    modality = rooms.modalities.get(name)
    with rooms.index.read() as tx:
        instances = _instances(tx, resources, references)
    goal = target(rooms.config, modality, timeout_s=timeout_s)
    return commitment.ask(rooms.config, rooms.index, modality, goal, instances)


def _instances(
    tx: Transaction, resources: list[str], references: list[Reference]
) -> list[AskedInstance]:
    """Each once."""
    below = commitment.instances_below(tx, resources)
    named = commitment.instances_named(tx, references)
    return list({one[:2]: one for one in [*below, *named]}.values())


def _shown(found: Commitment) -> type_json:
    shown: dict[str, type_json] = {"RemoteAET": found.remote_aet, "Status": found.status}
    if found.status == PENDING:
        return shown
    instances = [
        {"SOPClassUID": one.sop_class, "SOPInstanceUID": one.sop_instance} for one in found.asked
    ]
    shown["Success"] = [
        one for position, one in enumerate(instances) if position not in found.failures
    ]
    shown["Failures"] = [
        {**instances[position], "FailureReason": reason, "Description": describe(reason)}
        for position, reason in sorted(found.failures.items())
    ]
    return shown


def _resources(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise BadFileFormat('The "Resources" field must provide an array of Orthanc resources')
    for one in value:
        if not isinstance(one, str):
            raise BadFileFormat(
                f'The "Resources" field must provide an array of strings, found: {_excerpt(one)}'
            )
    return list(dict.fromkeys(value))


def _references(value: Any) -> list[Reference]:
    if not isinstance(value, list):
        raise BadFileFormat('The "DicomInstances" field must provide an array of DICOM instances')
    return [_reference(one) for one in value]


def _reference(value: Any) -> Reference:
    """An object, or the class and the instance in a list."""
    pair: list[Any]
    if isinstance(value, dict):
        pair = [value.get("SOPClassUID"), value.get("SOPInstanceUID")]
        shape = 'an object with 2 string fields: "SOPClassUID" and "SOPInstanceUID"'
    elif isinstance(value, list):
        pair = value
        shape = "an array with 2 strings: SOP Class UID and SOP Instance UID"
    else:
        raise BadFileFormat(
            "JSON array or object is expected to specify one instance to be queried,"
            f" found: {_excerpt(value)}"
        )
    if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
        raise BadFileFormat(f"An instance entry must provide {shape}")
    if not all(map(is_uid, pair)):
        raise ParameterOutOfRange(
            "The SOP class/instance UIDs cannot be empty, nor anything but UIDs, found:"
            f' "{_excerpt(pair[0])}" / "{_excerpt(pair[1])}"'
        )
    return Reference(*pair)


def _timeout(body: dict[str, Any]) -> int | None:
    """Seconds; None when it is not said."""
    if "Timeout" not in body:
        return None
    value = body["Timeout"]
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadFileFormat("Integer value expected in field: Timeout")
    if value < 0:
        raise BadFileFormat("Unsigned integer value expected in field: Timeout")
    return min(value, _LONGEST_TIMEOUT_S)


def _excerpt(value: Any) -> str:
    """Some of what a client has sent, to be shown to it."""
    return str(value)[:_SHOWN]
