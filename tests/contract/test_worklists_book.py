"""Items of the worklist that come over REST, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.indexes import empty_index
from tests.support.staged import staged
from tests.support.worklists import worklist_file
from wherry import clock, limits
from wherry.config import Config
from wherry.config.worklists import WorklistsConfig
from wherry.errors import BadRequest, Forbidden, TooLarge, UnknownDicomTag, UnknownResource
from wherry.index import resources, stability
from wherry.index.database import Index
from wherry.index.opening import open_index
from wherry.worklists import WorklistBook

UID = 0x0020000D


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    with empty_index(request, tmp_path) as settings:
        index = open_index(settings)
        yield index
        index.close()


def book(index: Index, **settings: Any) -> WorklistBook:
    return WorklistBook(replace(Config(), worklists=WorklistsConfig(**settings)), index)


def everything(of: WorklistBook) -> list[str]:
    return [item.id for page in of.pages() for item in page]


def test_items_are_added_changed_and_removed(index: Index) -> None:
    worklist = book(index)
    steps = [{"Modality": "CT", "0040-0002": "20260110", "CodeMeaning": None}]
    first = worklist.add(
        {"PatientName": "山田", "PatientWeight": 70.5, "ScheduledProcedureStepSequence": steps}
    )
    second = worklist.add({"StudyInstanceUID": "1.2.3"})
    assert everything(worklist) == [first, second]
    item = worklist.get(first)
    assert item.values["0010,0010"] == "山田"
    assert item.values["0010,1030"] == "70.5"
    assert item.values["0040,0100"] == [
        {"0008,0060": "CT", "0008,0104": "", "0040,0002": "20260110"}
    ]
    uid = item.study_instance_uid
    assert uid.startswith("2.25.")
    worklist.replace(first, {"PatientID": "7"})
    assert worklist.get(first).values == {"0010,0020": "7", "0020,000d": uid}
    worklist.replace(first, {"StudyInstanceUID": "1.2"})
    assert worklist.get(first).values == {"0020,000d": "1.2"}
    worklist.remove(first)
    assert everything(book(index)) == [second]
    for call in (worklist.get, worklist.remove, lambda one: worklist.replace(one, {})):
        with pytest.raises(UnknownResource):
            call(first)


def test_an_item_may_have_no_uid(index: Index) -> None:
    worklist = book(index, set_study_instance_uid=False)
    made = worklist.add({"StudyInstanceUID": "", "PatientID": "7"})
    assert worklist.get(made).study_instance_uid == ""


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({"NoSuchTag": "x"}, UnknownDicomTag),
        ({"PatientName": ["x"]}, BadRequest),
        ({"PatientName": [{}]}, BadRequest),
        ({"PatientName": {}}, BadRequest),
        ({"PatientName": True}, BadRequest),
        ({"PatientName": "a\0b"}, BadRequest),
        ({"ScheduledProcedureStepSequence": "x"}, BadRequest),
        ({"ScheduledProcedureStepSequence": [1]}, BadRequest),
        ({"PixelData": "x"}, BadRequest),
        ({"TransferSyntaxUID": "1.2"}, BadRequest),
        ({"PatientComments": "x" * limits.WORKLIST_BYTES}, TooLarge),
    ],
)
def test_tags_that_make_no_item(index: Index, tags: dict[str, Any], error: type[Exception]) -> None:
    worklist = book(index)
    with pytest.raises(error):
        worklist.add(tags)
    assert everything(worklist) == []


def test_nested_too_deep(index: Index) -> None:
    tags: dict[str, Any] = {}
    for _ in range(40):
        tags = {"ScheduledProcedureStepSequence": [tags]}
    with pytest.raises(TooLarge):
        book(index).add(tags)


def test_bounds(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    worklist = book(index)
    monkeypatch.setattr(limits, "WORKLISTS", 3)
    monkeypatch.setattr(limits, "WORKLISTS_AT_ONCE", 2)
    made = [worklist.add({"PatientID": str(number)}) for number in range(3)]
    assert everything(worklist) == made
    with pytest.raises(TooLarge):
        worklist.add({})


def test_files_of_a_folder_are_items_that_nobody_changes(index: Index, tmp_path: Path) -> None:
    (tmp_path / "a.wl").write_bytes(worklist_file("A"))
    worklist = book(index, folder=tmp_path)
    made = worklist.add({"AccessionNumber": "B"})
    assert everything(worklist) == [made, "a"]
    assert worklist.get("a").values["0008,0050"] == "A"
    for call in (worklist.remove, lambda one: worklist.replace(one, {})):
        with pytest.raises(Forbidden):
            call("a")


def store(index: Index, study: str, *, stable: bool) -> None:
    one = staged("P", study, f"{study}.1", f"{study}.1.1")
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    if stable:
        index.write(lambda tx: stability.mark_stable(tx, clock.timestamp() + 10, 100))


def test_items_go_when_their_study_is_here(index: Index) -> None:
    worklist = book(index)
    kept = [worklist.add({"StudyInstanceUID": uid}) for uid in ("1.1", "1.2")]
    done = worklist.add({"StudyInstanceUID": "1.3"})
    store(index, "1.3", stable=True)
    store(index, "1.2", stable=False)
    assert book(index, delete_on_stable_study=False).expire() == 0
    assert worklist.expire() == 1
    assert everything(worklist) == kept
    assert done not in everything(worklist)


def test_items_go_when_they_are_old(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    worklist = book(index, save_in_database=True, delete_after_s=3600)
    worklist.add({"PatientID": "old"})
    now = clock.timestamp() + 3700
    monkeypatch.setattr(clock, "timestamp", lambda: now)
    new = worklist.add({"PatientID": "new"})
    assert book(index, delete_after_s=3600).expire() == 0  # only with SaveInOrthancDatabase
    assert book(index, save_in_database=True, delete_after_s=0).expire() == 0
    assert worklist.expire() == 1
    assert everything(worklist) == [new]
