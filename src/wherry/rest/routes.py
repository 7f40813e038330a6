"""All routes of this face, gathered from its modules."""

from __future__ import annotations

from starlette.routing import Route

from wherry.rest import (
    changes,
    instances,
    jobs,
    peers,
    plugins,
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
    upload,
    search,
    changes,
    jobs,
    peers,
    plugins,
    tools,
)


def routes() -> list[Route]:
    """The routes of the REST API."""
    return [route for module in _MODULES for route in module.routes()]
