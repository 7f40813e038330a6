"""All routes of this face, gathered from its modules."""

from __future__ import annotations

from starlette.routing import Route

from wherry.rest import (
    attachments,
    bulk,
    changes,
    contents,
    exports,
    instances,
    jobs,
    labels,
    metadata,
    openapi,
    peers,
    plugins,
    protection,
    resources,
    search,
    system,
    tools,
    upload,
)

_MODULES = (
    system,
    resources,
    instances,
    contents,
    metadata,
    attachments,
    labels,
    protection,
    upload,
    search,
    bulk,
    changes,
    exports,
    jobs,
    peers,
    plugins,
    tools,
    openapi,
)


def routes() -> list[Route]:
    """The routes of the REST API."""
    return [route for module in _MODULES for route in module.routes()]
