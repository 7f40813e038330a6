"""What goes into an archive, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import Store
from tests.support.dicom_files import make_instance
from wherry import limits
from wherry.archives.contents import Contents
from wherry.archives.order import ArchiveOrder
from wherry.errors import TooLarge, UnknownResource
from wherry.index.database import Index, Transaction
from wherry.model import Compression, Identifiers, Level

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
UNKNOWN = "-".join(["00000000"] * 5)


@pytest.fixture
def store(index: Index, tmp_path: Path) -> Iterator[Store]:
    store = Store(index, tmp_path / "storage")
    yield store
    store.close()


@pytest.fixture
def stored(store: Store) -> list[Identifiers]:
    """Two patients; P1 has two studies, the first of them two series. Arrived from the last to the
    first: 0 1 2 in one series, 3 in its study, 4 of the same patient, 5 of the other."""
    files = [
        *(make_instance(1, 1, number, patient_id="P1") for number in (1, 2, 3)),
        make_instance(1, 2, 1, patient_id="P1"),
        make_instance(2, 1, 1, patient_id="P1"),
        make_instance(3, 1, 1, patient_id="P2"),
    ]
    return store.put(*files[::-1])[::-1]


def listed(store: Store, *ids: str) -> list[str]:
    """The instances of an archive of these resources."""
    return [item.orthanc_id for item in store.contents(ArchiveOrder(ids)).items]


# --- which instances, in which order -----------------------------------------------------------
def test_each_resource_is_what_is_below_it(store: Store, stored: list[Identifiers]) -> None:
    one = stored[0]
    assert set(listed(store, one.patient)) == {found.instance for found in stored[:5]}
    assert set(listed(store, one.study)) == {found.instance for found in stored[:4]}
    assert set(listed(store, one.series)) == {found.instance for found in stored[:3]}
    assert listed(store, one.instance) == [one.instance]
    assert listed(store) == []


def test_patients_studies_and_series_by_identifier(store: Store, stored: list[Identifiers]) -> None:
    patients = {found.patient for found in stored}
    ids = [(found.patient, found.study, found.series) for found in stored]
    by_instance = dict(zip((found.instance for found in stored), ids, strict=True))
    expected = sorted(ids)
    for order in (sorted(patients), sorted(patients, reverse=True)):
        assert [by_instance[instance] for instance in listed(store, *order)] == expected


def test_what_overlaps_is_there_once(store: Store, stored: list[Identifiers]) -> None:
    one = stored[0]
    whole = listed(store, one.patient)
    assert len(whole) == 5
    for ids in (
        (one.patient, one.patient),
        (one.patient, one.study),
        (one.instance, one.series, one.study, one.patient),
        (one.patient, one.instance, one.instance),
        (one.study, stored[4].study, stored[1].series),
    ):
        assert listed(store, *ids) == whole
    assert listed(store, one.instance, one.instance) == [one.instance]


def test_parts_of_a_study(store: Store, stored: list[Identifiers]) -> None:
    found = store.contents(ArchiveOrder((stored[3].series, stored[1].instance)))
    assert {item.orthanc_id for item in found.items} == {stored[3].instance, stored[1].instance}
    assert {item.member.name.split("/")[1] for item in found.items} == {"ACC1 A study"}


def test_instances_by_number_where_all_differ(store: Store) -> None:
    found = store.put(*(make_instance(number=number) for number in (12, 3, 100)))
    contents = store.contents(ArchiveOrder((found[0].study,)))
    assert [item.orthanc_id for item in contents.items] == [
        found[1].instance,
        found[0].instance,
        found[2].instance,
    ]
    assert [name[-12:] for name, _ in contents.members] == [
        "CT000003.dcm",
        "CT000012.dcm",
        "CT000100.dcm",
    ]


def test_instances_by_arrival_where_numbers_are_the_same(store: Store) -> None:
    numbers = {12: 1, 3: 1, 100: 2}
    found = store.put(
        *(make_instance(number=uid, InstanceNumber=number) for uid, number in numbers.items())
    )
    contents = store.contents(ArchiveOrder((found[0].patient,)))
    assert [item.orthanc_id for item in contents.items] == [one.instance for one in found]
    assert [name[-12:] for name, _ in contents.members] == [
        "CT000000.dcm",
        "CT000001.dcm",
        "CT000002.dcm",
    ]
    again = store.contents(ArchiveOrder((found[2].instance, found[1].instance)))
    assert [name[-12:] for name, _ in again.members] == ["CT000001.dcm", "CT000002.dcm"]


def test_a_medium_has_one_count(store: Store, stored: list[Identifiers]) -> None:
    patients = tuple({found.patient for found in stored})
    found = store.contents(ArchiveOrder(patients, media=True))
    assert [name for name, _ in found.members] == [f"IMAGES/IM{number}" for number in range(6)]
    as_archive = store.contents(ArchiveOrder(patients))
    assert [i.orthanc_id for i in found.items] == [i.orthanc_id for i in as_archive.items]


def test_names_are_different_whatever_the_tags(store: Store) -> None:
    files = [
        make_instance(
            study, series, 1, StudyDescription="", SeriesDescription="", AccessionNumber=""
        )
        for study in (1, 2)
        for series in (1, 2)
    ]
    found = store.put(*files)
    names = [name for name, _ in store.contents(ArchiveOrder((found[0].patient,))).members]
    assert len(set(names)) == 4
    assert {name.split("/")[1] for name in names} == {"Unknown Study", "Unknown Study-2"}
    assert {name.split("/")[2] for name in names} == {"CT", "CT-2"}


def test_sizes_are_those_of_the_files_as_they_came(index: Index, tmp_path: Path) -> None:
    store = Store(index, tmp_path / "storage", compression=Compression.ZLIB)
    files = [make_instance(number=number, pixel_bytes=4096 * number) for number in (1, 2)]
    found = store.put(*files)
    assert store.file(found[0].instance).compression == 2
    contents = store.contents(ArchiveOrder((found[0].study,)))
    assert [member.size for member in contents.members] == [len(data) for data in files]
    assert contents.size == sum(map(len, files))
    assert [contents.size_of(count) for count in range(3)] == [
        0,
        len(files[0]),
        len(files[0] + files[1]),
    ]
    store.close()


# --- what is refused ---------------------------------------------------------------------------
def test_unknown_resources(store: Store, stored: list[Identifiers]) -> None:
    known = stored[0].study
    for ids in ((UNKNOWN,), (known, UNKNOWN), (known.upper(),), ("",), ("P1",), (f" {known}",)):
        with pytest.raises(UnknownResource):
            listed(store, *ids)


def test_an_archive_is_bounded(
    store: Store, stored: list[Identifiers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_INSTANCES", 5)
    one, other = stored[0], stored[5]
    assert len(listed(store, one.patient)) == 5
    assert len(listed(store, one.patient, one.study, one.series, one.instance)) == 5
    for ids in (
        (one.patient, other.patient),
        (one.patient, other.instance),
        [found.instance for found in stored],
        [found.study for found in stored],
    ):
        with pytest.raises(TooLarge, match="5 instances"):
            listed(store, *ids)


def test_many_resources_are_read_in_portions(
    store: Store, stored: list[Identifiers], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [found.instance for found in stored] + [found.series for found in stored]
    whole = listed(store, *ids)
    assert len(whole) == 6
    for portion in (1, 2, 5):
        monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", portion)
        assert listed(store, *ids) == whole
    monkeypatch.setattr(limits, "ARCHIVE_INSTANCES", 6)
    assert listed(store, *ids) == whole
    monkeypatch.setattr(limits, "ARCHIVE_INSTANCES", 5)
    with pytest.raises(TooLarge):
        listed(store, *ids)


def test_what_is_transcoded(store: Store, stored: list[Identifiers]) -> None:
    ids = (stored[0].patient,)
    asked = store.contents(ArchiveOrder(ids, transcode=EXPLICIT))
    assert asked.items == store.contents(ArchiveOrder(ids)).items
    other = store.contents(ArchiveOrder(ids, transcode=IMPLICIT))
    assert all(item.transcoded for item in other.items)
    assert len({found.digest() for found in (asked, other)}) == 2
    better = store.contents(ArchiveOrder(ids, transcode=IMPLICIT, quality=99))
    assert better.digest() != other.digest()
    assert store.contents(ArchiveOrder((), transcode=IMPLICIT)).items == []


# --- the digest --------------------------------------------------------------------------------
def digest(store: Store, *ids: str, media: bool = False, extended: bool = False) -> str:
    found: Contents = store.contents(ArchiveOrder(ids, media, extended))
    return found.digest()


def test_the_digest_is_that_of_what_goes_in(store: Store, stored: list[Identifiers]) -> None:
    one = stored[0]
    before = digest(store, one.study)
    assert digest(store, one.study) == before
    assert digest(store, one.series, one.study) == before
    assert digest(store, one.study, media=True) != before
    assert digest(store, one.study, media=True) != digest(
        store, one.study, media=True, extended=True
    )
    assert digest(store, one.series) != before
    store.put(make_instance(3, 1, 2, patient_id="P2"))
    assert digest(store, one.study) == before
    store.put(make_instance(1, 1, 4, patient_id="P1"))
    assert digest(store, one.study) != before


def test_the_digest_knows_files(store: Store, stored: list[Identifiers]) -> None:
    one = stored[0]
    before = digest(store, one.study)
    store.ingest.attachments.recompress(Level.INSTANCE, one.instance, 1, compress=True)
    changed = digest(store, one.study)
    assert changed != before
    store.delete(one.instance)
    store.put(make_instance(1, 1, 1, patient_id="P1"))
    assert digest(store, one.study) not in (before, changed)


def test_the_digest_knows_names(store: Store, stored: list[Identifiers]) -> None:
    """The same files under other names, as after ``/reconstruct``."""
    before = digest(store, stored[0].study)

    def rename(tx: Transaction) -> None:
        tx.run(
            "UPDATE studies SET tags = ? WHERE orthanc_id = ?",
            ('{"0008,1030": "Another"}', stored[0].study),
        )

    store.index.write(rename)
    assert digest(store, stored[0].study) != before
