"""From a path to the function that answers it: Starlette's ``Route`` objects in a tree.

Starlette's ``Router`` tries one regular expression after the other, which a few hundred routes
make slow; a tree of path segments costs the same whatever the number of routes. A literal segment
wins over a parameter, whatever the order of declaration.

Not here: authentication, errors, answers (``app``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path

type_async = Callable[[Request], Awaitable[Response]]
type_blocking = Callable[[Request], Response]
type_attempt = Callable[[Request], Response | None]
type_endpoint = type_async | type_blocking
type_quick = TypeVar("type_quick", bound=Callable[..., Response])
type_slow = TypeVar("type_slow", bound=Callable[..., Any])

type_endpoint_of_index = TypeVar("type_endpoint_of_index", bound=Callable[..., Any])

_QUICK = "wherry_quick"


def quick(endpoint: type_quick) -> type_quick:
    """Marks a plain function that needs well under a millisecond: with an index inside this process
    it runs on the event loop, which saves two switches between threads."""
    setattr(endpoint, _QUICK, endpoint)
    return endpoint


def quick_when(attempt: Callable[..., Response | None]) -> Callable[[type_slow], type_slow]:
    """Marks a function that is needed only when ``attempt`` answers None; ``attempt`` runs
    on the event loop, as ``quick`` functions do."""

    def mark(endpoint: type_slow) -> type_slow:
        setattr(endpoint, _QUICK, attempt)
        return endpoint

    return mark


_OF_INDEX = "wherry_of_index"


def of_index(endpoint: type_endpoint_of_index) -> type_endpoint_of_index:
    """Marks the function of a GET whose answer depends on the path, the arguments and the state of
    the index, and on nothing else: not on headers, files or the time."""
    setattr(endpoint, _OF_INDEX, True)
    return endpoint


METHODS = ("GET", "POST", "PUT", "DELETE")
"""The methods that routes may have; what becomes of others is ``app``'s business."""

_PLAIN_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REST_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*):path\}")


@dataclass
class Place:
    """What is found at the end of a path."""

    endpoints: dict[str, type_endpoint] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per method, the names of its parameters in the order of the path."""
    blocking: dict[str, bool] = field(default_factory=dict)
    """Per method, whether its function is a plain ``def``, to be run in a worker thread."""
    quick: dict[str, type_attempt] = field(default_factory=dict)
    """Per method, what may be tried on the event loop; it answers None when that does not do."""

    of_index: bool = False
    """Whether the function for GET is marked ``of_index``."""

    @property
    def allow(self) -> str:
        """Value of the ``Allow`` header: ``GET,POST``."""
        return ",".join(sorted(self.endpoints))


@dataclass
class _Node:
    place: Place | None = None
    literals: dict[str, _Node] = field(default_factory=dict)
    patterns: list[tuple[str, re.Pattern[str], _Node]] = field(default_factory=list)
    parameter: _Node | None = None
    rest: Place | None = None


class Table:
    """All routes of the server."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._exact: dict[str, Place] = {}
        self.routes = tuple(routes)
        """As they were given."""
        for route in self.routes:
            self._add(route)

    def find(self, path: str) -> tuple[Place, list[str]] | None:
        """The place of a normalised path, and the values of its parameters in order."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, []
        values: list[str] = []
        place = _walk(self._root, path[1:].split("/"), 0, values)
        return None if place is None else (place, values)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        segments = route.path.strip("/").split("/") if route.path != "/" else []
        for position, segment in enumerate(segments):
            rest = _REST_PARAMETER.fullmatch(segment)
            if rest is not None:
                if position != len(segments) - 1:
                    raise ValueError(f"a path parameter must come last: {route.path}")
                names.append(rest[1])
                node.rest = node.rest or Place()
                self._declare(node.rest, route, names)
                return
            node = self._step(node, segment, names)
        node.place = node.place or Place()
        self._declare(node.place, route, names)
        if "{" not in route.path:
            self._exact[route.path] = node.place

    @staticmethod
    def _step(node: _Node, segment: str, names: list[str]) -> _Node:
        plain = _PLAIN_PARAMETER.fullmatch(segment)
        if plain is not None:
            names.append(plain[1])
            node.parameter = node.parameter or _Node()
            return node.parameter
        if "{" not in segment:
            return node.literals.setdefault(segment, _Node())
        pattern, _, converters = compile_path("/" + segment)
        names.extend(converters)
        for known, _, child in node.patterns:
            if known == segment:
                return child
        child = _Node()
        node.patterns.append((segment, pattern, child))
        return child

    @staticmethod
    def _declare(place: Place, route: Route, names: list[str]) -> None:
        for method in (route.methods or {"GET"}) & set(METHODS):
            if method in place.endpoints:
                raise ValueError(f"two routes for {method} {route.path}")
            place.endpoints[method] = route.endpoint
            place.blocking[method] = not inspect.iscoroutinefunction(route.endpoint)
            attempt = _attempt(route.endpoint)
            if attempt is not None:
                place.quick[method] = attempt
            if method == "GET":
                place.of_index = _is_of_index(route.endpoint)
            place.names[method] = tuple(names)


def _is_of_index(endpoint: object) -> bool:
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    return getattr(endpoint, _OF_INDEX, False)


def _attempt(endpoint: Callable[..., object]) -> type_attempt | None:
    """What may be tried on the event loop; a ``partial`` has what its function has."""
    if not isinstance(endpoint, partial):
        return getattr(endpoint, _QUICK, None)
    inner = _attempt(endpoint.func)
    return None if inner is None else partial(inner, *endpoint.args, **endpoint.keywords)


def _walk(node: _Node, segments: list[str], position: int, values: list[str]) -> Place | None:
    if position == len(segments):
        return node.place
    segment = segments[position]
    child = node.literals.get(segment)
    if child is not None:
        found = _walk(child, segments, position + 1, values)
        if found is not None:
            return found
    for _, pattern, other in node.patterns:
        match = pattern.match("/" + segment)
        if match is not None:
            mark = len(values)
            values.extend(match.groups())
            found = _walk(other, segments, position + 1, values)
            if found is not None:
                return found
            del values[mark:]
    if node.parameter is not None and segment:
        values.append(segment)
        found = _walk(node.parameter, segments, position + 1, values)
        if found is not None:
            return found
        values.pop()
    if node.rest is not None:
        values.append("/".join(segments[position:]))
        return node.rest
    return None


def normalise(path: str) -> str:
    """The path without doubled slashes, a trailing slash, ``.`` and ``..``; never above ``/``."""
    if "//" not in path and "/." not in path and (path[-1:] != "/" or path == "/"):
        return path or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)
