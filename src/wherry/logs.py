"""How much the server says about itself, in Orthanc's categories, on top of Python's ``logging``.

A category is a handful of loggers; ``default`` lets warnings and what an operator should know
through, ``verbose`` one line for each thing that is done, ``trace`` the steps of it. The levels
live in ``logging`` itself and end with the process, as in Orthanc.

Not here: what is said (each room says its own, and never patient data), where it goes (``cli``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

TRACE: Final = 5
"""A level below ``DEBUG``."""

CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "generic": ("wherry",),
    "plugins": ("wherry.transfers",),
    "http": ("wherry.http", "wherry.rest", "uvicorn"),
    "sqlite": ("wherry.index",),
    "dicom": ("wherry.dicom",),
    "jobs": ("wherry.jobs",),
    "lua": ("wherry.lua",),
}
"""Orthanc's categories: the index is called by its first database, transfers are a plugin, and
there is no Lua, whose logger is silent."""


class Verbosity(StrEnum):
    """How much is said."""

    DEFAULT = "default"
    VERBOSE = "verbose"
    TRACE = "trace"


_LEVELS = {
    Verbosity.DEFAULT: logging.INFO,
    Verbosity.VERBOSE: logging.DEBUG,
    Verbosity.TRACE: TRACE,
}
_OF_OTHERS = {
    Verbosity.DEFAULT: logging.WARNING,
    Verbosity.VERBOSE: logging.INFO,
    Verbosity.TRACE: logging.DEBUG,
}
"""uvicorn tells at INFO what ours tell at DEBUG."""


def set_verbosity(verbosity: Verbosity, categories: Iterable[str] = tuple(CATEGORIES)) -> None:
    """Say so much from now on, in all threads."""
    for category in categories:
        for name in CATEGORIES[category]:
            levels = _LEVELS if name.startswith("wherry") else _OF_OTHERS
            logging.getLogger(name).setLevel(levels[verbosity])


def verbosity_of(category: str) -> Verbosity:
    """How much is said in one category."""
    level = logging.getLogger(CATEGORIES[category][0]).level
    if level == logging.NOTSET or level > logging.DEBUG:
        return Verbosity.DEFAULT
    return Verbosity.VERBOSE if level > TRACE else Verbosity.TRACE


def highest_verbosity() -> Verbosity:
    """The most that is said in any category."""
    order = list(Verbosity)
    return max((verbosity_of(category) for category in CATEGORIES), key=order.index)


class WarningCount(logging.Handler):
    """Counts the warnings that Wherry logs, for the metrics."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One more; ``logging`` holds the lock of this handler meanwhile."""
        if record.levelno == logging.WARNING:
            self.count += 1


def count_warnings() -> WarningCount:
    """Start to count; end it with ``stop_counting``."""
    counter = WarningCount()
    logging.getLogger("wherry").addHandler(counter)
    return counter


def stop_counting(counter: WarningCount) -> None:
    """No more."""
    logging.getLogger("wherry").removeHandler(counter)
