"""The file of the instance below a resource that arrived first, on both databases."""

from __future__ import annotations

from tests.support.staged import study
from wherry.index import resources
from wherry.index.database import Index
from wherry.model import Level


def test_first_file(index: Index) -> None:
    batch = study(6, series_size=2)
    for one in batch:
        index.write(lambda tx, one=one: resources.add_instances(tx, [one], overwrite=False))
    first, third = batch[0].summary.identifiers, batch[2].summary.identifiers
    assert first.series != third.series
    with index.read() as tx:
        for level, orthanc_id, expected in (
            (Level.PATIENT, first.patient, batch[0]),
            (Level.STUDY, first.study, batch[0]),
            (Level.SERIES, third.series, batch[2]),
            (Level.INSTANCE, third.instance, batch[2]),
        ):
            assert resources.first_file(tx, level, orthanc_id) == expected.attachment
            assert resources.first_file(tx, level, "unknown") is None
        assert resources.first_file(tx, Level.PATIENT, first.study) is None
