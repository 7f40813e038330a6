"""The log of exports on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.support.staged import staged
from wherry import clock
from wherry.errors import UnknownResource
from wherry.index import exports, resources
from wherry.index.database import Index
from wherry.index.exports import Export
from wherry.model import Level


def test_a_line_names_the_resource_down_to_its_level(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2024, 1, 31, 10, tzinfo=UTC))
    one = staged(" p\\1", "1.2", "1.2.3", "1.2.3.4")
    ids = one.summary.identifiers
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    for level in Level:
        index.write(lambda tx, at=level: exports.add(tx, at, ids.at(at), "peer"))
    names = (" p\\1", "1.2", "1.2.3", "1.2.3.4")
    with index.read() as tx:
        found, done, last = exports.page(tx, 0, 10)
    assert found == [
        Export(level, "20240131T100000", level, ids.at(level), "peer", names[:level])
        for level in Level
    ]
    assert (done, last) == (True, 4)
    with pytest.raises(UnknownResource):
        index.write(lambda tx: exports.add(tx, Level.STUDY, ids.patient, "peer"))


def test_the_log_pages_and_outlives_its_resources(index: Index) -> None:
    one = staged()
    patient = one.summary.identifiers.patient
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    with index.read() as tx:
        assert exports.page(tx, 0, 10) == ([], True, 0)
        assert exports.last(tx) is None
    for remote in "abc":
        index.write(lambda tx, to=remote: exports.add(tx, Level.PATIENT, patient, to))
    index.write(lambda tx: resources.delete(tx, Level.PATIENT, patient))
    with index.read() as tx:
        found, done, last = exports.page(tx, 0, 2)
        assert ([(e.seq, e.remote) for e in found], done, last) == ([(1, "a"), (2, "b")], False, 2)
        found, done, last = exports.page(tx, 2, 2)
        assert ([(e.seq, e.remote) for e in found], done, last) == ([(3, "c")], True, 3)
        assert exports.page(tx, 3, 2) == ([], True, 3)
        newest = exports.last(tx)
        assert newest and newest.seq == 3
    index.write(exports.clear)
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    index.write(lambda tx: exports.add(tx, Level.PATIENT, patient, "d"))
    with index.read() as tx:
        assert [e.seq for e in exports.page(tx, 0, 2)[0]] == [4]
