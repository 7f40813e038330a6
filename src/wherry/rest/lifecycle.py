"""Ending the server and starting it again, over the network."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.http.lifecycle import LastWord
from wherry.http.services import services
from wherry.http.threads import in_thread


def routes() -> list[Route]:
    """Routes that end this life of the server."""
    return [
        Route("/tools/reset", reset, methods=["POST"]),
        Route("/tools/shutdown", shutdown, methods=["POST"]),
    ]


async def reset(request: Request) -> Response:
    """POST /tools/reset: read the configuration again and start afresh, after the answer.

    A configuration with a mistake is answered as an error, and everything stays as it is.
    """
    lifecycle = services(request).lifecycle
    config = await in_thread(lifecycle.read_configuration)
    return LastWord(partial(lifecycle.reset, config))


async def shutdown(request: Request) -> Response:
    """POST /tools/shutdown: stop as by SIGTERM, after the answer."""
    return LastWord(services(request).lifecycle.shutdown)
