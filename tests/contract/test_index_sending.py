"""What is sent somewhere, on both databases."""

from __future__ import annotations

import pytest

from tests.support.staged import staged, study
from wherry import limits
from wherry.errors import UnknownResource
from wherry.index import exports, resources, sending
from wherry.index.database import Index
from wherry.model import Level

UNKNOWN = "00000000" + 4 * "-00000000"


@pytest.fixture
def ids(index: Index, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seven instances in two studies; statements see three rows at once."""
    monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", 3)
    found = [*study(6, name="1.2.7", series_size=2), staged("P2", "1.2.8", "1.2.8.1", "1.2.8.1.1")]
    index.write(lambda tx: resources.add_instances(tx, found, overwrite=False))
    return [one.summary.identifiers.instance for one in found]


def test_files_of_resources_of_any_level(index: Index, ids: list[str]) -> None:
    with index.read() as tx:
        patients = resources.list_ids(tx, Level.PATIENT)
        series = resources.list_ids(tx, Level.SERIES)
        everything = sending.files_of(tx, [*patients, *series, *ids, *ids])
        some = sending.files_of(tx, [series[0], ids[6]])
    assert [name for name, _ in everything] == sorted(ids)
    assert [name for name, _ in some] == sorted([ids[0], ids[1], ids[6]])
    assert all(file.content_type == 1 for _, file in everything)


def test_one_that_is_not_there(index: Index, ids: list[str]) -> None:
    with index.read() as tx:
        with pytest.raises(UnknownResource, match=UNKNOWN):
            sending.files_of(tx, [*ids, UNKNOWN])
        with pytest.raises(UnknownResource):
            sending.levels_of(tx, [UNKNOWN])
        assert sending.files_of(tx, []) == []


def test_encodings(index: Index, ids: list[str]) -> None:
    kind = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    index.write(
        lambda tx: tx.run(
            "UPDATE instances SET sop_class_uid = '', transfer_syntax = '' WHERE orthanc_id = ?",
            (ids[1],),
        )
    )
    with index.read() as tx:
        found = sending.encodings_of(tx, [*ids, UNKNOWN])
    assert found == dict.fromkeys(ids, kind) | {ids[1]: ("", "")}


def test_what_a_modality_is_asked_to_answer_for(index: Index, ids: list[str]) -> None:
    with index.read() as tx:
        found = sending.sop_pairs(tx, [ids[6], UNKNOWN, ids[0]])
    assert found == [
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.8.1.1"),
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.7.0.0"),
    ]


def test_the_log(index: Index, ids: list[str]) -> None:
    with index.read() as tx:
        patient = resources.list_ids(tx, Level.PATIENT)[0]
    sending.log_exports(index, [*ids[:4], patient], "there")
    with index.read() as tx:
        found, _, _ = exports.page(tx, 0, 10)
    assert [one.orthanc_id for one in found] == [*ids[:4], patient]
    assert {one.remote for one in found} == {"there"}
    with pytest.raises(UnknownResource):
        sending.log_exports(index, [UNKNOWN], "there")
