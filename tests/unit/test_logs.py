"""Verbosity in categories, and the count of warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from wherry import logs
from wherry.logs import CATEGORIES, TRACE, Verbosity


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    names = [name for names in CATEGORIES.values() for name in names]
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_all_categories_at_once() -> None:
    for verbosity, level in (("default", logging.INFO), ("verbose", logging.DEBUG)):
        logs.set_verbosity(Verbosity(verbosity))
        assert logs.highest_verbosity() == verbosity
        assert {logs.verbosity_of(category) for category in CATEGORIES} == {verbosity}
        for name in ("wherry.server", "wherry.http.app", "wherry.jobs.worker", "wherry.transfers"):
            assert logging.getLogger(name).getEffectiveLevel() == level


def test_one_category_leaves_the_others_alone() -> None:
    logs.set_verbosity(Verbosity.DEFAULT)
    logs.set_verbosity(Verbosity.TRACE, ["http"])
    assert logs.verbosity_of("http") == Verbosity.TRACE
    assert logs.verbosity_of("generic") == Verbosity.DEFAULT
    assert logs.highest_verbosity() == Verbosity.TRACE
    assert logging.getLogger("wherry.http.app").isEnabledFor(TRACE)
    assert not logging.getLogger("wherry.jobs.worker").isEnabledFor(logging.DEBUG)
    logs.set_verbosity(Verbosity.VERBOSE, ["generic"])
    assert not logging.getLogger("wherry.jobs.worker").isEnabledFor(logging.DEBUG)


def test_what_others_say_comes_a_step_later() -> None:
    for verbosity, level in (
        (Verbosity.DEFAULT, logging.WARNING),
        (Verbosity.VERBOSE, logging.INFO),
        (Verbosity.TRACE, logging.DEBUG),
    ):
        logs.set_verbosity(verbosity)
        assert logging.getLogger("uvicorn").level == level


def test_without_a_choice_it_is_the_default() -> None:
    for names in CATEGORIES.values():
        logging.getLogger(names[0]).setLevel(logging.NOTSET)
    assert logs.highest_verbosity() == Verbosity.DEFAULT


def test_warnings_are_counted() -> None:
    counter = logs.count_warnings()
    log = logging.getLogger("wherry.somewhere")
    log.warning("one")
    log.info("not this")
    log.error("nor this")
    logs.stop_counting(counter)
    log.warning("too late")
    assert counter.count == 1
