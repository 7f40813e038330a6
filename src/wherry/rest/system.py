"""Who answers here, and how much it holds."""

from __future__ import annotations

import socket
from hashlib import sha1

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import __version__, limits
from wherry.config import Config
from wherry.dicom.extra import signature
from wherry.http.answers import Answer, empty_answer, json_answer
from wherry.http.routing import of_index, quick
from wherry.http.services import services
from wherry.index import resources, schema
from wherry.model import Level
from wherry.rest import rendering

ORTHANC_VERSION = "1.13.0"
"""The release whose API this is."""
API_VERSION = 31


def routes() -> list[Route]:
    """Routes of the server itself."""
    return [
        Route("/", root),
        Route("/app/explorer.html", welcome),
        Route("/system", system),
        Route("/statistics", statistics),
    ]


@quick
def system(request: Request) -> Response:
    """GET /system: who answers here, and what can be expected of it."""
    config = services(request).config
    paths = request.app.paths
    return json_answer(
        {
            "ApiVersion": API_VERSION,
            "Capabilities": {
                "HasExtendedChanges": True,
                "HasExtendedFind": "/tools/count-resources" in paths,
                "HasKeyValueStores": False,
                "HasQueues": False,
                "HasReserveQueueValue": False,
            },
            "CheckRevisions": config.check_revisions,
            "DatabaseBackendPlugin": "PostgreSQL" if config.postgresql else None,
            "DatabaseServerIdentifier": _identifier(config),
            "DatabaseVersion": int(schema.VERSION),
            "DicomAet": config.dicom_aet,
            "DicomDefaultRetrieveMethod": config.dicom_default_retrieve_method,
            "DicomPort": config.dicom_port,
            "HasLabels": "/tools/labels" in paths,
            "HttpPort": config.http_port,
            "IngestTranscoding": config.ingest_transcoding,
            "IsHttpServerSecure": (
                config.authentication_enabled or not config.remote_access_allowed
            ),
            "MainDicomTags": {
                level.title: signature(level, config.extra_main_dicom_tags) for level in Level
            },
            "MaximumPatientCount": config.maximum_patient_count,
            "MaximumStorageMode": config.maximum_storage_mode,
            "MaximumStorageSize": config.maximum_storage_bytes // limits.MIB,
            "Name": config.name,
            "OverwriteInstances": config.overwrite_instances,
            "PatientLevelEnabled": True,
            "PluginsEnabled": True,
            "ReadOnly": False,
            "StorageAreaPlugin": None,
            "StorageCompression": config.storage_compression,
            "UserMetadata": dict(config.user_metadata),
            "Version": ORTHANC_VERSION,
            "WherryVersion": __version__,
        }
    )


def _identifier(config: Config) -> str:
    """Of this server among those that share an index: as configured, or of where it answers."""
    if config.database_server_identifier:
        return config.database_server_identifier
    own = (socket.gethostname(), config.dicom_aet, config.dicom_port, config.http_port)
    return sha1("|".join(map(str, own)).encode()).digest().hex("-", 4)


@of_index
@quick
def statistics(request: Request) -> Response:
    """GET /statistics."""
    with services(request).index.read() as tx:
        return json_answer(rendering.store_statistics(resources.statistics(tx)))


_WELCOME = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Wherry</title>
<h1>Wherry is running</h1>
<p>This address is for programs: it speaks the REST API of Orthanc. You may look at</p>
<ul>
<li><a href="../system">system</a>: which server this is</li>
<li><a href="../statistics">statistics</a>: how much it holds</li>
<li><a href="../studies?expand">studies?expand</a>: what it holds</li>
<li><a href="../jobs?expand">jobs?expand</a>: what it is doing</li>
</ul>
"""


async def root(request: Request) -> Response:
    """GET /: on to the page, as Orthanc does."""
    return empty_answer(301, [(b"location", b"app/explorer.html")])


async def welcome(request: Request) -> Response:
    """GET /app/explorer.html: for somebody who opens the address in a browser."""
    policy = [(b"content-security-policy", b"default-src 'none'")]
    return Answer(_WELCOME.encode(), 200, b"text/html", policy)
