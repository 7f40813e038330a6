"""Inputs that fuzzing began with, or found, go through every reader (``fuzz_dimse``)."""

from __future__ import annotations

import pytest

from tests.security.fuzz_dimse import CORPUS, TARGETS, run, seeds

FILES = sorted(CORPUS.iterdir())


def test_there_are_some() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_the_corpus(target: int) -> None:
    for path in FILES:
        data = path.read_bytes()
        run(bytes((target,)) + data[1:])
        run(data)


def test_seeds_are_read() -> None:
    for data in seeds():
        TARGETS[data[0]](data[1:])
