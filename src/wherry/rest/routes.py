"""All routes of this face, gathered from its modules."""

from __future__ import annotations

from starlette.routing import Route

from wherry.rest import (
    archives,
    attachments,
    bulk,
    changes,
    contents,
    export,
    exports,
    files,
    frames,
    instances,
    jobevents,
    jobs,
    kindred,
    labels,
    lifecycle,
    logs,
    metadata,
    metrics,
    openapi,
    peers,
    plugins,
    protection,
    receiving,
    reconstruct,
    resources,
    search,
    slices,
    system,
    tools,
    upload,
    worklists,
)

_MODULES = (
    system,
    resources,
    instances,
    files,
    contents,
    frames,
    kindred,
    slices,
    metadata,
    attachments,
    labels,
    protection,
    reconstruct,
    archives,
    upload,
    search,
    bulk,
    changes,
    exports,
    jobs,
    jobevents,
    peers,
    plugins,
    tools,
    logs,
    metrics,
    receiving,
    lifecycle,
    export,
    openapi,
    worklists,
)


def routes() -> list[Route]:
    """The routes of the REST API."""
    return [route for module in _MODULES for route in module.routes()]
